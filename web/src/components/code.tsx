/** Text as it is, and JSON set in lines and colours. Whatever it holds, it is shown as text. */

import { useMemo } from "react";
import type { ReactNode } from "react";

import { Copy } from "./basics";

/** Beyond this nothing is coloured, and beyond the second nothing is set in lines: browsers would stall. */
const MOST_COLOURED = 200_000;
const MOST_SET = 2_000_000;

interface CodeProps {
  text: string;
  /** `json` is set in lines where it is JSON. */
  language?: "json" | "text";
  label?: string;
  wraps?: boolean;
  most_high?: number;
}

export function Code({ text, language = "text", label, wraps, most_high }: CodeProps) {
  const shown = useMemo(() => (language === "json" ? inLines(text) : text), [text, language]);
  const parts = useMemo(
    () => (language === "json" && shown.length <= MOST_COLOURED ? coloured(shown) : shown),
    [shown, language],
  );
  return (
    <div className={wraps ? "code wraps" : "code"}>
      <pre tabIndex={0} aria-label={label} style={most_high ? { maxHeight: most_high } : undefined}>
        <code>{parts}</code>
      </pre>
      <Copy text={text} label={`Copy ${label ?? "text"}`} />
    </div>
  );
}

export function inLines(text: string): string {
  if (text.length > MOST_SET || !/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function coloured(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    if (found.index > at) parts.push(text.slice(at, found.index));
    const kind = found[2] !== undefined ? "key" : found[1] !== undefined ? "text" : "value";
    const said = found[1] ?? found[0];
    parts.push(
      <span key={found.index} className={kind}>
        {said}
      </span>,
    );
    if (found[2] !== undefined) parts.push(found[2]);
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}
