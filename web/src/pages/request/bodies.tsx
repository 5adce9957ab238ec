import { useMemo } from "react";
import { useSearchParams } from "react-router";

import type { Exchange } from "../../api/types";
import { Choice, Code, Empty, Note } from "../../components";
import { bytes, count } from "../../format";
import { answerOf, eventsOf, promptOf } from "./reading";
import type { Part, Said, StreamEvent } from "./reading";

const VIEWS = [["read", "Read"], ["events", "Events"], ["raw", "Raw"]] as const;
type View = (typeof VIEWS)[number][0];

/** What the client asked and what it got, side by side. */
export function BodiesOf({ of }: { of: Exchange }) {
  const [search, setSearch] = useSearchParams();
  const view = (search.get("view") ?? "read") as View;
  const events = useMemo(() => (of.bodies?.response ? eventsOf(of.bodies.response) : null), [of.bodies]);
  if (of.bodies === null) {
    return (
      <Empty title={of.state === "running" ? "It is under way" : "Bodies are not kept"}>
        {of.state === "running" ? "What was said is shown when it is over, where bodies are kept." : <>Set <code>bodies = true</code> in <code>[ledger]</code> and from then on prompts and answers are shown here.</>}
      </Empty>
    );
  }
  const { request, response, is_request_cut, is_response_cut } = of.bodies;
  const views = events ? VIEWS : VIEWS.filter(([name]) => name !== "events");
  const isTranslated = of.upstream_dialect !== null && of.dialect !== of.upstream_dialect;
  return (
    <div className="stack">
      <div className="row apart">
        <Choice<View> label="How it is shown" value={view === "events" && !events ? "raw" : view} options={views} onChange={(value) => setSearch(value === "read" ? {} : { view: value }, { replace: true })} />
        {isTranslated && <span className="quiet">As the client said it ({of.dialect}); the provider was asked in {of.upstream_dialect}.</span>}
      </div>
      <div className="beside">
        <section className="stack" aria-label="What the client asked">
          <h3>Client asked <span className="quiet">{bytes(of.request_bytes)}</span></h3>
          {is_request_cut && <Note tone="warn">Only its beginning is kept.</Note>}
          {request === null ? <Empty title="It is no text" /> : view === "read" ? <Talk said={promptOf(request)} raw={request} /> : <Code text={request} language="json" label="The request's body" most_high={720} wraps />}
        </section>
        <section className="stack" aria-label="What the client got">
          <h3>Client got <span className="quiet">{bytes(of.response_bytes)}{events ? `, ${count(events.length)} events` : ""}</span></h3>
          {is_response_cut && <Note tone="warn">Only its beginning is kept.</Note>}
          {response === null ? (
            <Empty title="It is no text" />
          ) : view === "read" ? (
            <Talk said={answerOf(response)} raw={response} />
          ) : view === "events" && events ? (
            <Events of={events} />
          ) : (
            <Code text={response} language={events ? "text" : "json"} label="The answer's body" most_high={720} wraps />
          )}
        </section>
      </div>
    </div>
  );
}

/** What was said, by whom; the text as it came where that is not understood. */
function Talk({ said, raw }: { said: readonly Said[]; raw: string }) {
  if (said.length === 0) return <Code text={raw} language="json" label="As it came" most_high={720} wraps />;
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

function Events({ of }: { of: readonly StreamEvent[] }) {
  return (
    <>
      <ol className="events" tabIndex={0} aria-label="Events of the stream">
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
