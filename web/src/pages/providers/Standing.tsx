import { Badge } from "../../components";
import type { Tone } from "../../components";
import { span, words } from "../../format";
import type { Credential, State } from "./told";

const TONES: Record<State, Tone> = { ok: "good", cooling: "warn", exhausted: "bad", dead: "bad", stopped: "info", disabled: "quiet" };
const WORDS: Record<State, string> = {
  ok: "ok",
  cooling: "resting",
  exhausted: "spent",
  dead: "refused",
  stopped: "stopped",
  disabled: "disabled",
};

/** The state of a credential, why, and for how long. */
export function Standing({ of }: { of: Pick<Credential, "state" | "why" | "left_s"> }) {
  const why = of.why === "operator" ? "" : words(of.why ?? "").replace("–", "");
  const left = of.left_s === null ? "" : `${span(of.left_s)} left`;
  const more = [why, left].filter(Boolean).join(", ");
  return (
    <span className="row">
      <Badge tone={TONES[of.state] ?? "quiet"} dot>
        {WORDS[of.state] ?? of.state}
      </Badge>
      {more && <span className="quiet">{more}</span>}
    </span>
  );
}
