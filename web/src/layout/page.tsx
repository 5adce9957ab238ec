/** Every page: its title (which the browser's tab shows, too), what it is about, and what can be done. */

import { useEffect } from "react";
import type { ReactNode } from "react";

interface PageProps {
  title: string;
  /** In place of the title, where it is more than text. */
  heading?: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, heading, about, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · llmitm`;
  }, [title]);
  return (
    <div className="page">
      <div className="page-head">
        <div>
          {heading ?? <h1>{title}</h1>}
          {about && <p>{about}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
