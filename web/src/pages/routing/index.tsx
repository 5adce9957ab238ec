/** Doors that clients come in by, and how it is chosen who is asked. */

import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Failure, Panel, useSay, Waiting } from "../../components";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { useChange } from "../../parts/changing";
import type { Field } from "../../parts/fields";
import { SendingForm } from "../../parts/SendingForm";
import type { Endpoint } from "./Endpoints";
import { Endpoints } from "./Endpoints";
import { Explain } from "./Explain";
import { Gateways } from "./Gateways";
import type { Chains, Pools } from "./pools";
import { asChains, asPools, readChains, readPools } from "./pools";

interface RoutingTold {
  strategy: string;
  request_retry: number | null;
  max_retry_interval: number;
  force_model_prefix: boolean;
  aliases: Pools;
  fallbacks: Chains;
  context_fallbacks: Chains;
  hedge_after_ms: number | null;
}

export default function Routing() {
  const endpoints = useQuery({ queryKey: keys.endpoints, queryFn: () => get<{ endpoints: Endpoint[] }>("endpoints") });
  const routing = useQuery({ queryKey: keys.routing, queryFn: () => get<RoutingTold>("routing") });
  const names = (endpoints.data?.endpoints ?? []).map((one) => one.name);
  return (
    <Page title="Endpoints and routing" about="The doors that clients come in by, and how it is chosen who is asked.">
      <div className="stack wide">
        <Endpoints found={endpoints} />
        <Explain endpoints={names} />
        <Gateways />
        <Panel title="Routing">
          {routing.isPending && <Waiting lines={4} />}
          {routing.error ? <Failure error={routing.error} again={() => void routing.refetch()} /> : null}
          {routing.data && <Edit of={routing.data} />}
        </Panel>
      </div>
    </Page>
  );
}

const POOLS = { write: asPools, read: readPools };
const CHAINS = { write: asChains, read: readChains };

const FIELDS: readonly Field[] = [
  {
    name: "aliases",
    label: "Aliases",
    kind: "lines",
    lines: POOLS,
    placeholder: "fast = gpt-5-mini * 3, claude-haiku-4-5",
    help: "One “name = model” a line; several with commas share it, by weight where “* 3” follows.",
  },
  {
    name: "fallbacks",
    label: "Fallbacks",
    kind: "lines",
    lines: CHAINS,
    placeholder: "claude-sonnet-4-6 = gpt-5, gemini-3-pro",
    help: "Models that are asked when a model cannot answer.",
  },
  {
    name: "context_fallbacks",
    label: "Fallbacks for long prompts",
    kind: "lines",
    lines: CHAINS,
    placeholder: "gpt-5-mini = gemini-3-pro",
    help: "Models that are asked when a prompt is too long for a model.",
  },
  {
    name: "strategy",
    label: "Strategy",
    kind: "choice",
    choices: ["round-robin", "fill-first", "least-in-flight", "latency", "cost", "sticky"],
    isNeeded: true,
    help: "Which of several credentials is asked first.",
  },
  { name: "request_retry", label: "Attempts at most", kind: "number", placeholder: "each candidate once" },
  { name: "max_retry_interval", label: "Longest wait, in seconds", kind: "number", help: "Between two attempts." },
  { name: "hedge_after_ms", label: "Ask a second after, in ms", kind: "number", placeholder: "never", help: "The first answer wins." },
  { name: "force_model_prefix", label: "Models need their provider's prefix", kind: "switch" },
];

function Edit({ of }: { of: RoutingTold }) {
  const isAdmin = useMay("admin");
  const say = useSay();
  const change = useChange<{ message: string }>((done) => say(done.message));
  return <SendingForm fields={FIELDS} values={{ ...of }} path="routing" change={change} action="Save routing" isReadOnly={!isAdmin} />;
}
