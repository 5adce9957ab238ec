import { added, DIALECTS, type DialectName, type Json, NOTHING, type Question, type Told } from "./dialects";
import { EventReader } from "./events";

/** What has come of a question so far. */
export interface Progress {
  state: "waiting" | "streaming" | "done" | "failed" | "stopped";
  status: number | null;
  told: Told;
  /** As it came, up to `KEPT` characters. */
  raw: string;
  events: number;
  first_ms: number | null;
  total_ms: number | null;
  /** Headers of the answer that tell what the gateway did. */
  headers: [string, string][];
}

export const WAITING: Progress = {
  state: "waiting",
  status: null,
  told: NOTHING,
  raw: "",
  events: 0,
  first_ms: null,
  total_ms: null,
  headers: [],
};

const KEPT = 200_000;
const TOLD = /^(x-request-id|x-debug-|x-llmitm-|retry-after|content-type|x-ratelimit-)/;

/**
 * Asks, and tells of each step. `signal` ends it. Never throws: what goes wrong is told as progress.
 * `ask` is `fetch` with what the admin server wants of a browser.
 */
export async function send(
  ask: (path: string, body: unknown, signal: AbortSignal) => Promise<Response>,
  endpoint: string,
  dialect: DialectName,
  question: Question,
  signal: AbortSignal,
  tell: (progress: Progress) => void,
  now: () => number = () => performance.now(),
): Promise<void> {
  const begun = now();
  let seen = WAITING;
  const step = (more: Partial<Progress>) => {
    seen = { ...seen, ...more };
    tell(seen);
  };
  const failed = (error: string) => step({ state: "failed", told: { ...seen.told, error }, total_ms: now() - begun });
  try {
    const read = DIALECTS[dialect];
    const path = `${endpoint ? `${encodeURIComponent(endpoint)}/` : ""}${read.path(question)}`;
    const answer = await ask(path, read.body(question), signal);
    const headers = [...answer.headers].filter(([name]) => TOLD.test(name));
    step({ status: answer.status, headers, state: "streaming" });
    const isStream = (answer.headers.get("content-type") ?? "").includes("text/event-stream");
    const reader = new EventReader();
    const decoder = new TextDecoder();
    const pieces = answer.body?.getReader();
    let whole = "";
    while (pieces) {
      const { done, value } = await pieces.read();
      const text = decoder.decode(value, { stream: !done });
      whole = isStream ? "" : whole + text;
      let told = seen.told;
      let events = seen.events;
      for (const event of isStream ? reader.read(text) : []) {
        events += 1;
        if (event.data !== "[DONE]") told = added(told, dialect, parsed(event.data), true);
      }
      const isFirst = seen.first_ms === null && (isStream ? told.text !== "" || told.thought !== "" : text !== "");
      step({
        told,
        events,
        raw: (seen.raw + text).slice(0, KEPT),
        first_ms: isFirst ? now() - begun : seen.first_ms,
      });
      if (done) break;
    }
    if (!isStream) step({ told: added(seen.told, dialect, parsed(whole), false) });
    if (seen.told.error !== null) failed(seen.told.error);
    else if (!answer.ok) failed(`The gateway answered ${answer.status}.`);
    else step({ state: "done", total_ms: now() - begun });
  } catch (error) {
    if (signal.aborted) step({ state: "stopped", total_ms: now() - begun });
    else failed(error instanceof Error ? error.message : "The request failed.");
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}
