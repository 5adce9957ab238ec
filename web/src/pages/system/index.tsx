/** What runs here, whether it is well, and what it wrote into its log. */

import "../../parts/parts.css";

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Facts, Failure, Note, Panel, Stat, Stats, Table, useSay, Waiting } from "../../components";
import type { Column } from "../../components";
import { bytes, count, duration, moment, second, span, words, ZONE } from "../../format";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { SelectField, TextField } from "../../parts/controls";
import { useChange } from "../../parts/changing";
import { Doctor } from "./Doctor";

interface Check {
  name: string;
  is_well: boolean;
  text: string;
}

interface ProviderHealth {
  name: string;
  credentials: number;
  usable: number;
  breaker: string | null;
  is_disabled: boolean;
}

interface Health {
  status: "ok" | "degraded" | "draining";
  host: string;
  port: number | null;
  tls_enabled: boolean;
  providers: ProviderHealth[];
  checks: Check[];
}

interface Info {
  version: string;
  python: string;
  mitmproxy: string | null;
  prices: string | null;
  platform: string;
  pid: number;
  workers: number;
  started_at: string;
  uptime_secs: number;
  in_flight: number;
  exchanges: number;
  sessions: number;
  memory_bytes: number | null;
  loop_lag_worst_ms: number | null;
  readers: number;
  config: string;
  ledger: string | null;
  ledger_waiting: number | null;
  ledger_lost: number | null;
  state: string;
  warnings: string[];
}

interface Line {
  number: number;
  at: string;
  level: string;
  message: string;
}

interface LinePage {
  items: Line[];
  next_cursor: string | null;
  total: number;
}

const EVERY_MS = 5_000;
const ABOUT = "What runs here, and whether it is well.";

export default function System() {
  const health = useQuery({ queryKey: [...keys.system, "health"], queryFn: () => get<Health>("system/health"), refetchInterval: EVERY_MS });
  const info = useQuery({ queryKey: [...keys.system, "info"], queryFn: () => get<Info>("system/info"), refetchInterval: EVERY_MS });
  // what stands below what is still growing would jump
  if (info.isPending || health.isPending)
    return (
      <Page title="System" about={ABOUT} actions={<Reload />}>
        <Waiting lines={6} />
      </Page>
    );
  return (
    <Page title="System" about={ABOUT} actions={<Reload />}>
      <div className="stack wide">
        {info.error ? <Failure error={info.error} again={() => void info.refetch()} /> : null}
        {info.data && <Numbers of={info.data} status={health.data?.status} />}
        {info.data?.warnings.map((warning) => (
          <Note key={warning} tone="warn">
            {warning}
          </Note>
        ))}
        <div className="columns-wide">
          <Panel title="Health">
            {health.error ? <Failure error={health.error} again={() => void health.refetch()} /> : null}
            {health.data && <Checks of={health.data.checks} />}
          </Panel>
          <Panel title="What runs">{info.data && <What of={info.data} health={health.data} />}</Panel>
        </div>
        {health.data && health.data.providers.length > 0 && (
          <Panel title="Providers" flush>
            <Table
              label="Health of providers"
              columns={PROVIDERS}
              rows={health.data.providers}
              rowKey={(row) => row.name}
              href={(row) => `/providers/${encodeURIComponent(row.name)}`}
            />
          </Panel>
        )}
        <Doctor />
        <Lines />
      </div>
    </Page>
  );
}

function Reload() {
  const may = useMay("operator");
  const say = useSay();
  const change = useChange(() => say("The configuration was read anew."));
  if (!may) return null;
  return (
    <>
      {change.error && <Failure error={change.error} />}
      <Button icon="again" disabled={change.isBusy} onClick={() => change.send("POST", "config/reload")}>
        Read config anew
      </Button>
    </>
  );
}

function Numbers({ of, status }: { of: Info; status?: Health["status"] }) {
  const tone = status === "ok" ? "good" : status === undefined ? undefined : "warn";
  const lag = of.loop_lag_worst_ms;
  return (
    <Stats>
      <Stat name="State" value={status ?? "–"} tone={tone} aside={`version ${of.version}`} />
      <Stat name="Up for" value={span(of.uptime_secs)} aside={`since ${moment(of.started_at)}`} />
      <Stat name="Exchanges" value={count(of.exchanges)} aside={`${count(of.in_flight)} under way`} />
      <Stat name="Live sessions" value={count(of.sessions)} aside={`${count(of.readers)} reading along`} />
      <Stat name="Memory" value={bytes(of.memory_bytes)} />
      <Stat
        name="Event loop lag, worst"
        value={duration(lag)}
        tone={lag !== null && lag > 100 ? "warn" : undefined}
        aside="in the last minute"
      />
    </Stats>
  );
}

function Checks({ of }: { of: Check[] }) {
  return (
    <ul className="stack">
      {of.map((one) => (
        <li key={one.name} className="check-line">
          <Badge tone={one.is_well ? "good" : "bad"}>{one.is_well ? "well" : "not well"}</Badge>
          <span>
            <b>{words(one.name)}</b> <span className="second">{one.text}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

function What({ of, health }: { of: Info; health: Health | undefined }) {
  const address = health && `${health.tls_enabled ? "https" : "http"}://${health.host}${health.port ? `:${health.port}` : ""}`;
  return (
    <Facts
      of={[
        ["Listens on", address && <code>{address}</code>],
        ["Config", <code key="config">{of.config}</code>],
        ["Ledger", of.ledger ? <code>{of.ledger}</code> : "none is kept"],
        ["Not written yet", of.ledger ? `${count(of.ledger_waiting)} exchanges` : null],
        ["Lost", of.ledger ? `${count(of.ledger_lost)} exchanges` : null],
        ["Counters", of.state],
        ["Workers", String(of.workers)],
        ["Process", String(of.pid)],
        ["Python", of.python],
        ["mitmproxy", of.mitmproxy],
        ["Price list", of.prices],
        ["Platform", of.platform],
      ]}
    />
  );
}

const PROVIDERS: readonly Column<ProviderHealth>[] = [
  { name: "Provider", cell: (row) => row.name },
  { name: "State", cell: (row) => <ProviderState of={row} /> },
  { name: "Credentials in service", isNumber: true, cell: (row) => `${row.usable} of ${row.credentials}` },
  { name: "Breaker", cell: (row) => words(row.breaker) },
];

function ProviderState({ of }: { of: ProviderHealth }) {
  if (of.is_disabled) return <Badge>disabled</Badge>;
  if (of.credentials === 0) return <Badge>no credential</Badge>;
  if (of.usable === 0) return <Badge tone="bad">out</Badge>;
  return of.usable < of.credentials ? <Badge tone="warn">in part</Badge> : <Badge tone="good">well</Badge>;
}

const LEVELS = [
  { value: "", label: "all levels" },
  { value: "info", label: "info and worse" },
  { value: "warning", label: "warnings and worse" },
  { value: "error", label: "errors" },
] as const;
const TONES = { error: "bad", critical: "bad", warning: "warn", info: "info" } as const;

function Lines() {
  const [asked, setAsked] = useSearchParams();
  const level = asked.get("level") ?? "";
  const q = asked.get("q") ?? "";
  const [typed, setTyped] = useState(q);
  const frame = useRef<HTMLDivElement>(null);
  const isSought = useRef(q !== "");
  const lines = useInfiniteQuery({
    queryKey: [...keys.system, "logs", level, q],
    queryFn: ({ pageParam, signal }) => get<LinePage>("system/logs", { level, q, cursor: pageParam, limit: 100 }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
  });
  const ask = (name: string, value: string) => {
    const next = new URLSearchParams(asked);
    if (value) next.set(name, value);
    else next.delete(name);
    setAsked(next, { replace: true });
  };
  const rows = lines.data?.pages.flatMap((page) => page.items);
  // who came for certain lines is shown them
  useEffect(() => {
    if (isSought.current && rows) frame.current?.scrollIntoView();
    if (rows) isSought.current = false;
  }, [rows]);
  return (
    <div ref={frame}><Panel
      title="Log of the gateway"
      about={`The newest first. Times are ${ZONE}.`}
      flush
      actions={
        <Button small icon="again" onClick={() => void lines.refetch()}>
          Read again
        </Button>
      }
    >
      <form
        className="columns filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          ask("q", typed.trim());
        }}
      >
        <SelectField label="Level" value={level} choices={LEVELS} onChange={(value) => ask("level", value)} />
        <TextField label="Holds the words" type="search" value={typed} onChange={setTyped} placeholder="Enter looks for them" />
      </form>
      {lines.error ? <Failure error={lines.error} again={() => void lines.refetch()} /> : null}
      {rows?.length === 0 && (
        <p className="filters quiet">{q || level ? "No line is like that." : "Nothing was written since the start."}</p>
      )}
      {rows && rows.length > 0 && (
        <ol className="log-lines" aria-label="Log, the newest first" tabIndex={0}>
          {rows.map((line) => (
            <li key={line.number}>
              <time dateTime={line.at} title={line.at}>
                {second(line.at)}
              </time>
              <Badge tone={TONES[line.level as keyof typeof TONES] ?? "quiet"}>{line.level}</Badge>
              <span><Linked text={line.message} /></span>
            </li>
          ))}
        </ol>
      )}
      {lines.hasNextPage && (
        <div className="filters">
          <Button disabled={lines.isFetchingNextPage} onClick={() => void lines.fetchNextPage()}>
            Older lines
          </Button>
        </div>
      )}
    </Panel></div>
  );
}

const EXCHANGE = /\b(llmitm-[0-9a-f]{4,}-[0-9a-f]+)\b/;

/** Ids of exchanges lead to them. */
function Linked({ text }: { text: string }) {
  return text.split(EXCHANGE).map((one, at) => (at % 2 ? <Link key={at} to={`/requests/${one}`}>{one}</Link> : one));
}
