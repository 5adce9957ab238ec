/** How exchanges look wherever they are shown. */

import type { Item, Outcome } from "../api/types";
import { duration, moment, money, short, time, words, ZONE } from "../format";
import { Badge } from "./basics";
import type { Tone } from "./basics";
import type { Column } from "./table";

export const OUTCOMES: readonly Outcome[] = [
  "ok",
  "refused",
  "unavailable",
  "upstream_error",
  "truncated",
  "client_gone",
  "killed",
  "gateway_error",
];

const TONES: Record<Outcome, Tone> = {
  ok: "good",
  refused: "warn",
  unavailable: "bad",
  upstream_error: "bad",
  truncated: "bad",
  client_gone: "quiet",
  killed: "warn",
  gateway_error: "bad",
};

export function toneOf(outcome: Outcome | null): Tone {
  return outcome === null ? "info" : TONES[outcome];
}

const LONGEST_CODE = 32;

/** The status; what became of it, where the status does not tell; why it was refused, where there is room. */
export function Result({ of }: { of: Pick<Item, "outcome" | "status" | "state" | "code" | "error"> }) {
  if (of.state === "running") return <Badge tone="info" dot>running</Badge>;
  const isRefused = of.outcome === "refused" && of.status !== null;
  const said = of.outcome === "ok" || isRefused ? null : words(of.outcome);
  return (
    <span title={of.error ?? undefined}>
      <Badge tone={toneOf(of.outcome)} dot>
        {[of.status, said].filter((one) => one !== null).join(" ")}
        {isRefused && of.code && <span className="why"> {words(of.code).slice(0, LONGEST_CODE)}</span>}
      </Badge>
    </span>
  );
}

/** The model as asked for, and what it became where that is another. */
export function Model({ of }: { of: Pick<Item, "model" | "model_sent" | "replay_of"> }) {
  const isOther = of.model_sent !== null && of.model !== null && of.model_sent !== of.model;
  return (
    <span className="clip" title={isOther ? `${of.model} → ${of.model_sent}` : (of.model ?? undefined)}>
      {of.model ?? of.model_sent ?? "–"}
      {isOther && <span className="quiet"> → {of.model_sent}</span>}
      {of.replay_of && <span className="quiet"> (played again)</span>}
    </span>
  );
}

/** Where one attempt was not enough. */
function Tries({ count }: { count: number }) {
  if (count < 2) return null;
  return (
    <span title={`${count} attempts`}>
      <Badge tone="warn">
        <span aria-hidden="true">×{count}</span>
        <span className="hidden-but-read">{count} attempts</span>
      </Badge>
    </span>
  );
}

/** Of every list of exchanges. `now_ms`: for those that run. */
export function exchangeColumns(now_ms?: number): readonly Column<Item>[] {
  return [
    { name: `Time (${ZONE})`, cell: (one) => <span className="nowrap" title={moment(one.timestamp)}>{time(one.timestamp)}</span> },
    { name: "Result", cell: (one) => <span className="row nowrap tight"><Result of={one} /><Tries count={one.attempts} /></span> },
    { name: "Model", cell: (one) => <Model of={one} /> },
    { name: "Provider", cell: (one) => <span className="clip short second" title={one.provider ?? undefined}>{one.provider ?? "–"}</span> },
    { name: "Key", cell: (one) => <span className="clip short second" title={one.auth_key ?? `no key, from ${one.client}`}>{one.auth_key ?? one.client}</span> },
    { name: "First token", isNumber: true, cell: (one) => <span className="nowrap"><First of={one} /></span> },
    { name: "Took", isNumber: true, cell: (one) => <span className="nowrap"><Took of={one} now_ms={now_ms} /></span> },
    { name: "Tokens", isNumber: true, cell: (one) => <span className="nowrap" title="read → written">{one.input_tokens === null && one.output_tokens === null ? "–" : `${short(one.input_tokens)} → ${short(one.output_tokens)}`}</span> },
    { name: "Cost", isNumber: true, cell: (one) => money(one.cost_usd_nano) },
  ];
}

/** When the first piece of an answer came; an error has none. */
export function First({ of }: { of: Pick<Item, "outcome" | "first_byte_ms"> }) {
  const isAnswer = of.outcome === null || of.outcome === "ok" || of.outcome === "truncated" || of.outcome === "client_gone";
  return <>{duration(isAnswer ? of.first_byte_ms : null)}</>;
}

/** How long it took, or has taken by now. */
export function Took({ of, now_ms }: { of: Item; now_ms?: number }) {
  if (of.state === "running" && now_ms !== undefined) {
    return <span className="quiet">{duration(Math.max(0, now_ms - Date.parse(of.timestamp)))}</span>;
  }
  return <>{duration(of.latency_ms)}</>;
}
