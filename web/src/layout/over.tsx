/** A session that ended while a page was open: nothing of it is shown, and nothing of it lost. */

import { useEffect, useRef, useState } from "react";
import type { FormEvent } from "react";
import { createPortal } from "react-dom";

import { post } from "../api/client";
import { Button, Failure, Field } from "../components";
import { Mark } from "./mark";

/** In the browser's own top layer: it lies over dialogs that are open, too. */
export function Over({ name, onBack }: { name: string; onBack: (name: string) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [who, setWho] = useState(name);
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    dialog.current?.showModal();
    dialog.current?.querySelector<HTMLElement>("input[type=password]")?.focus();
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    post("auth/login", { username: who, password })
      .then(() => onBack(who))
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return createPortal(
    <dialog className="over alone" ref={dialog} aria-labelledby="over-title" onCancel={(event) => event.preventDefault()}>
      <div className="card">
        <div className="brand">
          <Mark />
          llmitm
        </div>
        <div className="stack">
          <h2 id="over-title">Sign in again</h2>
          <p className="second">The session is over. What you were doing is still here, and goes on.</p>
        </div>
        <form onSubmit={submit}>
          <Field label="Name">
            {(given) => <input className="input" autoComplete="username" required value={who} onChange={(event) => setWho(event.target.value)} {...given} />}
          </Field>
          <Field label="Password">
            {(given) => <input className="input" type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} {...given} />}
          </Field>
          {error !== null && <Failure error={error} />}
          <Button type="submit" kind="primary" disabled={isBusy}>
            {isBusy ? "One moment" : "Sign in"}
          </Button>
        </form>
      </div>
    </dialog>,
    document.body,
  );
}
