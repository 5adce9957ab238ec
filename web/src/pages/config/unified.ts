/** A difference as servers and `diff -u` write it, line by line. */

import type { Compared } from "./lines";

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

export function ofUnified(text: string): Compared[] {
  const lines: Compared[] = [];
  let before = 1;
  let after = 1;
  let isInside = false;
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      const start = Number(hunk[1]);
      if (start > before) lines.push({ kind: "gap", count: start - before });
      before = start;
      after = Number(hunk[2]);
      isInside = true;
    } else if (!isInside || line.startsWith("\\")) continue;
    else if (line.startsWith("+")) lines.push({ kind: "added", text: line.slice(1), before: null, after: after++ });
    else if (line.startsWith("-")) lines.push({ kind: "removed", text: line.slice(1), before: before++, after: null });
    else lines.push({ kind: "same", text: line.slice(1), before: before++, after: after++ });
  }
  return lines;
}
