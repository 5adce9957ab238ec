import { diffLines } from "diff";

/** One line of a comparison; a gap stands for lines that are the same and far from any change. */
export type Compared =
  { kind: "same" | "added" | "removed"; text: string; before: number | null; after: number | null } | { kind: "gap"; count: number };

/** The lines of both texts in one list, with `context` unchanged ones around each change. */
export function compared(before: string, after: string, context = 3): Compared[] {
  const lines: Exclude<Compared, { kind: "gap" }>[] = [];
  let old_line = 1;
  let new_line = 1;
  for (const part of diffLines(before, after)) {
    const texts = part.value.replace(/\n$/, "").split("\n");
    for (const text of texts) {
      if (part.added) lines.push({ kind: "added", text, before: null, after: new_line++ });
      else if (part.removed) lines.push({ kind: "removed", text, before: old_line++, after: null });
      else lines.push({ kind: "same", text, before: old_line++, after: new_line++ });
    }
  }
  return folded(lines, context);
}

function folded(lines: Exclude<Compared, { kind: "gap" }>[], context: number): Compared[] {
  const isNear = lines.map(() => false);
  lines.forEach((line, at) => {
    if (line.kind !== "same") isNear.fill(true, Math.max(0, at - context), at + context + 1);
  });
  const shown: Compared[] = [];
  let hidden = 0;
  lines.forEach((line, at) => {
    if (!isNear[at]) {
      hidden += 1;
      return;
    }
    if (hidden) shown.push({ kind: "gap", count: hidden });
    hidden = 0;
    shown.push(line);
  });
  if (hidden && shown.length) shown.push({ kind: "gap", count: hidden });
  return shown;
}
