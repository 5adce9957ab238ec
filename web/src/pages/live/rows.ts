/** What the live list holds. Pure. */

import type { News } from "../../api/live";
import type { Item } from "../../api/types";

const MOST = 300;

export interface Rows {
  /** The newest first. */
  shown: readonly Item[];
  /** What came while the list is held, the newest first; what it shows stays as it was. */
  held: readonly Item[];
  isHeld: boolean;
  /** How many have come that are not in sight. */
  waiting: number;
  missed: number;
}

export const EMPTY: Rows = { shown: [], held: [], isHeld: false, waiting: 0, missed: 0 };

export type Step =
  | { type: "before"; items: readonly Item[] }
  | { type: "news"; news: News }
  | { type: "hold" }
  | { type: "go" };

export function step(rows: Rows, next: Step): Rows {
  switch (next.type) {
    case "hold":
      return { ...rows, isHeld: true, held: rows.shown, waiting: 0 };
    case "go":
      return { ...rows, isHeld: false, shown: rows.held, waiting: 0 };
    case "before":
      return changed(rows, next.items);
    case "news":
      return told(rows, next.news);
  }
}

function told(rows: Rows, news: News): Rows {
  switch (news.type) {
    case "exchange.begun":
    case "exchange.ended":
      return changed(rows, [news.data as Item]);
    case "exchanges.running":
      return changed(gone(rows, news.data as Item[]), news.data as Item[]);
    case "missed":
      return { ...rows, missed: rows.missed + ((news.data as { count: number }).count || 0) };
    default:
      return rows;
  }
}

/** After a lost connection: what was running then and is not running now has ended unseen. */
function gone(rows: Rows, running: readonly Item[]): Rows {
  const ids = new Set(running.map((one) => one.request_id));
  const stays = (one: Item) => one.state === "done" || ids.has(one.request_id);
  return { ...rows, shown: rows.isHeld ? rows.shown : rows.shown.filter(stays), held: rows.held.filter(stays) };
}

function changed(rows: Rows, items: readonly Item[]): Rows {
  if (!rows.isHeld) return { ...rows, shown: merged(rows.shown, items) };
  const known = new Set(rows.held.map((one) => one.request_id));
  const fresh = items.filter((one) => !known.has(one.request_id)).length;
  return { ...rows, held: merged(rows.held, items), waiting: rows.waiting + fresh };
}

function merged(old: readonly Item[], items: readonly Item[]): readonly Item[] {
  const found = new Map(old.map((one) => [one.request_id, one]));
  for (const one of items) {
    // what ended does not run again, whichever message came first
    if (one.state === "running" && found.get(one.request_id)?.state === "done") continue;
    found.set(one.request_id, one);
  }
  return [...found.values()].sort((one, other) => (one.timestamp < other.timestamp ? 1 : one.timestamp > other.timestamp ? -1 : 0)).slice(0, MOST);
}
