/** Fields of forms as data: how a value of the API becomes what is typed, and back. */

import type { Problem } from "../api/client";

export interface Field {
  name: string;
  label: string;
  /** `either` is a yes or no that may be left to somebody else, whom the placeholder names. */
  kind: "text" | "secret" | "number" | "switch" | "choice" | "list" | "pairs" | "lines" | "time" | "either";
  /** Of `lines`: how they are written and read. */
  lines?: Lines;
  /** Of `lines`: whether one is all that there is. */
  isOneLine?: boolean;
  help?: string;
  placeholder?: string;
  choices?: readonly string[];
  /** Values that are offered for a text. */
  suggestions?: readonly string[];
  isNeeded?: boolean;
  /** Of a list: none at all is said by leaving it out. */
  isLeftOut?: boolean;
  /** Of a secret that there is, and that need not be. */
  canBeTakenOut?: boolean;
  /** Shown only where it is asked for. */
  isRare?: boolean;
  /** Heading that it stands below. */
  part?: string;
}

export interface Lines {
  write: (value: never) => string;
  read: (text: string, path: string) => { value: unknown; problems: Problem[] };
}

export type { Problem };

/** What is typed: text for all but switches; false for a secret that is taken out. */
export type Typed = Record<string, string | boolean>;
export type Values = Record<string, unknown>;

const plain = (value: unknown): string => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");

function entry(value: unknown): string {
  if (value !== null && typeof value === "object") {
    const { id, alias } = value as { id?: unknown; alias?: unknown };
    return alias ? `${plain(id)} = ${plain(alias)}` : plain(id);
  }
  return plain(value);
}

export function typed(fields: readonly Field[], values: Values): Typed {
  return Object.fromEntries(fields.map((field) => [field.name, typedOne(field, values[field.name])]));
}

function typedOne(field: Field, value: unknown): string | boolean {
  switch (field.kind) {
    case "switch":
      return value === true;
    case "either":
      return typeof value === "boolean" ? (value ? "yes" : "no") : "";
    case "secret":
      return "";
    case "list":
      return Array.isArray(value) ? value.map(entry).join("\n") : "";
    case "pairs":
      return value !== null && typeof value === "object"
        ? Object.entries(value)
            .map(([name, one]) => `${name}: ${plain(one)}`)
            .join("\n")
        : "";
    case "lines":
      return value == null ? "" : (field.lines?.write(value as never) ?? "");
    case "time":
      return typeof value === "string" ? value.slice(0, 16) : "";
    default:
      return plain(value);
  }
}

/** What the API is told: null clears a field. Raises `Problem`s where a text is no such value. */
export function told(fields: readonly Field[], now: Typed): { values: Values; problems: Problem[] } {
  const values: Values = {};
  const problems: Problem[] = [];
  for (const field of fields) {
    if (field.kind === "lines" && field.lines) {
      const read = field.lines.read(String(now[field.name] ?? ""), field.name);
      values[field.name] = read.value;
      problems.push(...read.problems);
      continue;
    }
    const read = toldOne(field, now[field.name] ?? "");
    if (read instanceof Error) problems.push({ path: field.name, message: read.message });
    else if (field.isNeeded && read === null) problems.push({ path: field.name, message: "is needed" });
    else values[field.name] = read;
  }
  return { values, problems };
}

const rows = (text: string) =>
  text
    .split("\n")
    .map((row) => row.trim())
    .filter(Boolean);

function toldOne(field: Field, value: string | boolean): unknown {
  if (typeof value === "boolean") return field.kind === "secret" ? null : value;
  const text = value.trim();
  switch (field.kind) {
    case "list":
      if (field.isLeftOut && text === "") return null;
      return rows(text).map((row) => {
        const [id, alias] = row.split(/\s+=\s+/, 2);
        return alias ? { id, alias } : row;
      });
    case "pairs": {
      const pairs = rows(text).map((row) => /^([^:]+):\s*(.*)$/.exec(row));
      if (pairs.some((pair) => pair === null)) return new Error("one “name: value” a line is expected");
      return Object.fromEntries(pairs.map((pair) => [pair?.[1]?.trim(), pair?.[2]]));
    }
    case "number": {
      if (text === "") return null;
      const number = Number(text);
      return Number.isFinite(number) ? number : new Error("a number is expected");
    }
    case "either":
      return text === "" ? null : text === "yes";
    case "time":
      return text === "" ? null : `${text}${text.length === 16 ? ":00" : ""}Z`;
    default:
      return text === "" ? null : text;
  }
}

/** Only what was changed; secrets that were not typed stay as they are. */
export function changed(fields: readonly Field[], before: Typed, now: Typed): { values: Values; problems: Problem[] } {
  return told(
    fields.filter((field) => (now[field.name] ?? "") !== (before[field.name] ?? "")),
    now,
  );
}

/** Only what was filled in. */
export function filled(fields: readonly Field[], now: Typed): { values: Values; problems: Problem[] } {
  return told(
    fields.filter((field) => field.isNeeded || (now[field.name] !== "" && now[field.name] !== false)),
    now,
  );
}

/** The problem of a field: one whose path ends in its name. */
export function problemOf(name: string, problems: readonly Problem[]): string | null {
  const found = problems.filter((problem) => stepsOf(problem.path).includes(name));
  return found.length ? found.map((problem) => problem.message).join("; ") : null;
}

/** Those that no field shows. */
export function elsewhere(fields: readonly Field[], problems: readonly Problem[]): Problem[] {
  return problems.filter((problem) => !fields.some((field) => stepsOf(problem.path).includes(field.name)));
}

function stepsOf(path: string): string[] {
  return path.split(/[.[\]]+/).filter(Boolean);
}
