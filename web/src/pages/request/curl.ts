/** The request as a command that sends it again. It never holds a key: names of variables stand there. Pure. */

import type { Exchange } from "../../api/types";

export function curlOf(of: Pick<Exchange, "method" | "path" | "bodies" | "is_stream">): string {
  const body = of.bodies?.request ?? null;
  const parts = [`curl -X ${of.method}${of.is_stream ? " -N" : ""} "\${LLMITM_URL:-http://127.0.0.1:8811}"${quoted(of.path)}`, `-H "x-llmitm-key: $LLMITM_KEY"`];
  if (body !== null) parts.push(`-H 'content-type: application/json'`, `--data-raw ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
