/** The ways in: a password, or the link that the terminal showed at the first start. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { FormEvent, ReactNode } from "react";
import { useNavigate, useSearchParams } from "react-router";

import { get, post } from "../../api/client";
import { queries } from "../../api/queries";
import { Button, Failure, Field, Note } from "../../components";
import { Mark } from "../../layout/mark";

export function Login() {
  const [search] = useSearchParams();
  const state = useQuery({ queryKey: ["auth", "state"], queryFn: ({ signal }) => get<{ needs_setup: boolean }>("auth/state", undefined, signal) });
  const enter = useEnter(search.get("to"));
  const [name, setName] = useState("admin");
  const [password, setPassword] = useState("");
  const login = () => post("auth/login", { username: name, password });
  return (
    <Alone title="Sign in" verb="Sign in" onSubmit={() => enter(login)}>
      {state.data?.needs_setup && <Note tone="warn">Nobody has a password yet. The terminal that the gateway runs in shows a link to set the first one.</Note>}
      <Field label="Name">
        {(given) => <input className="input" autoComplete="username" required value={name} onChange={(event) => setName(event.target.value)} {...given} />}
      </Field>
      <Field label="Password">
        {(given) => <input className="input" type="password" autoComplete="current-password" autoFocus required value={password} onChange={(event) => setPassword(event.target.value)} {...given} />}
      </Field>
    </Alone>
  );
}

const LEAST_LONG = 12;

/** Where the one-time link leads: it sets the first password. */
export function Welcome() {
  const [search] = useSearchParams();
  const enter = useEnter(null);
  const [token] = useState(search.get("token") ?? location.hash.slice(1));
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const isOther = again !== "" && again !== password;
  const first = () => post("auth/first", { token, password });
  return (
    <Alone title="Choose a password" about="You came with the one-time link of the first start. What you choose here is what you sign in with as admin." verb="Set password" disabled={!again || isOther} onSubmit={() => enter(first)}>
      <input type="text" hidden autoComplete="username" value="admin" readOnly />
      <Field label="New password" hint={`At least ${LEAST_LONG} characters`}>
        {(given) => <input className="input" type="password" autoComplete="new-password" autoFocus required minLength={LEAST_LONG} value={password} onChange={(event) => setPassword(event.target.value)} {...given} />}
      </Field>
      <Field label="Once more" problem={isOther ? "The two are not the same" : undefined}>
        {(given) => <input className="input" type="password" autoComplete="new-password" required value={again} onChange={(event) => setAgain(event.target.value)} {...given} />}
      </Field>
    </Alone>
  );
}

/** Where to after the login: only to places of this site. */
function useEnter(to: string | null): (way: () => Promise<unknown>) => Promise<void> {
  const navigate = useNavigate();
  const place = to && /^\/(?![/\\])/.test(to) ? to : "/";
  return async (way) => {
    await way();
    queries.clear();
    await navigate(place, { replace: true });
  };
}

interface AloneProps {
  title: string;
  about?: string;
  verb: string;
  disabled?: boolean;
  onSubmit: () => Promise<void>;
  children: ReactNode;
}

function Alone({ title, about, verb, disabled, onSubmit, children }: AloneProps) {
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    onSubmit().catch(setError).finally(() => setBusy(false));
  };
  return (
    <main className="alone">
      <title>{`${title} · llmitm`}</title>
      <div className="card">
        <div className="brand">
          <Mark />
          llmitm
        </div>
        <div className="stack">
          <h1>{title}</h1>
          {about && <p className="second">{about}</p>}
        </div>
        <form onSubmit={submit}>
          {children}
          {error !== null && <Failure error={error} />}
          <Button type="submit" kind="primary" disabled={isBusy || disabled}>
            {isBusy ? "One moment" : verb}
          </Button>
        </form>
      </div>
    </main>
  );
}
