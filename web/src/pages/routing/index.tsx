/** Doors that clients come in by, and how it is chosen who is asked. */

import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Empty, Failure, Panel, Table, useSay, Waiting } from "../../components";
import type { Column } from "../../components";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { useChange } from "../../parts/changing";
import type { Field } from "../../parts/fields";
import { SendingForm } from "../../parts/SendingForm";
import { Explain } from "./Explain";
import type { Chains, Pools } from "./pools";
import { asChains, asPools, readChains, readPools } from "./pools";

interface Endpoint {
  id: string;
  name: string;
  kind: string;
  is_default: boolean;
  path: string;
  target_base: string | null;
  provider: string | null;
  has_proxy: boolean;
  simulate_stream: boolean;
  strict: boolean;
  allowed_models: string[];
  injects_credentials: boolean;
}

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
  const gateways = (endpoints.data?.endpoints ?? []).filter((one) => one.kind === "gateway").map((one) => one.name);
  return (
    <Page title="Endpoints and routing" about="The doors that clients come in by, and how it is chosen who is asked.">
      <div className="stack wide">
        <Panel title="Endpoints" flush>
          <Table
            label="Endpoints"
            columns={COLUMNS}
            rows={endpoints.data?.endpoints}
            rowKey={(row) => row.id}
            error={endpoints.error ?? undefined}
            empty={
              <Empty title="No endpoint yet">Add a provider, and requests are routed by model; or write one into the configuration.</Empty>
            }
          />
        </Panel>
        <Explain endpoints={gateways} />
        <Panel title="Routing">
          {routing.isPending && <Waiting lines={4} />}
          {routing.error ? <Failure error={routing.error} again={() => void routing.refetch()} /> : null}
          {routing.data && <Edit key={JSON.stringify(routing.data)} of={routing.data} />}
        </Panel>
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Endpoint>[] = [
  { name: "Name", cell: (row) => <span className="clip">{row.name}</span> },
  { name: "Kind", cell: (row) => <Badge tone="info">{row.kind}</Badge> },
  {
    name: "Path",
    cell: (row) => (
      <span className="row">
        <code>{row.path}</code>
        {row.is_default && <Badge>and /v1</Badge>}
      </span>
    ),
  },
  { name: "Goes to", cell: (row) => <span className="clip">{row.provider ?? row.target_base ?? "by model"}</span> },
  { name: "Key that is sent", cell: (row) => (row.injects_credentials ? "ours" : "the client's") },
  { name: "Models", cell: (row) => <span className="clip">{row.allowed_models.join(", ") || "any"}</span> },
  {
    name: "Rules",
    cell: (row) =>
      [row.strict && "strict", row.simulate_stream && "streams are simulated", row.has_proxy && "by a proxy"].filter(Boolean).join(", ") ||
      "–",
  },
];

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
