/** The bars of an exchange's time line, worked out from what is known of its attempts. Pure. */

import type { Exchange } from "../../api/types";

export type Phase = "read" | "queue" | "gateway" | "wait" | "stream" | "pause";

export interface Bar {
  phase: Phase;
  from_ms: number;
  to_ms: number;
}

export interface Lane {
  key: string;
  /** The attempt; null: the gateway's own. */
  attempt: number | null;
  bars: Bar[];
}

export interface Line {
  lanes: Lane[];
  total_ms: number;
  /** When the client got its first piece; null: it got none. */
  first_ms: number | null;
  ticks: number[];
}

export const PHASES: Record<Phase, string> = {
  read: "reading the request",
  queue: "limits and queue",
  gateway: "in the gateway",
  wait: "waiting for the first token",
  stream: "answer coming",
  pause: "pause before the next attempt",
};

const STEPS = [1, 2, 5];

export function lineOf(of: Exchange): Line {
  const ends = of.attempt_list.map((one) => one.begun_ms + (one.total_ms ?? 0));
  const total_ms = Math.max(of.latency_ms ?? 0, ...ends, 0.001);
  const lanes: Lane[] = [];
  const first = of.attempt_list[0];
  lanes.push({ key: "in", attempt: null, bars: acceptedOf(of, first ? first.begun_ms : total_ms) });
  of.attempt_list.forEach((one, index) => {
    const before = ends[index - 1];
    const end_ms = one.total_ms === null ? total_ms : one.begun_ms + one.total_ms;
    const head_ms = one.first_byte_ms === null ? end_ms : one.begun_ms + one.first_byte_ms;
    // of an answer in pieces the head says little: it is the first token that was waited for
    const first_ms = Math.min(end_ms, one.ending === "answered" || one.ending === "truncated" || one.ending === null ? Math.max(head_ms, of.first_byte_ms ?? 0) : head_ms);
    const bars: Bar[] = [];
    if (before !== undefined && one.begun_ms > before) bars.push({ phase: "pause", from_ms: before, to_ms: one.begun_ms });
    bars.push({ phase: "wait", from_ms: one.begun_ms, to_ms: first_ms });
    if (end_ms > first_ms) bars.push({ phase: "stream", from_ms: first_ms, to_ms: end_ms });
    lanes.push({ key: `attempt ${one.number}`, attempt: one.number, bars });
  });
  const last = ends.at(-1);
  if (last !== undefined && of.state === "done" && total_ms - last > total_ms * 0.002) {
    lanes.push({ key: "out", attempt: null, bars: [{ phase: "gateway", from_ms: last, to_ms: total_ms }] });
  }
  return { lanes, total_ms, first_ms: of.first_byte_ms, ticks: ticksOf(total_ms) };
}

/** How the time before the first attempt was spent, as far as that is known. */
function acceptedOf(of: Exchange, end_ms: number): Bar[] {
  const at = (what: string): number | undefined => of.timeline.find((one) => one.what === what)?.at_ms;
  const read_ms = at("body_read");
  const admitted_ms = at("admitted");
  const bars: Bar[] = [];
  let from_ms = 0;
  for (const [phase, to] of [["read", read_ms], ["queue", admitted_ms], ["gateway", end_ms]] as const) {
    if (to === undefined) continue;
    const to_ms = Math.min(Math.max(to, from_ms), end_ms);
    if (to_ms > from_ms) bars.push({ phase, from_ms, to_ms });
    from_ms = to_ms;
  }
  return bars.length ? bars : [{ phase: "gateway", from_ms: 0, to_ms: end_ms }];
}

/** Four to eight round values between nothing and the end. */
export function ticksOf(total_ms: number): number[] {
  const rough = total_ms / 5;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * (STEPS.find((one) => one * size >= rough) ?? 10);
  const found: number[] = [];
  for (let at = 0; at <= total_ms * 0.999; at += step) found.push(at);
  return found;
}
