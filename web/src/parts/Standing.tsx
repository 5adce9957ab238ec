import { Badge } from "../components";
import type { Tone } from "../components";
import { many, span, words } from "../format";

const TONES: Record<string, Tone> = { ok: "good", cooling: "warn", exhausted: "bad", dead: "bad", stopped: "info", disabled: "quiet" };
const WORDS: Record<string, string> = {
  ok: "ok",
  cooling: "resting",
  exhausted: "spent",
  dead: "refused",
  stopped: "stopped",
  disabled: "disabled",
};

const WHY: Record<string, string> = {
  operator: "",
  auth: "the provider does not know the key",
  billing: "no money or quota is left",
  permission: "the key may not do this",
  rate_limit: "rate limit",
  overloaded: "the provider is overloaded",
  server: "the provider failed",
  network: "no connection",
  timeout: "it took too long",
};

/** In what state a credential is. */
export function State({ of }: { of: string }) {
  return (
    <Badge tone={TONES[of] ?? "quiet"} dot>
      {WORDS[of] ?? words(of)}
    </Badge>
  );
}

/** The state of a credential, why, and for how long. */
export function Standing({ of }: { of: { state: string; why: string | null; left_s: number | null; resting_models?: number } }) {
  const why = of.why === null ? "" : (WHY[of.why] ?? words(of.why));
  const isOut = of.state !== "ok" && of.state !== "disabled";
  const left = of.left_s !== null ? `${span(of.left_s)} left` : isOut ? "until revived" : "";
  const apart = of.state === "ok" && of.resting_models ? `rests for ${many(of.resting_models, "model")}` : "";
  const more = [why, left, apart].filter(Boolean).join(", ");
  return (
    <span className="row">
      <State of={of.state} />
      {more && <span className="quiet">{more}</span>}
    </span>
  );
}
