/** The request as a command that sends it again. It never holds a key: names of variables stand there. Pure. */

import type { Exchange } from "../../api/types";

/** What is sent beside the body's type: it decides what the answer is. */
const PASSED = /^(anthropic-|openai-beta$|x-llmitm-(?!key$))/i;
/** Of a secret that was not kept. */
const MASKED = /\[redacted\]|\*\*\*/;

export function curlOf(of: Pick<Exchange, "method" | "path" | "bodies" | "is_stream">): string {
  const body = of.bodies?.request ?? null;
  const headers = (of.bodies?.request_headers ?? []).filter(([name, value]) => PASSED.test(name) && !MASKED.test(value));
  const parts = [
    `curl -X ${of.method}${of.is_stream ? " -N" : ""} "\${LLMITM_URL:-http://127.0.0.1:8811}"${quoted(targetOf(of))}`,
    `-H "x-llmitm-key: $LLMITM_KEY"`,
    ...headers.map((pair) => `-H ${quoted(pair.join(": "))}`),
  ];
  if (body !== null) parts.push(`-H 'content-type: application/json'`, `--data-raw ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/** Path and query, without a key that stood there. */
function targetOf(of: Pick<Exchange, "path" | "bodies">): string {
  const [path, query] = (of.bodies?.target ?? of.path).split("?", 2);
  const kept = (query ?? "").split("&").filter((one) => one && !one.startsWith("key=") && !MASKED.test(one));
  return `${path}${kept.length ? `?${kept.join("&")}` : ""}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
