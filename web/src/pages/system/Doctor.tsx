import { useMutation } from "@tanstack/react-query";

import { get } from "../../api/client";
import { Badge, Button, Failure, Panel } from "../../components";
import type { Tone } from "../../components";
import { many } from "../../format";
import { useMay } from "../../layout/session";

interface Finding {
  check: string;
  subject: string | null;
  level: "ok" | "warning" | "error";
  text: string;
  fix: string | null;
}

interface Examined {
  status: Finding["level"];
  took_s: number;
  counts: Record<Finding["level"], number>;
  findings: Finding[];
}

const TONES: Record<Finding["level"], Tone> = { ok: "good", warning: "warn", error: "bad" };

/** Looks at all that the gateway needs, when it is asked to: providers are asked with each key, which spends nothing. */
export function Doctor() {
  const may = useMay("operator");
  const examined = useMutation({ mutationFn: () => get<Examined>("system/doctor") });
  if (!may) return null;
  const of = examined.data;
  return (
    <Panel
      title="Doctor"
      about={of ? told(of) : "Tries what the gateway needs: files, ports, the ledger, each provider with each key. Nothing is spent."}
      actions={
        <Button icon="again" disabled={examined.isPending} onClick={() => examined.mutate()}>
          {examined.isPending ? "Examining…" : of ? "Examine again" : "Examine"}
        </Button>
      }
      flush
    >
      {examined.error && <div className="filters"><Failure error={examined.error} /></div>}
      {of && (
        <ul className="findings" aria-label="Findings">
          {of.findings.map((one, at) => (
            <li key={at}>
              <Badge tone={TONES[one.level] ?? "quiet"}>{one.level}</Badge>
              <div>
                <b>{one.check}</b> {one.subject && <code>{one.subject}</code>} <span className="second">{one.text}</span>
                {one.fix && <div className="quiet">{one.fix}</div>}
              </div>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function told({ counts, took_s }: Examined): string {
  const wrong = [counts.error && many(counts.error, "error"), counts.warning && many(counts.warning, "warning")].filter(Boolean);
  return `${wrong.length ? wrong.join(", ") : "All is well"}, after ${took_s.toFixed(1)} s.`;
}
