/** The small parts that pages are made of. */

import { Switch as BaseSwitch } from "@base-ui/react/switch";
import { Tooltip as BaseTooltip } from "@base-ui/react/tooltip";
import { useEffect, useId, useState } from "react";
import type { ButtonHTMLAttributes, ReactElement, ReactNode } from "react";

import { ApiError } from "../api/client";
import { Icon } from "./icons";
import type { IconName } from "./icons";

export type Tone = "good" | "warn" | "bad" | "info" | "quiet";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "danger" | "plain";
  small?: boolean;
  icon?: IconName;
}

/** Without children it needs an `aria-label`. */
export function Button({ kind, small, icon, children, className = "", type = "button", ...rest }: ButtonProps) {
  const classes = ["button", kind, small && "small", !children && "square", className].filter(Boolean).join(" ");
  return (
    <button type={type} className={classes} {...rest}>
      {icon && <Icon name={icon} size={small ? 14 : 16} />}
      {children}
    </button>
  );
}

export function Badge({ tone = "quiet", dot, children }: { tone?: Tone; dot?: boolean; children: ReactNode }) {
  return (
    <span className="badge" data-tone={tone}>
      {dot && <i className="dot" />}
      {children}
    </span>
  );
}

interface PanelProps {
  title?: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  /** Whether what is inside reaches the edges, as a table does. */
  flush?: boolean;
  children: ReactNode;
}

export function Panel({ title, about, actions, flush, children }: PanelProps) {
  return (
    <section className="panel">
      {title && (
        <header>
          <div>
            <h2>{title}</h2>
            {about && <p>{about}</p>}
          </div>
          {actions && <div className="row">{actions}</div>}
        </header>
      )}
      {flush ? children : <div className="inside">{children}</div>}
    </section>
  );
}

/** Several `Stat`s side by side. */
export function Stats({ children, a_row }: { children: ReactNode; a_row?: 3 | 4 | 6 }) {
  return <dl className="stats" data-row={a_row}>{children}</dl>;
}

interface StatProps {
  name: string;
  value: ReactNode;
  unit?: string;
  aside?: ReactNode;
  tone?: Tone;
}

export function Stat({ name, value, unit, aside, tone }: StatProps) {
  return (
    <div className="stat" data-tone={tone}>
      <dt title={name}>{name}</dt>
      <dd className="value">
        {value}
        {unit && <small>{unit}</small>}
      </dd>
      <dd className="aside">{aside}</dd>
    </div>
  );
}

/** What stands where there is nothing yet: it tells the next step. */
export function Empty({ title, children, actions }: { title: string; children?: ReactNode; actions?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
      {actions && <div className="row">{actions}</div>}
    </div>
  );
}

export function Note({ tone = "info", children, actions }: { tone?: Tone; children: ReactNode; actions?: ReactNode }) {
  return (
    <div className="note" data-tone={tone} role={tone === "bad" ? "alert" : "status"}>
      <div>{children}</div>
      {actions}
    </div>
  );
}

/** What went wrong, in the server's words. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  const message = error instanceof Error ? error.message : String(error);
  const problems = error instanceof ApiError ? error.problems : [];
  return (
    <Note tone="bad" actions={again && <Button small onClick={again}>Try again</Button>}>
      {message}
      {problems.length > 0 && (
        <ul>
          {problems.map((one) => (
            <li key={one.path + one.message}>
              <code>{one.path}</code> {one.message}
            </li>
          ))}
        </ul>
      )}
    </Note>
  );
}

/** Stands for lines that are on their way. */
export function Waiting({ lines = 3 }: { lines?: number }) {
  return (
    <div className="stack" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} className="waiting" />
      ))}
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
  /** From the server, about this field. */
  problem?: string;
  children: (given: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

/** A label, a control, and what is wrong with it: `<Field label="Name">{(given) => <input className="input" {...given} />}</Field>` */
export function Field({ label, hint, problem, children }: FieldProps) {
  const id = useId();
  const told = problem ? `${id}-problem` : hint ? `${id}-hint` : undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": told, "aria-invalid": problem ? true : undefined })}
      {problem ? (
        <span className="problem" id={told} role="alert">
          {problem}
        </span>
      ) : (
        hint && (
          <span className="hint" id={told}>
            {hint}
          </span>
        )
      )}
    </div>
  );
}

export function Switch({ checked, onChange, label, disabled }: { checked: boolean; onChange: (checked: boolean) => void; label: string; disabled?: boolean }) {
  return (
    <BaseSwitch.Root className="switch" checked={checked} onCheckedChange={onChange} disabled={disabled} aria-label={label}>
      <BaseSwitch.Thumb className="thumb" />
    </BaseSwitch.Root>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** One of a few, all of them in sight. */
export function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <div className="choice" role="group" aria-label={label}>
      {options.map(([name, text]) => (
        <button key={name} type="button" aria-pressed={name === value} onClick={() => onChange(name)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** `children` is one element that can have the focus. */
export function Tooltip({ text, children }: { text: ReactNode; children: ReactElement<Record<string, unknown>> }) {
  return (
    <BaseTooltip.Root>
      <BaseTooltip.Trigger render={children} />
      <BaseTooltip.Portal>
        <BaseTooltip.Positioner sideOffset={6}>
          <BaseTooltip.Popup className="tooltip">{text}</BaseTooltip.Popup>
        </BaseTooltip.Positioner>
      </BaseTooltip.Portal>
    </BaseTooltip.Root>
  );
}

/** Puts text on the clipboard and says so. */
export function Copy({ text, label = "Copy", small = true, children }: { text: string | (() => string); label?: string; small?: boolean; children?: ReactNode }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = window.setTimeout(() => setDone(false), 1500);
    return () => window.clearTimeout(timer);
  }, [done]);
  const copy = () => {
    void navigator.clipboard.writeText(typeof text === "function" ? text() : text).then(() => setDone(true));
  };
  return (
    <Button small={small} kind={children ? undefined : "plain"} className="copy" icon={done ? "check" : "copy"} aria-label={children ? undefined : done ? "Copied" : label} onClick={copy}>
      {children && (done ? "Copied" : children)}
    </Button>
  );
}

/** Names and what they are, in two columns. None is left out. */
export function Facts({ of }: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of
        .filter(([, value]) => value != null && value !== "")
        .map(([name, value]) => (
          <div key={name} style={{ display: "contents" }}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
