/** Which parts of a TOML line are what, for colour alone: it decides nothing. */

export type Kind = "comment" | "table" | "key" | "text" | "number" | "word" | "secret" | "plain";

export interface Token {
  kind: Kind;
  text: string;
}

const TOKENS =
  /(?<comment>#.*)|(?<text>"(?:\\.|[^"\\])*"?|'[^']*'?)|(?<number>[+-]?\b\d[\d_.:TZe+-]*)|(?<word>\b(?:true|false|inf|nan)\b)/g;
const HEAD = /^(\s*)(\[\[?[^\]#]*\]?\]?)/;
const KEY = /^(\s*)((?:"[^"]*"|'[^']*'|[\w.-])+)(?=\s*=)/;
const REFERENCE = /^["'](?:env|file):/;

export function tokensOf(line: string): Token[] {
  const found: Token[] = [];
  const put = (kind: Kind, text: string | undefined) => {
    if (text) found.push({ kind, text });
  };
  let rest = line;
  const start = HEAD.exec(line) ?? KEY.exec(line);
  if (start) {
    put("plain", start[1]);
    put(HEAD.test(line) ? "table" : "key", start[2]);
    rest = line.slice(start[0].length);
  }
  let read = 0;
  for (const match of rest.matchAll(TOKENS)) {
    put("plain", rest.slice(read, match.index));
    const named = Object.entries(match.groups ?? {}).find((pair) => pair[1] !== undefined);
    const kind = (named?.[0] ?? "plain") as Kind;
    put(kind === "text" && REFERENCE.test(match[0]) ? "secret" : kind, match[0]);
    read = match.index + match[0].length;
  }
  put("plain", rest.slice(read));
  return found;
}

/**
 * The line, from 1, on which a path of a problem such as `providers.openai.base_url` or
 * `auth_keys[1].rpm` stands; null where it cannot be told.
 */
export function lineOf(text: string, path: string): number | null {
  const wanted = steps(path);
  if (wanted.length === 0) return null;
  const counts = new Map<string, number>();
  let here: string[] = [];
  let best: { line: number; depth: number } | null = null;
  text.split("\n").forEach((line, index) => {
    const array = /^\s*\[\[(.+?)\]\]/.exec(line);
    const table = array ?? /^\s*\[(.+?)\]/.exec(line);
    let full: string[];
    if (table) {
      const names = steps(table[1] ?? "");
      if (array) {
        const name = names.join("\0");
        const count = counts.get(name) ?? 0;
        counts.set(name, count + 1);
        names.push(String(count));
      }
      here = inArrays(names, counts);
      full = here;
    } else {
      const key = KEY.exec(line);
      if (!key) return;
      full = [...here, ...steps(key[2] ?? "")];
    }
    if (full.length <= wanted.length && full.every((step, at) => step === wanted[at])) {
      if (!best || full.length > best.depth) best = { line: index + 1, depth: full.length };
    }
  });
  return (best as { line: number } | null)?.line ?? null;
}

/** `[providers.a.credentials]` below `[[providers.a]]` is of the newest `providers.a`. */
function inArrays(names: string[], counts: Map<string, number>): string[] {
  const made: string[] = [];
  const plain: string[] = [];
  names.forEach((name, at) => {
    made.push(name);
    plain.push(name);
    const count = counts.get(plain.join("\0"));
    const isLast = at === names.length - 1 || (at === names.length - 2 && /^\d+$/.test(names[at + 1] ?? ""));
    if (count !== undefined && !isLast) made.push(String(count - 1));
  });
  return made;
}

function steps(path: string): string[] {
  return [...path.matchAll(/"([^"]*)"|'([^']*)'|\[(\d+)\]|([^.[\]"'\s]+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? match[4] ?? "",
  );
}
