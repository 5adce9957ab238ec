import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { get, send as request } from "../../api/client";
import { keys } from "../../api/queries";
import { Button, Choice, Note, Panel } from "../../components";
import { Page } from "../../layout/page";
import { Check, Columns, SelectField, TextArea, TextField } from "../../parts/controls";
import { DIALECTS, type DialectName, type Question } from "./dialects";
import classes from "./playground.module.css";
import { type Progress, send, WAITING } from "./send";

interface Pane {
  endpoint: string;
  dialect: DialectName;
  model: string;
}

const FIRST: Pane = { endpoint: "", dialect: "openai-chat", model: "" };

const ask = (path: string, body: unknown, signal: AbortSignal) => request("POST", `playground/${path}`, { body, signal });

const number = (text: string) => (text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text));

/** Asks one or two models the same, and shows what comes as it comes. */
export default function Playground() {
  const [panes, setPanes] = useState<Pane[]>([FIRST]);
  const [system, setSystem] = useState("");
  const [prompt, setPrompt] = useState("");
  const [maxTokens, setMaxTokens] = useState("");
  const [temperature, setTemperature] = useState("");
  const [isStreamed, setIsStreamed] = useState(true);
  const [progress, setProgress] = useState<(Progress | null)[]>([]);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const question = (pane: Pane): Question => ({
    model: pane.model.trim(),
    system,
    prompt,
    maxTokens: number(maxTokens),
    temperature: number(temperature),
    isStreamed,
  });
  const isReady = prompt.trim() !== "" && panes.every((pane) => pane.model.trim() !== "");
  const isBusy = progress.some((one) => one?.state === "waiting" || one?.state === "streaming");

  const run = () => {
    if (!isReady || isBusy) return;
    const control = new AbortController();
    running.current = control;
    setProgress(panes.map(() => WAITING));
    panes.forEach((pane, at) => {
      void send(ask, pane.endpoint, pane.dialect, question(pane), control.signal, (step) => {
        if (running.current === control) {
          setProgress((before) => before.map((one, place) => (place === at ? step : one)));
        }
      });
    });
  };
  const show = (count: 1 | 2) => {
    running.current?.abort();
    running.current = null;
    setProgress([]);
    setPanes(count === 2 ? [panes[0] ?? FIRST, panes[0] ?? FIRST] : panes.slice(0, 1));
  };
  const change = (at: number, more: Partial<Pane>) => setPanes(panes.map((pane, place) => (place === at ? { ...pane, ...more } : pane)));

  return (
    <Page title="Playground" about="Any model in any dialect, through the gateway, as a client would ask it.">
      <div
        className="stack wide"
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
        }}
      >
        <Panel>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              run();
            }}
          >
            <div className="stack wide">
              <TextArea label="System prompt" rows={1} value={system} onChange={setSystem} />
              <TextArea label="Prompt" rows={3} isNeeded value={prompt} onChange={setPrompt} help="Ctrl+Enter sends it." />
              <div className="row apart row-bottom">
                <div className="row row-bottom">
                  <TextField label="Longest answer" placeholder="tokens" isNumber value={maxTokens} onChange={setMaxTokens} />
                  <TextField label="Temperature" placeholder="as provided" isNumber value={temperature} onChange={setTemperature} />
                  <Check label="Stream" isOn={isStreamed} onChange={setIsStreamed} />
                  <Check label="Two side by side" isOn={panes.length === 2} onChange={(isOn) => show(isOn ? 2 : 1)} />
                </div>
                <div className="row">
                  {isBusy && <Button onClick={() => running.current?.abort()}>Stop</Button>}
                  <Button type="submit" kind="primary" disabled={!isReady || isBusy}>
                    Send
                  </Button>
                </div>
              </div>
            </div>
          </form>
        </Panel>
        <Columns isWide>
          {panes.map((pane, at) => (
            <PaneBox
              key={at}
              pane={pane}
              name={panes.length === 2 ? (at === 0 ? "Left" : "Right") : "Answer"}
              question={question(pane)}
              progress={progress[at] ?? null}
              onChange={(more) => change(at, more)}
            />
          ))}
        </Columns>
      </div>
    </Page>
  );
}

interface EndpointsTold {
  endpoints: { name: string; kind: string }[];
}
interface ModelsTold {
  models: { id: string }[];
}

/** Models are told beside the admin API, as they always were. */
async function fetchModels(): Promise<ModelsTold> {
  const told = await get<{ models?: ModelsTold["models"]; data?: ModelsTold["models"] }>("/admin/models");
  return { models: told.models ?? told.data ?? [] };
}

function PaneBox(props: {
  pane: Pane;
  name: string;
  question: Question;
  progress: Progress | null;
  onChange: (more: Partial<Pane>) => void;
}) {
  const { pane, progress } = props;
  const endpoints = useQuery({ queryKey: keys.endpoints, queryFn: () => get<EndpointsTold>("endpoints") });
  const models = useQuery({ queryKey: ["models"], queryFn: () => fetchModels() });
  const names = (endpoints.data?.endpoints ?? []).map((one) => one.name);
  const ids = [...new Set((models.data?.models ?? []).map((one) => one.id))].filter((id) => !/[*?]/.test(id));
  return (
    <Panel title={props.name}>
      <div className="stack wide">
        <Columns>
          <SelectField
            label="Endpoint"
            value={pane.endpoint}
            choices={[{ value: "", label: "by default" }, ...names]}
            onChange={(endpoint) => props.onChange({ endpoint })}
          />
          <SelectField
            label="Dialect"
            value={pane.dialect}
            choices={Object.entries(DIALECTS).map(([value, one]) => ({ value, label: one.label }))}
            onChange={(dialect) => props.onChange({ dialect: dialect as DialectName })}
          />
          <TextField label="Model" isNeeded value={pane.model} suggestions={ids} onChange={(model) => props.onChange({ model })} />
        </Columns>
        {progress ? <Answer progress={progress} name={props.name} /> : <Sent pane={pane} question={props.question} />}
      </div>
    </Panel>
  );
}

function Sent(props: { pane: Pane; question: Question }) {
  const dialect = DIALECTS[props.pane.dialect];
  const path = `/${props.pane.endpoint ? `${props.pane.endpoint}/` : ""}${dialect.path(props.question)}`;
  return (
    <div className="stack wide">
      <div className={classes.quiet}>
        Will be sent to <code>{path}</code>
      </div>
      <pre className={classes.raw} tabIndex={0} aria-label={`Request to ${path}`} role="region">
        {JSON.stringify(dialect.body(props.question), null, 2)}
      </pre>
    </div>
  );
}

type View = "answer" | "raw" | "headers";
const VIEWS: readonly (readonly [View, string])[] = [
  ["answer", "Answer"],
  ["raw", "As it came"],
  ["headers", "Headers"],
];

function Answer(props: { progress: Progress; name: string }) {
  const { told, headers, state, status, raw } = props.progress;
  const [view, setView] = useState<View>("answer");
  const id = headers.find(([name]) => name === "x-request-id")?.[1];
  return (
    <div className="stack wide">
      <div className="row apart">
        <Choice label="View" value={view} options={VIEWS} onChange={setView} />
        <Facts progress={props.progress} />
      </div>
      {told.error !== null && (
        <Note tone="bad">
          <b>{status ? `Status ${status}` : "Not answered"}</b>
          <div>{told.error}</div>
        </Note>
      )}
      {view === "answer" && (
        <div
          className={classes.answer}
          aria-live="polite"
          aria-busy={state === "streaming"}
          role="region"
          aria-label={`${props.name}: answer`}
          tabIndex={0}
        >
          {told.thought && (
            <details className={classes.thought}>
              <summary>Thoughts</summary>
              {told.thought}
            </details>
          )}
          {told.text || (state === "done" ? "(no text)" : "")}
        </div>
      )}
      {view !== "answer" && (
        <pre className={classes.raw} tabIndex={0} role="region" aria-label={`${props.name}: ${view}`}>
          {view === "raw" ? raw || "(nothing yet)" : headers.map(([name, value]) => `${name}: ${value}`).join("\n") || "(none yet)"}
        </pre>
      )}
      {id && <Link to={`/requests/${encodeURIComponent(id)}`}>Open this request</Link>}
    </div>
  );
}

function Facts(props: { progress: Progress }) {
  const { state, first_ms, total_ms, told, events } = props.progress;
  const facts = [
    state,
    first_ms !== null && `first after ${Math.round(first_ms)} ms`,
    total_ms !== null && `whole after ${Math.round(total_ms)} ms`,
    told.tokens && `${told.tokens.input ?? "?"} in, ${told.tokens.output ?? "?"} out`,
    events > 0 && `${events} events`,
  ].filter(Boolean);
  return <span className={classes.quiet}>{facts.join(" · ")}</span>;
}
