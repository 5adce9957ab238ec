/** Sums of the ledger, ordered for a chart, a table and a file. */

export interface Used {
  group: Record<string, string | null>;
  requests: number;
  failed: number;
  attempts: number;
  input_tokens: number | null;
  cache_read_tokens: number | null;
  cache_write_tokens: number | null;
  output_tokens: number | null;
  reasoning_tokens: number | null;
  cost_usd_nano: number | null;
  cost_usd: string | null;
  unpriced: number;
  partly_priced: number;
}

export const sizes: readonly (readonly [string, (row: Used) => number | null])[] = [
  ["Input", (row) => row.input_tokens],
  ["From cache", (row) => row.cache_read_tokens],
  ["Output", (row) => row.output_tokens],
];

const STEP_S = { hour: 3_600, day: 86_400 } as const;
const MOST = 2_000;

/** `2026-09-21` or `2026-09-21T07` as Unix seconds; NaN where it is neither. */
export function beginning(text: string): number {
  const whole = text.length === 13 ? `${text}:00:00Z` : text.length === 10 ? `${text}T00:00:00Z` : text;
  return Date.parse(whole.endsWith("Z") ? whole : `${whole}Z`) / 1000;
}

/** Every step between the first and the last, `least` of them at least; null where nothing was asked. */
export function inTime(groups: readonly Used[], step: "hour" | "day", least = 1): { at: number[]; rows: (Used | null)[] } {
  const known = new Map<number, Used>();
  for (const row of groups) {
    const at = beginning(row.group[step] ?? "");
    if (!Number.isNaN(at)) known.set(at, row);
  }
  const times = [...known.keys()].sort((one, other) => one - other);
  const last = times.at(-1);
  if (last === undefined) return { at: [], rows: [] };
  const begun = Math.min(times[0] ?? last, last - (least - 1) * STEP_S[step]);
  const first = Math.max(begun, last - (MOST - 1) * STEP_S[step]);
  const at: number[] = [];
  for (let now = first; now <= last; now += STEP_S[step]) at.push(now);
  return { at, rows: at.map((now) => known.get(now) ?? null) };
}

const COLUMNS = [
  "requests",
  "failed",
  "attempts",
  "input_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "output_tokens",
  "reasoning_tokens",
  "cost_usd",
] as const;

/** RFC 4180. What a spreadsheet would take for a formula is kept as text. */
export function asCsv(groups: readonly Used[], group: string): string {
  const rows = groups.map((row) => [row.group[group] ?? "", ...COLUMNS.map((name) => row[name] ?? "")]);
  return [[group, ...COLUMNS], ...rows].map((row) => row.map((one) => quoted(String(one))).join(",")).join("\r\n");
}

function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
