/** Limits and amounts of budgets, as they are typed. */

import type { Problem } from "../../api/client";

export type Amounts = number | Record<string, number> | null;
export type ModelLimits = Record<string, Record<string, number | null>>;

interface Read<T> {
  value: T;
  problems: Problem[];
}

const PERIODS = ["daily", "weekly", "monthly", "total"];
const LIMITS = ["rpm", "tpm", "concurrency"];

/** `20`, or `daily 2, monthly 20` */
export function asAmounts(amounts: Amounts): string {
  if (amounts === null) return "";
  if (typeof amounts === "number") return String(amounts);
  return Object.entries(amounts)
    .map(([period, amount]) => `${period} ${amount}`)
    .join(", ");
}

export function readAmounts(text: string, path: string): Read<Amounts> {
  const trimmed = text.trim();
  if (trimmed === "") return { value: null, problems: [] };
  const plain = numberOf(trimmed);
  if (plain !== null) return { value: plain, problems: [] };
  const named = readNamed(trimmed, PERIODS);
  const message = "an amount is expected, or amounts by period such as “daily 2, monthly 20”";
  return named ? { value: named, problems: [] } : { value: null, problems: [{ path, message }] };
}

/** `gpt-5* = rpm 60, tpm 100000`, a pattern a line */
export function asModelLimits(models: ModelLimits): string {
  return Object.entries(models)
    .map(([glob, limits]) => `${glob} = ${asAmounts(onlySet(limits))}`)
    .join("\n");
}

function onlySet(limits: Record<string, number | null>): Record<string, number> {
  return Object.fromEntries(Object.entries(limits).filter((pair): pair is [string, number] => pair[1] !== null));
}

export function readModelLimits(text: string, path: string): Read<ModelLimits | null> {
  const found = new Map<string, Record<string, number>>();
  const problems: Problem[] = [];
  for (const row of text.split("\n").map((one) => one.trim())) {
    if (!row) continue;
    const [, glob = "", told = ""] = /^(.+?)\s+=\s+(.*)$/.exec(row) ?? [];
    const limits = readNamed(told, LIMITS);
    if (!glob || !limits) problems.push({ path, message: `“${row}”: a line such as “gpt-5* = rpm 60, tpm 100000, concurrency 8” is expected` });
    else if (found.has(glob)) problems.push({ path, message: `${glob} stands there twice` });
    else found.set(glob, limits);
  }
  return { value: found.size ? Object.fromEntries(found) : null, problems };
}

/** Names with numbers between commas, each name once; null where it is not that. */
function readNamed(text: string, names: readonly string[]): Record<string, number> | null {
  const found = new Map<string, number>();
  for (const one of text.split(",")) {
    const [name = "", number = "", ...more] = one.trim().split(/\s+/);
    const amount = numberOf(number);
    if (!names.includes(name) || amount === null || more.length > 0 || found.has(name)) return null;
    found.set(name, amount);
  }
  return Object.fromEntries(found);
}

function numberOf(text: string): number | null {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : null;
}
