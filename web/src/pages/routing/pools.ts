/** Aliases and fallbacks, a line each, as they are typed. */

import type { Problem } from "../../api/client";

export interface Member {
  model: string;
  weight: number;
}

export type Pools = Record<string, Member[]>;
export type Chains = Record<string, string[]>;

/** `fast = gpt-5-mini * 3, claude-haiku` */
export function asPools(pools: Pools): string {
  return Object.entries(pools)
    .map(
      ([name, members]) => `${name} = ${members.map((one) => (one.weight === 1 ? one.model : `${one.model} * ${one.weight}`)).join(", ")}`,
    )
    .join("\n");
}

export function asChains(chains: Chains): string {
  return Object.entries(chains)
    .map(([name, models]) => `${name} = ${models.join(", ")}`)
    .join("\n");
}

function rows(text: string, path: string): { found: [string, string[]][]; problems: Problem[] } {
  const found: [string, string[]][] = [];
  const problems: Problem[] = [];
  for (const row of text.split("\n").map((one) => one.trim())) {
    if (!row) continue;
    const equals = row.indexOf(" = ");
    const models = row
      .slice(equals + 3)
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    const name = row.slice(0, Math.max(0, equals)).trim();
    if (!name || models.length === 0) problems.push({ path, message: `“${row}”: one “name = model, model” a line is expected` });
    else if (found.some(([other]) => other === name)) problems.push({ path, message: `${name} stands there twice` });
    else found.push([name, models]);
  }
  return { found, problems };
}

export function readChains(text: string, path: string): { value: Chains; problems: Problem[] } {
  const { found, problems } = rows(text, path);
  return { value: Object.fromEntries(found), problems };
}

export function readPools(text: string, path: string): { value: Pools; problems: Problem[] } {
  const { found, problems } = rows(text, path);
  const pools = found.map(([name, models]): [string, Member[]] => [name, models.map(member)]);
  return { value: Object.fromEntries(pools), problems };
}

function member(text: string): Member {
  const weighted = /^(.+?)\s+\*\s*(\d+)$/.exec(text);
  return weighted ? { model: weighted[1] ?? text, weight: Number(weighted[2]) } : { model: text, weight: 1 };
}
