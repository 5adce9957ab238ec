/** Where a request would go now, and why nowhere else. Nothing is sent. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { get, part, post } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Empty, Failure, Note, Panel, Waiting } from "../../components";
import { span, words } from "../../format";
import { Columns, SelectField, TextField } from "../../parts/controls";

interface Way {
  provider: string;
  credential: string | null;
  model: string;
  /** null: the client's, whichever it is. */
  dialect: string | null;
  base_url: string | null;
  /** Of Cloudflare's; null: it is asked itself. */
  gateway: string | null;
  form: string | null;
  is_with_our_key: boolean;
  why: string | null;
  left_s: number | null;
}

interface Stage {
  model: string;
  able: Way[];
  resting: Way[];
  passed: { provider: string; credential: string | null; why: string }[];
  refused: string | null;
}

interface Explained {
  endpoint: string;
  strategy: string;
  problem: string | null;
  /** Where all goes as it is, with nothing to choose. */
  passed_to: string | null;
  stages: Stage[];
}

const DIALECTS = [{ value: "", label: "any" }, "openai-chat", "openai-responses", "anthropic-messages", "gemini"];

export function Explain({ endpoints }: { endpoints: string[] }) {
  const [asked, setAsked] = useSearchParams();
  const model = asked.get("model") ?? "";
  const [typed, setTyped] = useState(model);
  const auth = useQuery({ queryKey: keys.authKeys, queryFn: () => get<{ auth_keys: { name: string }[] }>("auth-keys") });
  const question = {
    model,
    endpoint: asked.get("endpoint"),
    dialect: asked.get("dialect"),
    key: asked.get("key"),
  };
  const found = useQuery({
    queryKey: [...keys.routing, "explain", question],
    queryFn: () => post<Explained>("routing/explain", question),
    enabled: model !== "",
    staleTime: 0,
  });
  const ask = (name: string, value: string) => {
    const next = new URLSearchParams(asked);
    if (value) next.set(name, value);
    else next.delete(name);
    setAsked(next, { replace: true });
  };
  return (
    <Panel title="Where would it go?" about="Who would be asked for a model now, in which order, and who would not. Nothing is sent.">
      <form
        className="stack wide"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim() === model) void found.refetch();
          else ask("model", typed.trim());
        }}
      >
        <Columns>
          <TextField label="Model" value={typed} onChange={setTyped} placeholder="gpt-5-mini" />
          <SelectField
            label="Endpoint"
            value={question.endpoint ?? ""}
            choices={[{ value: "", label: "by default" }, ...endpoints]}
            onChange={(value) => ask("endpoint", value)}
          />
          <SelectField
            label="Dialect of the client"
            value={question.dialect ?? ""}
            choices={DIALECTS}
            onChange={(value) => ask("dialect", value)}
          />
          <SelectField
            label="Key of the client"
            value={question.key ?? ""}
            choices={[{ value: "", label: "none" }, ...(auth.data?.auth_keys ?? []).map((one) => one.name)]}
            onChange={(value) => ask("key", value)}
          />
        </Columns>
        <div className="row row-end">
          <Button type="submit" kind="primary" disabled={!typed.trim()}>
            Explain
          </Button>
        </div>
      </form>
      <div aria-live="polite" className="explained">
        {model && found.isPending && <Waiting />}
        {found.error ? <Failure error={found.error} /> : null}
        {found.data && <Answer of={found.data} />}
      </div>
    </Panel>
  );
}

function Answer({ of }: { of: Explained }) {
  if (of.problem) return <Note tone="bad">{of.problem}</Note>;
  if (of.passed_to)
    return (
      <Note>
        <b>/{of.endpoint}</b> passes all on as it is, with the client's own key, to <code>{of.passed_to}</code>: there is nothing to choose.
      </Note>
    );
  return (
    <div className="stack wide">
      <p className="second">
        On <b>/{of.endpoint}</b>, by <b>{of.strategy}</b>:
      </p>
      {of.stages.map((stage, at) => (
        <section key={stage.model} className="stack" aria-label={`Model ${stage.model}`}>
          <h3>
            {at === 0 ? "Asked for " : "Then "}
            <code>{stage.model}</code>
          </h3>
          {stage.refused && <Note tone="warn">{stage.refused}</Note>}
          <ol className="ways">
            {stage.able.map((way, place) => (
              <Line key={nameOf(way)} way={way} tone="good" text={`${place + 1}.`} />
            ))}
            {stage.resting.map((way) => (
              <Line
                key={nameOf(way)}
                way={way}
                tone="warn"
                text={way.left_s === null ? `rests: ${words(way.why)}` : `rests ${span(way.left_s)}: ${words(way.why)}`}
              />
            ))}
            {stage.passed.map((one) => (
              <li key={`${one.provider} ${one.credential ?? ""}`}>
                <Badge>not asked</Badge>
                <span>
                  <Who provider={one.provider} credential={one.credential} /> <span className="second">{one.why}</span>
                </span>
              </li>
            ))}
          </ol>
        </section>
      ))}
      {of.stages.length === 0 && <Empty title="Nobody would be asked" />}
    </div>
  );
}

function nameOf(way: Way): string {
  return [way.provider, way.credential, way.model, way.gateway].join(" ");
}

function Line({ way, tone, text }: { way: Way; tone: "good" | "warn"; text: string }) {
  return (
    <li>
      <Badge tone={tone}>{text}</Badge>
      <span>
        <Who provider={way.provider} credential={way.credential} isElsewhere={way.gateway !== null && !way.is_with_our_key} />{" "}
        <span className="second">
          as <code>{way.model}</code> in {way.dialect ?? "the client's dialect"}
          {way.base_url && (
            <>
              {" "}
              at <code>{way.base_url}</code>
            </>
          )}
          {way.gateway && (
            <>
              {" "}
              by Cloudflare's gateway <code>{way.gateway}</code>, form {way.form}
            </>
          )}
          {!way.is_with_our_key && ", with no key of ours"}
        </span>
      </span>
    </li>
  );
}

/** `isElsewhere`: it stands in no configuration of ours. */
function Who({ provider, credential, isElsewhere }: { provider: string; credential: string | null; isElsewhere?: boolean }) {
  if (isElsewhere) return <b>{provider}</b>;
  return (
    <Link to={`/providers/${part(provider)}`}>
      {provider}
      {credential && ` / ${credential}`}
    </Link>
  );
}
