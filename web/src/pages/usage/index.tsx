/** What was used and what it cost: over time, and by whatever it can be told apart. */

import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Chart, Choice, Empty, Failure, Note, Panel, Stat, Stats, Table, Waiting } from "../../components";
import type { Column } from "../../components";
import { count, many, money, share, short } from "../../format";
import { Page } from "../../layout/page";
import { SelectField } from "../../parts/controls";
import { asCsv, inTime, sizes } from "./sums";
import type { Used } from "./sums";

interface UsageTold {
  by: string[];
  groups: Used[];
  is_cut: boolean;
  total: Used;
}

const SPANS = [
  { value: "24h", label: "the last 24 hours" },
  { value: "7d", label: "the last 7 days" },
  { value: "30d", label: "the last 30 days" },
  { value: "90d", label: "the last 90 days" },
  { value: "", label: "all the time" },
] as const;

const GROUPS = [
  ["model", "Model"],
  ["provider", "Provider"],
  ["credential", "Credential"],
  ["key", "Client key"],
  ["endpoint", "Endpoint"],
  ["outcome", "Outcome"],
] as const;
type Group = (typeof GROUPS)[number][0];

const DRAWN = [
  ["cost", "Cost"],
  ["tokens", "Tokens"],
  ["requests", "Requests"],
] as const;
type Drawn = (typeof DRAWN)[number][0];

/** A value of the URL, if it is one of those that there are. */
function one_of<T extends string>(value: string | null, all: readonly (readonly [T, string])[], otherwise: T): T {
  return all.find(([name]) => name === value)?.[0] ?? otherwise;
}

export default function Usage() {
  const [asked, setAsked] = useSearchParams();
  const since = asked.get("since") ?? "7d";
  const group = one_of<Group>(asked.get("by"), GROUPS, "model");
  const drawn = one_of<Drawn>(asked.get("show"), DRAWN, "cost");
  const step = since === "24h" ? "hour" : "day";
  const ask = (name: string, value: string) => {
    const next = new URLSearchParams(asked);
    next.set(name, value);
    setAsked(next, { replace: true });
  };
  const used = (by: string) => ({
    queryKey: [...keys.usage, by, since],
    queryFn: ({ signal }: { signal: AbortSignal }) => get<UsageTold>("usage", { by, since }, signal),
    refetchInterval: 30_000,
  });
  const times = useQuery(used(step));
  const groups = useQuery(used(group));
  const total = times.data?.total;
  return (
    <Page
      title="Costs and usage"
      about="As the ledger has it. Times are UTC."
      actions={<SelectField label="Time" value={since} choices={SPANS} onChange={(value) => ask("since", value)} />}
    >
      <div className="stack wide">
        {times.error ? <Failure error={times.error} again={() => void times.refetch()} /> : null}
        {times.isPending && <Waiting lines={4} />}
        {total && total.requests === 0 && (
          <Panel>
            <Empty title="Nothing was asked in this time" actions={<Link className="button" to="/playground">Send one from the playground</Link>}>
              Costs stand here as soon as a request was answered.
            </Empty>
          </Panel>
        )}
        {total && total.requests > 0 && <Totals of={total} />}
        {times.data && times.data.groups.length > 0 && (
          <Panel
            title={step === "hour" ? "By hour" : "By day"}
            actions={<Choice label="What is drawn" value={drawn} options={DRAWN} onChange={(value) => ask("show", value)} />}
          >
            <Over groups={times.data.groups} step={step} drawn={drawn} />
          </Panel>
        )}
        {total && total.requests > 0 && (
          <Panel
            title={`By ${GROUPS.find(([name]) => name === group)?.[1].toLowerCase()}`}
            flush
            actions={
              <>
                <Choice label="Told apart by" value={group} options={GROUPS} onChange={(value) => ask("by", value)} />
                <Button small disabled={!groups.data} onClick={() => groups.data && keep(groups.data.groups, group, since)}>
                  CSV
                </Button>
              </>
            }
          >
            <Groups told={groups.data} group={group} error={groups.error} />
          </Panel>
        )}
        {/* below what is still growing it would jump */}
        {!times.isPending && !groups.isPending && <Prices />}
      </div>
    </Page>
  );
}

function Totals({ of }: { of: Used }) {
  const read = (of.input_tokens ?? 0) > 0 && of.cache_read_tokens !== null ? of.cache_read_tokens / (of.input_tokens ?? 1) : null;
  return (
    <>
      <Stats>
        <Stat
          name="Cost"
          value={money(of.cost_usd_nano)}
          aside={of.requests ? `${money((of.cost_usd_nano ?? 0) / of.requests)} a request` : ""}
        />
        <Stat name="Requests" value={count(of.requests)} aside={many(of.attempts, "attempt")} />
        <Stat
          name="Failed or refused"
          value={share(of.requests ? of.failed / of.requests : null)}
          tone={of.failed ? "warn" : undefined}
          aside={`${count(of.failed)}, those whose client left, too`}
        />
        <Stat name="Input tokens" value={short(of.input_tokens)} aside={`${share(read)} from cache`} />
        <Stat name="Output tokens" value={short(of.output_tokens)} aside={`${short(of.reasoning_tokens)} of them thinking`} />
      </Stats>
      {of.unpriced > 0 && (
        <Note tone="warn">
          {many(of.unpriced, "attempt")} told of tokens whose price is not known: what they cost is not in these sums. Prices can be set in{" "}
          <code>[model_prices]</code>.
        </Note>
      )}
      {of.partly_priced > 0 && <Note tone="warn">{many(of.partly_priced, "attempt")} cost at least what is counted here.</Note>}
    </>
  );
}

/** So many steps a chart has at least, up to the last one in which something was asked. */
const LEAST = { hour: 24, day: 7 } as const;

function Over({ groups, step, drawn }: { groups: Used[]; step: "hour" | "day"; drawn: Drawn }) {
  const { at, rows } = inTime(groups, step, LEAST[step]);
  const numbers = (name: keyof Used) => rows.map((row) => (row ? Number(row[name] ?? 0) : 0));
  const label = `${drawn} by ${step}, ${rows.length} of them`;
  switch (drawn) {
    case "cost":
      return (
        <Chart
          label={label}
          at={at}
          isByDay={step === "day"}
          isLast={false}
          series={[{ name: "Cost", kind: "bars", values: numbers("cost_usd_nano") }]}
          format={money}
        />
      );
    case "tokens":
      return (
        <Chart
          label={label}
          at={at}
          isByDay={step === "day"}
          isLast={false}
          series={[
            { name: "Input", kind: "area", colour: 1, values: numbers("input_tokens") },
            { name: "Output", kind: "area", colour: 2, values: numbers("output_tokens") },
            { name: "From cache", kind: "line", colour: 3, values: numbers("cache_read_tokens") },
          ]}
          format={short}
        />
      );
    case "requests":
      return (
        <Chart
          label={label}
          at={at}
          isByDay={step === "day"}
          isLast={false}
          series={[
            { name: "Requests", kind: "area", colour: 1, values: numbers("requests") },
            { name: "Not ok", kind: "line", colour: "bad", values: numbers("failed") },
          ]}
          format={short}
        />
      );
  }
}

function Groups({ told, group, error }: { told: UsageTold | undefined; group: Group; error: Error | null }) {
  const name = GROUPS.find(([one]) => one === group)?.[1] ?? group;
  const rows =
    told && [...told.groups].sort((one, other) => (other.cost_usd_nano ?? 0) - (one.cost_usd_nano ?? 0) || other.requests - one.requests);
  const most = Math.max(1, ...(rows ?? []).map((row) => row.cost_usd_nano ?? 0));
  const columns: Column<Used>[] = [
    {
      name,
      cell: (row) => (
        <span className="clip" title={row.group[group] ?? ""}>
          {row.group[group] ?? <span className="quiet">nobody</span>}
        </span>
      ),
    },
    { name: "Cost", isNumber: true, cell: (row) => (row.cost_usd_nano === null ? "–" : money(row.cost_usd_nano)) },
    {
      name: "Share",
      cell: (row) => (
        <meter className="share" min={0} max={most} value={row.cost_usd_nano ?? 0} aria-label={`Cost of ${row.group[group] ?? "nobody"}`} />
      ),
    },
    { name: "Requests", isNumber: true, cell: (row) => count(row.requests) },
    { name: "Not ok", isNumber: true, cell: (row) => (row.failed ? <Badge tone="warn">{count(row.failed)}</Badge> : "0") },
    ...sizes.map(([title, read]): Column<Used> => ({ name: title, isNumber: true, cell: (row) => short(read(row)) })),
  ];
  return (
    <>
      {told?.is_cut && <Note tone="warn">There are more groups than are shown here: choose a shorter time.</Note>}
      <Table
        label={`Usage by ${name}`}
        columns={columns}
        rows={rows}
        rowKey={(row) => String(row.group[group])}
        error={error ?? undefined}
      />
    </>
  );
}

/** Hands the sums to the browser as a file. */
function keep(groups: Used[], group: string, since: string): void {
  const url = URL.createObjectURL(new Blob([asCsv(groups, group)], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `usage-by-${group}-${since || "all"}.csv`;
  link.click();
  URL.revokeObjectURL(url);
}

interface Band {
  over_input_tokens: number;
  cells: Record<string, string>;
}

interface Price {
  provider: string;
  model: string;
  listed_as: string | null;
  is_configured: boolean;
  bands: Band[];
  lacks: string[];
}

function Prices() {
  const prices = useQuery({
    queryKey: keys.prices,
    queryFn: () => get<{ calls: string[]; models: Price[]; is_cut: boolean }>("prices"),
    staleTime: 60_000,
  });
  const cell = (row: Price, kind: string) => {
    const price = row.bands[0]?.cells[kind];
    return price === undefined ? "–" : `$${price.replace(/\.0+$|(\.\d*[1-9])0+$/, "$1")}`;
  };
  const columns: Column<Price>[] = [
    {
      name: "Model",
      cell: (row) => (
        <span className="clip" title={`${row.provider}/${row.model}`}>
          {row.model}
        </span>
      ),
    },
    { name: "Provider", cell: (row) => row.provider },
    { name: "Input", isNumber: true, cell: (row) => cell(row, "input") },
    { name: "Cache read", isNumber: true, cell: (row) => cell(row, "cache_read") },
    { name: "Cache write", isNumber: true, cell: (row) => cell(row, "cache_write") },
    { name: "Output", isNumber: true, cell: (row) => cell(row, "output") },
    {
      name: "From",
      cell: (row) =>
        row.listed_as === null ? (
          <Badge tone="warn">not known</Badge>
        ) : row.is_configured ? (
          <Badge tone="info">your config</Badge>
        ) : (
          <Badge>price list</Badge>
        ),
    },
  ];
  return (
    <Panel title="Prices" about="US dollars a million tokens" flush>
      <Table
        label="Prices"
        columns={columns}
        rows={prices.data?.models}
        rowKey={(row) => `${row.provider}/${row.model}`}
        error={prices.error ?? undefined}
        empty={<Empty title="No model is named yet">Models stand here once they are listed with a provider or were asked for.</Empty>}
      />
    </Panel>
  );
}
