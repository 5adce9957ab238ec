/** Two texts side by side, line by line, with what differs marked. Pure. */

import { diffLines, diffWordsWithSpace } from "diff";

export interface Piece {
  text: string;
  isOther: boolean;
}

/** A line of one side; null: this side has none there. */
export type Side = { number: number; pieces: readonly Piece[]; isOther: boolean } | null;

export type Row = { kind: "line"; left: Side; right: Side } | { kind: "gap"; count: number };

export interface Beside {
  rows: readonly Row[];
  /** How many lines differ, on either side. */
  others: number;
}

/** Beyond these nothing is compared: browsers would stall. */
const MOST_TEXT = 600_000;
const MOST_MS = 800;
const MOST_WORDS = 4_000;
/** Fewer lines that are the same are shown, not folded. */
const LEAST_FOLDED = 6;

/** null: they are too long, or too different, to be compared. */
export function beside(left: string, right: string, context = 3): Beside | null {
  if (left.length + right.length > MOST_TEXT) return null;
  const parts = diffLines(ended(left), ended(right), { timeout: MOST_MS });
  if (!parts) return null;
  const rows: Extract<Row, { kind: "line" }>[] = [];
  let left_line = 1;
  let right_line = 1;
  for (let at = 0; at < parts.length; at += 1) {
    const part = parts[at]!;
    const next = parts[at + 1];
    const lines = linesOf(part.value);
    if (!part.added && !part.removed) {
      for (const text of lines) rows.push({ kind: "line", left: same(left_line++, text), right: same(right_line++, text) });
      continue;
    }
    const isPair = part.removed && next?.added;
    const gone = part.removed ? lines : [];
    const come = isPair ? linesOf(next.value) : part.added ? lines : [];
    if (isPair) at += 1;
    for (let line = 0; line < Math.max(gone.length, come.length); line += 1) {
      const [was, is] = marked(gone[line], come[line]);
      rows.push({
        kind: "line",
        left: was && { number: left_line++, pieces: was, isOther: true },
        right: is && { number: right_line++, pieces: is, isOther: true },
      });
    }
  }
  const others = rows.filter((row) => row.left?.isOther || row.right?.isOther).length;
  return { rows: folded(rows, context), others };
}

const ended = (text: string): string => (text === "" || text.endsWith("\n") ? text : `${text}\n`);
const linesOf = (text: string): string[] => text.replace(/\n$/, "").split("\n");

function same(number: number, text: string): Side {
  return { number, pieces: [{ text, isOther: false }], isOther: false };
}

/** The pieces of both lines; null: there is no such line. */
function marked(left: string | undefined, right: string | undefined): [Piece[] | null, Piece[] | null] {
  if (left === undefined || right === undefined || left.length + right.length > MOST_WORDS) {
    const whole = (text: string | undefined) => (text === undefined ? null : [{ text, isOther: false }]);
    return [whole(left), whole(right)];
  }
  const parts = diffWordsWithSpace(left, right);
  const isAlike = parts.some((one) => !one.added && !one.removed && one.value.trim().length > 2);
  const pieces = (isGone: boolean) =>
    parts
      .filter((one) => (isGone ? !one.added : !one.removed))
      .map((one) => ({ text: one.value, isOther: isAlike && (one.added || one.removed) }));
  return [pieces(true), pieces(false)];
}

function folded(rows: readonly Extract<Row, { kind: "line" }>[], context: number): Row[] {
  const isNear = rows.map(() => false);
  rows.forEach((row, at) => {
    if (row.left?.isOther !== false || row.right?.isOther !== false) isNear.fill(true, Math.max(0, at - context), at + context + 1);
  });
  const shown: Row[] = [];
  for (let at = 0; at < rows.length; ) {
    let end = at;
    while (end < rows.length && isNear[end] === isNear[at]) end += 1;
    if (isNear[at] || end - at < LEAST_FOLDED) shown.push(...rows.slice(at, end));
    else shown.push({ kind: "gap", count: end - at });
    at = end;
  }
  return shown;
}
