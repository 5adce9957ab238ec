import { useMemo } from "react";
import type { ReactNode } from "react";
import { useSearchParams } from "react-router";

import type { Attempt, Exchange, Headers } from "../../api/types";
import { Badge, Choice, Code, Empty, inLines, Note } from "../../components";
import { bytes, count, many } from "../../format";
import { beside } from "./beside";
import type { Side } from "./beside";
import { answerOf, eventsOf, promptOf } from "./reading";
import type { Part, Said, StreamEvent } from "./reading";

const VIEWS = [["read", "Read"], ["differences", "Differences"], ["events", "Events"], ["raw", "Raw"]] as const;
type View = (typeof VIEWS)[number][0];

/** What the client asked and got on the left; what was sent and what the provider said on the right. */
export function BodiesOf({ of }: { of: Exchange }) {
  const [search, setSearch] = useSearchParams();
  const last = of.attempt_list.at(-1);
  const attempt = of.attempt_list.find((one) => String(one.number) === search.get("attempt")) ?? last;
  const isKept = of.bodies !== null || of.attempt_list.some((one) => one.sent || one.said);
  if (!isKept) return <NotKept of={of} />;
  const hasLegs = Boolean(attempt?.sent ?? attempt?.said);
  const isStream = [of.bodies?.response, attempt?.said?.body].some((body) => body && eventsOf(body));
  const views = VIEWS.filter(([name]) => (name === "events" ? isStream : name === "differences" ? hasLegs : true));
  const view = views.find(([name]) => name === search.get("view"))?.[0] ?? "read";
  const change = (name: string, value: string, usual: string) =>
    setSearch(
      (old) => {
        if (value === usual) old.delete(name);
        else old.set(name, value);
        return old;
      },
      { replace: true },
    );
  return (
    <div className="stack wide">
      <div className="row apart">
        <Choice<View> label="How it is shown" value={view} options={views} onChange={(value) => change("view", value, "read")} />
        {of.attempt_list.length > 1 && attempt && last && (
          <Choice
            label="Attempt"
            value={String(attempt.number)}
            options={of.attempt_list.map((one) => [String(one.number), `Attempt ${one.number}`] as const)}
            onChange={(value) => change("attempt", value, String(last.number))}
          />
        )}
      </div>
      <Legs of={of} attempt={attempt} isLast={attempt === last} view={view} />
    </div>
  );
}

function NotKept({ of }: { of: Exchange }) {
  if (of.state === "running") return <Empty title="It is under way">What was said is shown when it is over, where bodies are kept.</Empty>;
  return (
    <Empty title="What was said was not kept">
      With <code>bodies = true</code> in <code>[ledger]</code> prompts and answers of the requests to come are shown here, as the client and as each provider saw them.
    </Empty>
  );
}

interface LegProps {
  of: Exchange;
  attempt: Attempt | undefined;
  isLast: boolean;
  view: View;
}

function Legs({ of, attempt, isLast, view }: LegProps) {
  const sent = attempt?.sent ?? null;
  const said = attempt?.said ?? null;
  const asked = of.bodies?.request ?? null;
  const got = of.bodies?.response ?? null;
  const who = attempt?.provider ?? "the provider";
  const client = (
    <Leg label="What the client asked" title="Client asked" aside={bytes(of.request_bytes)} isCut={of.bodies?.is_request_cut ?? false}>
      {of.bodies?.request_headers && <Head first={`${of.method} ${of.bodies.target ?? of.path}`} headers={of.bodies.request_headers} />}
      <Shown body={asked} view={view} isAnswer={false} label="What the client asked, as it came" />
    </Leg>
  );
  const answer = isLast ? (
    <Leg label="What the client got" title="Client got" aside={[of.status, bytes(of.response_bytes)].filter(Boolean).join(", ")} isCut={of.bodies?.is_response_cut ?? false}>
      {of.bodies?.response_headers && <Head first={`Status ${of.status ?? "–"}`} headers={of.bodies.response_headers} />}
      <Shown body={got} view={view} isAnswer label="What the client got, as it went out" />
    </Leg>
  ) : (
    <Leg label="What the client got" title="Client got" aside="">
      <Empty title="Nothing of this attempt">Another attempt answered; the client never saw this one.</Empty>
    </Leg>
  );
  if (!sent && !said) return <div className="beside">{client}{answer}</div>;
  const translation = of.dialect !== attempt?.dialect && attempt?.dialect ? <Badge tone="info">{of.dialect} → {attempt.dialect}</Badge> : null;
  if (view === "differences")
    return (
      <>
        <Compared label="The request" left={asked} right={sent?.body ?? null} names={["Client asked", `Sent to ${who}`]} badge={translation} />
        {isLast ? (
          <Compared label="The answer" left={got} right={said?.body ?? null} names={["Client got", `${who} said`]} badge={translation} />
        ) : (
          <p className="quiet">The client never saw the answer of this attempt.</p>
        )}
      </>
    );
  return (
    <>
      {view !== "events" && (
        <div className="beside">
          {client}
          <Leg label="What was sent" title={`Sent to ${who}`} aside={[attempt?.model, attempt?.request_bytes != null && bytes(attempt.request_bytes)].filter(Boolean).join(", ")} isCut={sent?.truncated ?? false} badge={translation}>
            {sent ? <Head first={`${sent.method} ${sent.url}`} headers={sent.headers} /> : null}
            <Shown body={sent?.body ?? null} view={view} isAnswer={false} label="What was sent, as it went out" isSame={sent !== null && sent.body === asked} missing={sent === null} />
          </Leg>
        </div>
      )}
      <div className="beside">
        {answer}
        <Leg label="What the provider said" title={`${who} said`} aside={attempt?.response_bytes != null ? bytes(attempt.response_bytes) : ""} isCut={said?.truncated ?? false}>
          {said ? <Head first={`Status ${said.status ?? "–"}`} headers={said.headers} /> : null}
          <Shown body={said?.body ?? null} view={view} isAnswer label="What the provider said, as it came" isSame={said !== null && said.body === got && isLast} missing={said === null} />
        </Leg>
      </div>
    </>
  );
}

interface LegFrame {
  label: string;
  title: string;
  aside: string;
  isCut?: boolean;
  badge?: ReactNode;
  children: ReactNode;
}

function Leg({ label, title, aside, isCut, badge, children }: LegFrame) {
  return (
    <section className="stack" aria-label={label}>
      <h3>
        {title} <span className="quiet">{aside}</span> {badge}
      </h3>
      {isCut && <Note tone="warn">Only its first 64 KiB are kept.</Note>}
      {children}
    </section>
  );
}

function Head({ first, headers }: { first: string; headers: Headers }) {
  return (
    <details className="head">
      <summary>
        <code>{first}</code> <span className="quiet">{many(headers.length, "header")}</span>
      </summary>
      <dl className="headers">
        {headers.map(([name, value], at) => (
          <div key={at}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

interface ShownProps {
  body: string | null;
  view: View;
  isAnswer: boolean;
  label: string;
  /** Whether it is what the other side has, byte for byte. */
  isSame?: boolean;
  /** Whether nothing of it was kept. */
  missing?: boolean;
}

function Shown({ body, view, isAnswer, label, isSame, missing }: ShownProps) {
  const events = useMemo(() => (body && isAnswer ? eventsOf(body) : null), [body, isAnswer]);
  if (missing) return <p className="quiet">It is not kept.</p>;
  if (body === null) return <p className="quiet">It is no text, or messages of a session, which are not kept: mitmweb shows them.</p>;
  if (body === "") return <p className="quiet">It is empty.</p>;
  const same = isSame && <p className="quiet">The same on both sides, byte for byte.</p>;
  if (view === "events" && events) return <>{same}<Events of={events} label={label} /></>;
  if (view === "raw") return <>{same}<Code text={body} language={events ? "text" : "json"} label={label} most_high={720} wraps /></>;
  return <>{same}<Talk said={isAnswer ? answerOf(body) : promptOf(body)} raw={body} label={label} /></>;
}

interface ComparedProps {
  label: string;
  left: string | null;
  right: string | null;
  names: readonly [string, string];
  badge: ReactNode;
}

function Compared({ label, left, right, names, badge }: ComparedProps) {
  const found = useMemo(() => (left === null || right === null || left === right ? null : beside(spread(left), spread(right))), [left, right]);
  return (
    <section className="stack" aria-label={`${label}, compared`}>
      <h3>
        {label} {badge} {found && <span className="quiet">{found.others === 1 ? "1 line differs" : `${count(found.others)} lines differ`}</span>}
      </h3>
      {left === null || right === null ? (
        <p className="quiet">One side of it is not kept, or is no text.</p>
      ) : left === right ? (
        <p className="quiet">The same on both sides, byte for byte.</p>
      ) : found === null ? (
        <p className="quiet">It is too long to be compared here: Raw has both.</p>
      ) : (
        <div className="compared" role="region" aria-label={`${label}: ${names.join(" and ")}`} tabIndex={0}>
          <table>
            <colgroup><col className="at" /><col /><col className="at" /><col /></colgroup>
            <thead>
              <tr><th scope="col" colSpan={2}>{names[0]}</th><th scope="col" colSpan={2}>{names[1]}</th></tr>
            </thead>
            <tbody>
              {found.others === 0 && <tr className="gap"><td colSpan={4}>Only spaces and line ends differ.</td></tr>}
              {found.rows.map((row, at) =>
                row.kind === "gap" ? (
                  <tr key={at} className="gap"><td colSpan={4}>{row.count === 1 ? "1 line" : `${count(row.count)} lines`} the same</td></tr>
                ) : (
                  <tr key={at}><Cell of={row.left} /><Cell of={row.right} /></tr>
                ),
              )}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Cell({ of }: { of: Side }) {
  if (of === null) return <><td className="at" /><td className="none" /></>;
  return (
    <>
      <td className="at">{of.number}</td>
      <td className={of.isOther ? "other" : undefined}>
        {of.pieces.map((piece, at) => (piece.isOther ? <mark key={at}>{piece.text}</mark> : piece.text))}
      </td>
    </>
  );
}

/** JSON set in lines; of a stream the JSON of each event. */
function spread(body: string): string {
  const events = eventsOf(body);
  if (!events) return inLines(body);
  return events.map((one) => [...(one.name ? [`event: ${one.name}`] : []), `data: ${inLines(one.data)}`].join("\n")).join("\n\n");
}

/** What was said, by whom; the text as it came where that is not understood. */
function Talk({ said, raw, label }: { said: readonly Said[]; raw: string; label: string }) {
  if (said.length === 0) return <Code text={raw} language="json" label={label} most_high={720} wraps />;
  return (
    <ol className="talk">
      {said.map((one, index) => (
        <li key={index} data-who={one.who}>
          <h4>{one.who}</h4>
          {one.parts.map((part, at) => <PartOf key={at} part={part} />)}
        </li>
      ))}
    </ol>
  );
}

const MOST_OPEN = 4_000;

function PartOf({ part }: { part: Part }) {
  switch (part.kind) {
    case "text":
      return part.text.length > MOST_OPEN ? <Folded title={`${part.text.slice(0, 160)} …`} text={part.text} /> : <p className="words">{part.text}</p>;
    case "thought":
      return <Folded title={`Thought, ${count(part.text.length)} characters`} text={part.text} />;
    case "media":
      return <p className="quiet">[{part.text}]</p>;
    case "call":
    case "result":
      return (
        <details className="tool" open={part.text.length < 600}>
          <summary>{part.kind === "call" ? "calls" : "result"} <code>{part.name}</code></summary>
          <Code text={part.text} language="json" label={part.kind === "call" ? "Arguments" : "Result"} most_high={320} wraps />
        </details>
      );
  }
}

function Folded({ title, text }: { title: string; text: string }) {
  return (
    <details className="folded">
      <summary>{title}</summary>
      <p className="words">{text}</p>
    </details>
  );
}

const MOST_EVENTS = 500;

function Events({ of, label }: { of: readonly StreamEvent[]; label: string }) {
  return (
    <>
      <p className="quiet">{count(of.length)} events</p>
      <ol className="events" tabIndex={0} aria-label={`Events: ${label}`}>
        {of.slice(0, MOST_EVENTS).map((one, index) => (
          <li key={index}>
            <span className="quiet number">{index + 1}</span>
            {one.name && <b>{one.name}</b>}
            <code>{one.data}</code>
          </li>
        ))}
      </ol>
      {of.length > MOST_EVENTS && <p className="quiet">{count(of.length - MOST_EVENTS)} more are in Raw.</p>}
    </>
  );
}
