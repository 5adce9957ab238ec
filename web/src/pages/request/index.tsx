/** One request, and why it went as it did. */

import { useQuery } from "@tanstack/react-query";
import { Link, useLocation, useParams, useSearchParams } from "react-router";

import { ApiError, get, part } from "../../api/client";
import { useNews } from "../../api/live";
import { keys, queries } from "../../api/queries";
import type { Exchange, Item } from "../../api/types";
import { Badge, Copy, Empty, Facts, Failure, Icon, Note, Panel, Result, Stat, Stats, Tabs, Waiting } from "../../components";
import { bytes, count, duration, moment, money, share, short, words } from "../../format";
import { Page } from "../../layout/page";
import { Again } from "./again";
import { Attempts } from "./attempts";
import { BodiesOf } from "./bodies";
import { Costs } from "./costs";
import { curlOf } from "./curl";
import "./request.css";
import { TimeLine } from "./timeline-view";

const AGAIN_MS = 1_000;
/** How often one that was just sent is asked for again, where it is not known yet. */
const MOST_ASKED = 8;

export default function Request() {
  const { id = "" } = useParams();
  const isNew = (useLocation().state as { isNew?: boolean } | null)?.isNew === true;
  const key = keys.exchange(id);
  const { data, error, refetch } = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => get<Exchange>(`logs/${part(id)}`, undefined, signal),
    retry: (count, failed) => (failed instanceof ApiError && failed.status === 404 ? isNew && count < MOST_ASKED : count < 2),
    retryDelay: isNew ? 250 : 1_000,
    // while it runs it is asked for again; what is over stays as it is
    refetchInterval: (query) => (query.state.data?.state === "running" ? AGAIN_MS : false),
  });
  useNews(["exchanges"], (news) => {
    if (news.type === "exchange.ended" && (news.data as Item).request_id === id) void queries.invalidateQueries({ queryKey: key });
  });
  if (error instanceof ApiError && error.status === 404) return <Gone id={id} />;
  return (
    <Page
      title={data ? `${data.method} ${data.path}` : "Request"}
      heading={data ? <Heading of={data} /> : <h1>Request</h1>}
      actions={
        data && (
          <>
            {data.mitmweb_url && <a className="button" href={data.mitmweb_url} target="_blank" rel="noreferrer">Open in mitmweb</a>}
            <Again key={id} of={data} />
            <Copy text={() => curlOf(data)} small={false}>Copy as curl</Copy>
            <Copy text={data.request_id} small={false}>Copy id</Copy>
          </>
        )
      }
    >
      {data ? <Whole of={data} /> : error ? <Failure error={error} again={() => void refetch()} /> : <Waiting lines={8} />}
    </Page>
  );
}

function Gone({ id }: { id: string }) {
  return (
    <Page title="Request">
      <Empty title="No such request" actions={<Link className="button" to="/requests">All requests</Link>}>
        <code>{id}</code> is not kept: it never was here, is too old, or has only just begun.
      </Empty>
    </Page>
  );
}

function Heading({ of }: { of: Exchange }) {
  return (
    <>
      <Link to="/requests" className="back"><Icon name="back" size={14} /> Requests</Link>
      <h1 className="row">
        <Result of={of} />
        <span>
          <span className="quiet">{of.method}</span> {of.path}
        </span>
      </h1>
      <p className="second">
        {moment(of.timestamp)} <span className="quiet">·</span> <code>{of.request_id}</code>
      </p>
    </>
  );
}

function Whole({ of }: { of: Exchange }) {
  const [search, setSearch] = useSearchParams();
  const tab = search.get("tab") === "costs" ? "costs" : search.get("tab") === "facts" ? "facts" : "said";
  return (
    <>
      <Story of={of} />
      <Numbers of={of} />
      <Panel title="Time line" about={<Summary of={of} />} flush>
        <TimeLine of={of} />
        <Attempts of={of} />
      </Panel>
      <Panel flush>
        <div className="in-tabs">
          <Tabs
            value={tab}
            onChange={(value) =>
              setSearch(
                (old) => {
                  if (value === "said") old.delete("tab");
                  else old.set("tab", value);
                  return old;
                },
                { replace: true },
              )
            }
            tabs={[
              { name: "said", text: "What was said", body: <BodiesOf of={of} /> },
              { name: "costs", text: "Tokens and cost", body: <Costs of={of} /> },
              { name: "facts", text: "Details", body: <Details of={of} /> },
            ]}
          />
        </div>
      </Panel>
    </>
  );
}

/** What there is to know at once: what went wrong, what was changed, what was saved. */
function Story({ of }: { of: Exchange }) {
  const wasRescued = of.outcome === "ok" && of.attempts > 1;
  const first = of.attempt_list.find((one) => one.ending !== "answered" && one.ending !== "dropped");
  const slow = first ? undefined : of.attempt_list.find((one) => one.ending === "dropped");
  return (
    <>
      {of.error && (
        <Note tone={of.outcome === "refused" || of.outcome === "client_gone" ? "warn" : "bad"}>
          {of.code && <code>{of.code}</code>} {of.error}
        </Note>
      )}
      {of.replay_of && (
        <Note>
          Played again from <Link to={`/requests/${part(of.replay_of)}`}>{of.replay_of}</Link>.
        </Note>
      )}
      {wasRescued && first && (
        <Note tone="good">
          Rescued: attempt {first.number} at {first.provider} failed ({words(first.ending)}), attempt {of.attempts} answered.
        </Note>
      )}
      {of.outcome === "ok" && slow && (
        <Note>
          Hedged: attempt {slow.number} at {slow.provider} had not answered in time, another one was quicker.
        </Note>
      )}
      {of.warnings.length > 0 && (
        <Note tone="warn">
          <strong>Adjusted on the way</strong>
          <ul className="listed">
            {of.warnings.map((one) => <li key={one}>{one}</li>)}
          </ul>
        </Note>
      )}
    </>
  );
}

function Numbers({ of }: { of: Exchange }) {
  const made_ms = of.latency_ms !== null && of.first_byte_ms !== null ? of.latency_ms - of.first_byte_ms : null;
  const rate = of.is_stream && made_ms && of.output_tokens ? of.output_tokens / (made_ms / 1000) : null;
  const cached = of.cache_read_tokens && of.input_tokens ? of.cache_read_tokens / of.input_tokens : null;
  return (
    <Stats a_row={6}>
      <Stat name="Took" value={duration(of.latency_ms)} aside={of.status === 101 ? "a live session" : of.is_stream ? "streamed" : of.is_stream === false ? "in one piece" : ""} />
      <Stat name="First piece" value={duration(of.first_byte_ms)} aside="for the client" />
      <Stat name="Added by the gateway" value={duration(of.own_ms)} aside={of.own_ms !== null && of.latency_ms ? `${share(of.own_ms / of.latency_ms)} of all` : ""} />
      <Stat name="Attempts" value={count(of.attempts)} tone={of.attempts > 1 ? "warn" : undefined} aside={of.provider ?? "nobody was asked"} />
      <Stat name="Tokens" value={`${short(of.input_tokens)} → ${short(of.output_tokens)}`} aside={[cached !== null && `${share(cached)} from cache`, rate !== null && `${short(rate)} /s`].filter(Boolean).join(" · ")} />
      <Stat name="Cost" value={money(of.cost_usd_nano)} aside={of.is_cost_whole === false ? "a part has no price" : of.cost_usd ? `$${of.cost_usd}` : ""} />
    </Stats>
  );
}

function Summary({ of }: { of: Exchange }) {
  if (of.attempt_list.length === 0) return <>No provider was asked.</>;
  const way = of.attempt_list.map((one) => `${one.provider} ${one.status ?? words(one.ending)}`).join(" → ");
  return <>{way}</>;
}

function Details({ of }: { of: Exchange }) {
  const isTranslated = of.upstream_dialect !== null && of.dialect !== of.upstream_dialect;
  const models = [...new Set([of.model, of.model_sent, of.model_answered].filter((one): one is string => one !== null))];
  return (
    <div className="grid">
      <Facts
        of={[
          ["Client", of.client],
          ["Key", of.auth_key],
          ["Endpoint", of.endpoint],
          ["Dialect", isTranslated ? <>{of.dialect} → {of.upstream_dialect} <Badge tone="info">translated</Badge></> : of.dialect],
          ["Model", models.join(" → ")],
          ["Provider", of.provider],
          ["Credential", of.credential],
          ["Gateway", of.gateway],
        ]}
      />
      <Facts
        of={[
          ["Began", moment(of.timestamp)],
          ["Ended", of.ended_at && moment(of.ended_at)],
          ["Outcome", words(of.outcome ?? "running")],
          ["Last attempt", of.ending && words(of.ending)],
          ["Code", of.code && <code>{of.code}</code>],
          ["Request", bytes(of.request_bytes)],
          ["Answer", bytes(of.response_bytes)],
          ["Id", <code key="id">{of.request_id}</code>],
          ["mitmweb", of.mitmweb_url ? <a href={of.mitmweb_url} target="_blank" rel="noreferrer">{of.mitmweb_url}</a> : of.mitmweb_hint],
        ]}
      />
    </div>
  );
}
