import type { ReactNode } from "react";
import { Link } from "react-router";

import { part } from "../../api/client";
import type { Attempt, Exchange } from "../../api/types";
import { Badge, Facts } from "../../components";
import type { Tone } from "../../components";
import { bytes, duration, money, short, words } from "../../format";

const NEXT: Record<string, string> = {
  delivered: "delivered to the client",
  deliver: "the client is told at once",
  credential: "the next candidate is asked",
  larger_model: "a model with more context is asked",
};

/** What each attempt was, how it ended, and what was done about it. */
export function Attempts({ of }: { of: Exchange }) {
  if (of.attempt_list.length === 0) return null;
  return (
    <ol className="attempts">
      {of.attempt_list.map((one) => <AttemptOf key={one.number} of={one} isLast={one.number === of.attempt_list.at(-1)?.number} />)}
    </ol>
  );
}

function verdictOf(of: Attempt, isLast: boolean): ReactNode {
  if (of.verdict === null) return null;
  if (of.verdict === "larger_model" && isLast) {
    return (
      <>
        no model with more context is named (<Link to="/routing">Routing</Link>, fallbacks for long prompts)
      </>
    );
  }
  if (of.ending === "truncated") return "the client has what came before, and was told that it broke off";
  if (isLast && of.verdict === "credential") return "there was nobody else to ask";
  return NEXT[of.verdict] ?? words(of.verdict);
}

function AttemptOf({ of, isLast }: { of: Attempt; isLast: boolean }) {
  const tone: Tone = of.ending === "answered" ? "good" : of.ending === null ? "info" : of.ending === "dropped" ? "quiet" : "bad";
  const verdict = verdictOf(of, isLast);
  return (
    <li>
      <details open={of.ending !== "answered" && of.ending !== null}>
        <summary>
          <span className="step" data-tone={tone}>{of.number}</span>
          <span className="who">
            <b>{of.provider}</b>
            {of.credential && <span className="quiet"> / {of.credential}</span>}
            {of.model && <span className="second"> {of.model}</span>}
          </span>
          <Badge tone={tone}>{[of.status, of.ending === "answered" ? null : words(of.ending ?? "running")].filter((one) => one !== null).join(" ")}</Badge>
          <span className="second">{duration(of.total_ms)}</span>
        </summary>
        <div className="told">
          <p>
            {of.reason}
            {verdict && <> <span className="quiet">→</span> {verdict}</>}
            {of.rests && <> <Link to={`/providers/${part(of.provider)}`}><Badge tone="warn">the {of.rests} rests</Badge></Link></>}
          </p>
          {of.error && <p className="second"><code>{of.error}</code></p>}
          {of.mitmweb_url && <p><a href={of.mitmweb_url} target="_blank" rel="noreferrer">Open in mitmweb</a></p>}
          {of.warnings.length > 0 && <ul className="listed">{of.warnings.map((one) => <li key={one}>{one}</li>)}</ul>}
          <Facts
            of={[
              ["Host", of.host],
              ["Dialect", of.dialect],
              ["Answered as", of.model_answered !== of.model ? of.model_answered : null],
              ["Provider's id", of.upstream_id && <code key="id">{of.upstream_id}</code>],
              ["First byte", of.first_byte_ms === null ? null : duration(of.first_byte_ms)],
              ["Sent", of.request_bytes === null ? null : bytes(of.request_bytes)],
              ["Came", of.response_bytes === null ? null : bytes(of.response_bytes)],
              ["Tokens", of.tokens.input_tokens == null ? null : `${short(Number(of.tokens.input_tokens))} → ${short(of.tokens.output_tokens == null ? null : Number(of.tokens.output_tokens))}`],
              ["Cost", of.cost_usd_nano === null ? null : money(of.cost_usd_nano)],
            ]}
          />
        </div>
      </details>
    </li>
  );
}
