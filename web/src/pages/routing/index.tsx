/** Doors that clients come in by, and how it is chosen who is asked. */

import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Empty, Failure, Panel, Table, useSay, Waiting } from "../../components";
import type { Column } from "../../components";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { TextArea } from "../../parts/controls";
import { useChange } from "../../parts/changing";
import type { Field } from "../../parts/fields";
import { changed, problemOf, typed } from "../../parts/fields";
import { Form } from "../../parts/Form";
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

const FIELDS: readonly Field[] = [
  {
    name: "strategy",
    label: "Strategy",
    kind: "choice",
    choices: ["round-robin", "fill-first", "least-in-flight", "latency", "cost", "sticky"],
    isNeeded: true,
    help: "Which of several credentials is asked first.",
  },
  { name: "request_retry", label: "Attempts at most", kind: "number", placeholder: "each candidate once" },
  { name: "max_retry_interval", label: "Longest wait between attempts, in seconds", kind: "number" },
  { name: "hedge_after_ms", label: "Ask a second one after, in milliseconds", kind: "number", placeholder: "never" },
  { name: "force_model_prefix", label: "Models need their provider's prefix", kind: "switch" },
];

const TEXTS = [
  [
    "aliases",
    "Aliases",
    "fast = gpt-5-mini * 3, claude-haiku-4-5",
    "One “name = model” a line; several with commas share it, by weight where “* 3” follows.",
  ],
  ["fallbacks", "Fallbacks", "claude-sonnet-4-6 = gpt-5, gemini-3-pro", "Models that are asked when a model cannot answer."],
  [
    "context_fallbacks",
    "Fallbacks for long prompts",
    "gpt-5-mini = gemini-3-pro",
    "Models that are asked when a prompt is too long for a model.",
  ],
] as const;
type Text = (typeof TEXTS)[number][0];

function Edit({ of }: { of: RoutingTold }) {
  const isAdmin = useMay("admin");
  const say = useSay();
  const [before] = useState(() => typed(FIELDS, { ...of }));
  const [first] = useState<Record<Text, string>>(() => ({
    aliases: asPools(of.aliases),
    fallbacks: asChains(of.fallbacks),
    context_fallbacks: asChains(of.context_fallbacks),
  }));
  const [values, setValues] = useState(before);
  const [texts, setTexts] = useState(first);
  const change = useChange<{ message: string }>((done) => say(done.message));
  const read = changed(FIELDS, before, values);
  const differing = TEXTS.map(([name]) => name).filter((name) => texts[name] !== first[name]);
  const submit = () => {
    const told = { ...read.values };
    const problems = [...read.problems];
    for (const name of differing) {
      const found = name === "aliases" ? readPools(texts[name], name) : readChains(texts[name], name);
      told[name] = found.value;
      problems.push(...found.problems);
    }
    if (problems.length) change.refuse(problems);
    else change.send("PATCH", "routing", told);
  };
  const isUnchanged = read.problems.length === 0 && Object.keys(read.values).length === 0 && differing.length === 0;
  const others = change.problems.filter((one) => !TEXTS.some(([name]) => problemOf(name, [one])));
  return (
    <div className="stack wide">
      {TEXTS.map(([name, label, placeholder, help]) => (
        <TextArea
          key={name}
          name={name}
          label={label}
          help={help}
          placeholder={placeholder}
          isCode
          isOff={!isAdmin}
          value={texts[name]}
          error={problemOf(name, change.problems)}
          onChange={(value) => setTexts({ ...texts, [name]: value })}
        />
      ))}
      <Form
        fields={FIELDS}
        values={values}
        onChange={setValues}
        onSubmit={submit}
        problems={others}
        failure={change.failure}
        isBusy={change.isBusy}
        action="Save routing"
        isReadOnly={!isAdmin}
        isUnchanged={isUnchanged}
      />
    </div>
  );
}
