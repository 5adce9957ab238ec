/** Whether all is well, within five seconds. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { get } from "../../api/client";
import { useLink } from "../../api/live";
import { keys } from "../../api/queries";
import type { CredentialState, Metrics } from "../../api/types";
import { useMetrics } from "../../api/use";
import { Chart, Code, Empty, Failure, Note, Panel, Stat, Stats, Table, Waiting } from "../../components";
import type { Column, Tone } from "../../components";
import { bytes, count, duration, many, money, share, short, span, time, words, ZONE } from "../../format";
import { Page } from "../../layout/page";
import { Standing } from "../../parts/Standing";

export default function Overview() {
  const { data, error, refetch, dataUpdatedAt } = useMetrics();
  const isHeard = useLink() !== "lost" && !error;
  return (
    <Page title="Overview" about="The last five minutes, told every second.">
      {error && !data ? <Failure error={error} again={() => void refetch()} /> : data ? <Told metrics={data} until_ms={isHeard ? null : dataUpdatedAt} /> : <Waiting lines={6} />}
    </Page>
  );
}

/** `until_ms`: when the gateway was last heard; null: it is. */
function Told({ metrics, until_ms }: { metrics: Metrics; until_ms: number | null }) {
  return (
    <>
      {metrics.is_draining && <Note tone="warn">The gateway is stopping: it ends what is under way and takes nothing new.</Note>}
      {until_ms === null ? <Verdict of={metrics} /> : <Silence since_ms={until_ms} />}
      <Numbers of={metrics} />
      {metrics.total_requests === 0 ? <First /> : <Curves of={metrics} />}
      <div className="grid">
        <Credentials of={metrics} />
        <Failures of={metrics} />
      </div>
      {metrics.total_requests > 0 && (
        <div className="grid">
          <Models of={metrics} />
          <Process of={metrics} />
        </div>
      )}
    </>
  );
}

function Silence({ since_ms }: { since_ms: number }) {
  return (
    <p className="verdict" data-tone="bad" role="alert">
      <i className="dot" data-tone="bad" /> <b>No answer:</b> the gateway is not heard. What stands here is how it was at {time(new Date(since_ms).toISOString())} ({ZONE}).
    </p>
  );
}

/** At which share of failures one should look. */
const WORRY = 0.99;
const ALARM = 0.9;
const SLOW_LOOP_MS = 100;

const FAILED = "/requests?outcome=fault";
const REFUSED = "/requests?outcome=refused";

/** Whether it is well, in one line; else what is not, the worst first. */
function Verdict({ of }: { of: Metrics }) {
  const { lately, credentials } = of;
  const out = credentials.filter((one) => one.state !== "ok" && one.state !== "disabled" && one.state !== "stopped");
  const open = of.breakers.filter((one) => one.state !== "closed").map((one) => one.provider);
  const isFailing = lately.success_rate !== null && lately.success_rate < WORRY;
  const isDown = lately.success_rate !== null && lately.success_rate < ALARM;
  const lag = of.event_loop_lag_worst_ms;
  const wrong = [
    isFailing && <Link to={FAILED}>{`${count(lately.failed)} of ${many(lately.requests, "request")} failed`}</Link>,
    open.length > 0 && <Link to="/providers">{`not asked for now: ${open.join(", ")}`}</Link>,
    out.length > 0 && <Link to="/providers">{`${many(out.length, "credential")} of ${count(credentials.length)} out of use`}</Link>,
    lag !== null && lag > SLOW_LOOP_MS && <Link to="/system">{`the gateway itself was late by ${duration(lag)}`}</Link>,
  ].filter((one) => one !== false);
  const tone = wrong.length === 0 ? "good" : isDown ? "bad" : "warn";
  const answered = lately.requests - lately.refused;
  const rest = answered > 0 ? "requests are answered, no credential is out of use" : "nothing was to be answered in the last five minutes";
  return (
    <p className="verdict" data-tone={tone}>
      <i className="dot" data-tone={tone} /> <b>{wrong.length === 0 ? "All is well:" : isDown ? "Not well:" : "Needs a look:"}</b>{" "}
      {wrong.length === 0 ? rest : wrong.map((one, at) => <span key={at}>{at > 0 && ", "}{one}</span>)}
      {lately.refused > 0 && <span>; <Link to={REFUSED}>{many(lately.refused, "request")}</Link> refused for what clients asked</span>}
    </p>
  );
}

function Numbers({ of }: { of: Metrics }) {
  const { lately } = of;
  const added = lately.added_latency_percentiles_ms;
  const first = of.time_to_first_token_percentiles_ms;
  const rate = lately.success_rate;
  const tone: Tone | undefined = rate === null ? undefined : rate < ALARM ? "bad" : rate < WORRY ? "warn" : "good";
  return (
    <Stats a_row={4}>
      <Stat name="Requests" value={short(lately.requests_per_second)} unit="/s" aside={`${count(of.in_flight)} under way`} />
      <Stat name="Success" value={share(rate)} tone={tone} aside={`${count(lately.failed)} of ${count(lately.requests)} failed`} />
      <Stat name="Added by the gateway" value={duration(added.p50)} aside={`p99 ${duration(added.p99)}`} />
      <Stat name="Time to first token" value={duration(first.p50)} aside={`p99 ${duration(first.p99)}`} />
      <Stat name="Tokens made" value={short(lately.output_tokens_per_second)} unit="/s" aside={`${short(of.total_output_tokens)} since start`} />
      <Stat name="Cost today" value={money(of.cost_today_usd_nano)} aside={of.unpriced_attempts ? `${count(of.unpriced_attempts)} without a price` : `${money(lately.cost_usd_nano)} in 5 min`} />
      <Stat name="Cache hits" value={share(lately.cache_hit_rate)} aside="of tokens read" />
      <Stat name="Rescued" value={count(lately.rescued)} tone={lately.rescued ? "good" : undefined} aside="answered after a failure" />
    </Stats>
  );
}

function Curves({ of }: { of: Metrics }) {
  // what is pushed has none, and may come first: the charts keep their place meanwhile
  const history = of.history ?? [];
  const now_s = Math.round(Date.now() / 1000);
  const at = history.map((one) => now_s - one.seconds_ago);
  // points are five seconds apart
  const step_s = history.length > 1 ? history[0]!.seconds_ago - history[1]!.seconds_ago : 1;
  return (
    <div className="grid">
      <Panel title="Requests per second">
        <Chart
          label="Requests, failures and refusals per second over the last five minutes"
          at={at}
          series={[
            { name: "requests", values: history.map((one) => one.requests / step_s), colour: 1 },
            { name: "failed", values: history.map((one) => one.failed / step_s), colour: "bad" },
            { name: "refused", values: history.map((one) => one.refused / step_s), colour: 3 },
          ]}
          format={short}
        />
      </Panel>
      <Panel title="Tokens per second">
        <Chart
          label="Tokens made per second over the last five minutes"
          at={at}
          series={[{ name: "tokens", values: history.map((one) => one.output_tokens / step_s), colour: 2 }]}
          format={short}
        />
      </Panel>
    </div>
  );
}

function Credentials({ of }: { of: Metrics }) {
  // what needs a look comes first
  const rows = [...of.credentials].sort((one, other) => Number(one.state === "ok") - Number(other.state === "ok") || other.resting_models - one.resting_models);
  const resting = rows.filter((one) => one.state !== "ok").length;
  return (
    <Panel title="Credentials" about={rows.length ? (resting ? `${resting} of ${rows.length} out of use` : `All ${rows.length} in use`) : undefined} actions={<Link to="/providers">Providers</Link>} flush>
      {of.breakers.some((one) => one.state !== "closed") && (
        <div style={{ padding: "12px 16px 0" }}>
          <Note tone="warn">
            {of.breakers.filter((one) => one.state !== "closed").map((one) => `${one.provider}: breaker ${words(one.state)}`).join("; ")}
          </Note>
        </div>
      )}
      <Table<CredentialState>
        label="Credentials and their states"
        rows={rows.slice(0, MOST_CREDENTIALS)}
        rowKey={(one) => `${one.provider}/${one.name}`}
        href={(one) => `/providers/${encodeURIComponent(one.provider)}`}
        empty={
          <Empty title="No credentials yet" actions={<Link className="button primary" to="/providers">Add a provider</Link>}>
            Requests pass with the clients' own keys until a provider has one of its own.
          </Empty>
        }
        columns={STATES}
      />
      <More of={rows.length - MOST_CREDENTIALS} to="/providers" />
    </Panel>
  );
}

/** How many the list above it leaves out. */
function More({ of, to }: { of: number; to: string }) {
  return of > 0 ? <p className="more-of"><Link to={to}>{count(of)} more</Link></p> : null;
}

const MOST_CREDENTIALS = 12;
const MOST_MODELS = 8;

const STATES: readonly Column<CredentialState>[] = [
  { name: "Credential", cell: (one) => <span className="clip" title={`${one.provider} / ${one.name}`}><span className="quiet">{one.provider} / </span>{one.name}</span> },
  { name: "State", cell: (one) => <Standing of={{ state: one.state, why: one.reason, left_s: one.left_s, resting_models: one.resting_models }} /> },
];

/** How an attempt ended, where the name alone does not tell. */
const REASONS: Record<string, string> = {
  client: "the request was not accepted",
  context: "the prompt is too long",
  auth: "the key was refused",
  permission: "the key may not do this",
  billing: "no money left",
  server: "the provider's own error",
  network: "no connection",
  late: "it took too long as a whole",
  all_resting: "every credential for it rested",
  truncated: "the answer broke off",
};

function Failures({ of }: { of: Metrics }) {
  return (
    <Panel title="Why requests failed" actions={<Link to={FAILED}>All failed</Link>} flush>
      <Table
        label="The most frequent failures"
        rows={of.lately.top_failures}
        rowKey={(one) => `${one.provider}/${one.reason}`}
        href={(one) => `${FAILED}${one.provider ? `&provider=${encodeURIComponent(one.provider)}` : ""}`}
        empty={<Empty title="Nothing failed">Not within the last five minutes.</Empty>}
        columns={[
          { name: "Reason", cell: (one) => REASONS[one.reason] ?? words(one.reason) },
          { name: "Provider", cell: (one) => one.provider ?? <span className="quiet">the gateway itself</span> },
          { name: "Times", isNumber: true, cell: (one) => count(one.count) },
        ]}
      />
      {of.lately.refused > 0 && (
        <div className="parted"><Table
          label="The most frequent refusals"
          rows={of.lately.top_refusals}
          rowKey={(one) => `${one.auth_key}/${one.reason}`}
          href={(one) => `${REFUSED}${one.auth_key ? `&key=${encodeURIComponent(one.auth_key)}` : ""}`}
          columns={[
            { name: "Refused for", cell: (one) => REASONS[one.reason] ?? words(one.reason) },
            { name: "Client's key", cell: (one) => one.auth_key ?? <span className="quiet">none that is known</span> },
            { name: "Times", isNumber: true, cell: (one) => count(one.count) },
          ]}
        /></div>
      )}
    </Panel>
  );
}

/** Under this name stand all models beyond those that are counted one by one. */
const OTHER = "other";

function Models({ of }: { of: Metrics }) {
  const rows = Object.entries(of.by_model).sort(([, one], [, other]) => other - one);
  return (
    <Panel title="Models" about="Since the start of the gateway" actions={<Link to="/usage">Usage</Link>} flush>
      <Table
        label="Models by number of answers"
        rows={rows.slice(0, MOST_MODELS)}
        rowKey={([name]) => name}
        href={([name]) => (name === OTHER ? "/requests" : `/requests?model=${encodeURIComponent(name)}`)}
        empty={<Empty title="No model has answered yet" />}
        columns={[
          { name: "Model", cell: ([name]) => <span className="clip">{name}</span> },
          { name: "Answers", isNumber: true, cell: ([, times]) => count(times) },
          { name: "Cost", isNumber: true, cell: ([name]) => (of.cost_by_model[name] === undefined ? "–" : money(of.cost_by_model[name] * 1e9)) },
        ]}
      />
      <More of={rows.length - MOST_MODELS} to="/usage" />
    </Panel>
  );
}

function Process({ of }: { of: Metrics }) {
  const lag = of.event_loop_lag_worst_ms;
  return (
    <Panel title="The gateway itself" about={`Version ${of.version}`} actions={<Link to="/system">System</Link>} flush>
      <dl className="stats bare">
        <Stat name="Event loop lag, worst" value={duration(lag)} tone={lag !== null && lag > SLOW_LOOP_MS ? "warn" : undefined} />
        <Stat name="Memory" value={bytes(of.memory_bytes)} />
        <Stat name="Up for" value={span(of.uptime_seconds)} />
        <Stat name="Refused by limits" value={count(of.limited_requests)} />
        <Stat name="Attempts per request" value={of.total_requests ? (of.total_attempts / of.total_requests).toFixed(2) : "–"} />
        <Stat name="Live sessions" value={count(of.sessions)} />
      </dl>
    </Panel>
  );
}

interface Where {
  host: string;
  port: number | null;
  tls_enabled: boolean;
}

/** Where no model is named: one that providers of a kind have. */
const USUAL: Record<string, string> = { anthropic: "claude-haiku-4-5", claude: "claude-haiku-4-5", "anthropic-messages": "claude-haiku-4-5", gemini: "gemini-2.5-flash", google: "gemini-2.5-flash" };

interface Asked {
  provider_type: string;
  test_model: string | null;
  models: (string | { id: string; alias: string })[];
}

/** A model that would be answered here. */
function modelOf(providers: readonly Asked[]): string {
  for (const one of providers) {
    const named = one.models.map((model) => (typeof model === "string" ? model : model.alias)).find((name) => !/[*?]/.test(name));
    if (one.test_model ?? named) return one.test_model ?? named ?? "";
  }
  return USUAL[providers[0]?.provider_type ?? ""] ?? "gpt-5-mini";
}

function first(where: Where | undefined, needsKey: boolean, model: string): string {
  const host = where?.host.includes(":") ? `[${where.host}]` : where?.host;
  const origin = `${where?.tls_enabled ? "https" : "http"}://${host ?? "127.0.0.1"}:${where?.port ?? 8811}`;
  return `curl ${origin}/v1/chat/completions \\${needsKey ? '\n  -H "x-llmitm-key: $LLMITM_KEY" \\' : ""}
  -H 'content-type: application/json' \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`;
}

function First() {
  const where = useQuery({ queryKey: [...keys.system, "where"], queryFn: () => get<Where>("system/health") });
  const asked = useQuery({ queryKey: keys.providers, queryFn: () => get<{ providers: Asked[] }>("providers") });
  const keyed = useQuery({ queryKey: keys.authKeys, queryFn: () => get<{ is_open?: boolean }>("auth-keys") });
  return (
    <Panel title="Send the first request">
      <div className="stack">
        <p className="second">
          Point a client at the gateway, or try one in the <Link to="/playground">playground</Link>. It is seen here, in <Link to="/live">Live</Link> while it runs, and in{" "}
          <Link to="/requests">Requests</Link> when it is over.
        </p>
        <Code text={first(where.data, keyed.data?.is_open === false, modelOf(asked.data?.providers ?? []))} label="A first request" wraps />
      </div>
    </Panel>
  );
}
