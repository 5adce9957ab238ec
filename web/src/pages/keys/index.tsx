import "../../parts/parts.css";

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get, part, remove } from "../../api/client";
import { keys } from "../../api/queries";
import { due } from "../../format";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { useChange } from "../../parts/changing";
import { Ask, Badge, Button, Dialog, Empty, Failure, Panel, useSay, Waiting } from "../../components";
import { ShownOnce, TextField } from "../../parts/controls";
import type { Field } from "../../parts/fields";
import { FormDialog, SendingForm } from "../../parts/SendingForm";
import type { Budget } from "./Spent";
import { amounts, Bar, renewal, Spent, useBudgets } from "./Spent";
import { BUDGET_FIELDS, KEY_FIELDS, LIMIT_FIELDS, MODEL_LIMIT_FIELDS } from "./fields";

export interface AuthKey {
  id: string;
  name: string;
  key_masked?: string | null;
  expires_at: string | null;
  disabled: boolean;
  allowed_models: string[];
  allowed_endpoints: string[];
  rpm: number | null;
  tpm: number | null;
  concurrency: number | null;
  budget_usd: number | Record<string, number> | null;
  budget_period: string;
  last_used_at?: string | null;
  [more: string]: unknown;
}

interface Made {
  name: string;
  key: string;
}

type Open = { what: "create" } | { what: "edit" | "rotate" | "delete"; of: AuthKey } | { what: "shown"; made: Made } | null;

/** Keys that clients present, and what all of them together may ask. */
export default function Keys() {
  const found = useQuery({ queryKey: keys.authKeys, queryFn: () => get<{ auth_keys: AuthKey[]; is_open?: boolean }>("auth-keys") });
  const [open, setOpen] = useState<Open>(null);
  const isAdmin = useMay("admin");
  const close = () => setOpen(null);
  const rows = found.data?.auth_keys ?? [];
  return (
    <Page title="Keys and limits" about="Who may ask, for what, how much and how often.">
      <div className="stack wide">
        <Panel
          title="Keys of clients"
          flush
          actions={
            isAdmin && (
              <Button kind="primary" icon="plus" onClick={() => setOpen({ what: "create" })}>
                New key
              </Button>
            )
          }
        >
          {found.isPending && <Waiting />}
          {found.error && <Failure error={found.error} again={() => void found.refetch()} />}
          {found.data && rows.length === 0 && (
            <Empty title="No key yet" actions={isAdmin && <Button kind="primary" icon="plus" onClick={() => setOpen({ what: "create" })}>Create the first key</Button>}>
              {found.data.is_open === false
                ? "Nobody is admitted. Create a key and give it to a client."
                : "Where no key is set up, only this machine may ask. Create one for each client: it can be limited, watched and taken back."}
            </Empty>
          )}
          {rows.length > 0 && <KeyTable rows={rows} isAdmin={isAdmin} open={setOpen} />}
        </Panel>
        {!found.isPending && <Limits isAdmin={isAdmin} />}
        {open?.what === "create" && <Create onClose={close} onMade={(made) => setOpen({ what: "shown", made })} />}
        {open?.what === "edit" && <Edit of={open.of} onClose={close} />}
        {open?.what === "rotate" && <Rotate of={open.of} onClose={close} onMade={(made) => setOpen({ what: "shown", made })} />}
        {open?.what === "delete" && <Delete of={open.of} onClose={close} />}
        {open?.what === "shown" && (
          <Dialog isOpen title="New key" onClose={close}>
            <ShownOnce name={open.made.name} secret={open.made.key} onDone={close} />
          </Dialog>
        )}
      </div>
    </Page>
  );
}

function KeyTable(props: { rows: AuthKey[]; isAdmin: boolean; open: (open: Open) => void }) {
  const budgets = useBudgets().data?.budgets ?? [];
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label="Keys of clients">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">State</th>
            <th scope="col">May ask</th>
            <th scope="col">Limits</th>
            <th scope="col">Budget</th>
            <th scope="col">Expires</th>
            {props.isAdmin && (
              <th scope="col">
                <span className="hidden-but-read">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={row.id}>
              <td>
                <span className="clip" title={row.name}>
                  {row.name}
                </span>
                {row.key_masked && <code className="quiet">{row.key_masked}</code>}
              </td>
              <td>
                <KeyState of={row} />
              </td>
              <td>
                <span className="clip" title={scope(row)}>
                  {scope(row)}
                </span>
              </td>
              <td>{limits(row).join(", ") || "none"}</td>
              <td>
                <KeyBudgets of={budgets.filter((one) => one.auth_key === row.name)} />
              </td>
              <td className="nowrap">{row.expires_at ? due(row.expires_at) : "never"}</td>
              {props.isAdmin && (
                <td>
                  <div className="actions">
                    <Button small aria-label={`Edit ${row.name}`} onClick={() => props.open({ what: "edit", of: row })}>
                      Edit
                    </Button>
                    <Button small aria-label={`Rotate ${row.name}`} onClick={() => props.open({ what: "rotate", of: row })}>
                      Rotate
                    </Button>
                    <Button small kind="danger" aria-label={`Delete ${row.name}`} onClick={() => props.open({ what: "delete", of: row })}>
                      Delete
                    </Button>
                  </div>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function KeyState(props: { of: AuthKey }) {
  const { disabled, expires_at } = props.of;
  if (disabled) return <Badge tone="quiet">disabled</Badge>;
  const left_s = expires_at ? (Date.parse(expires_at) - Date.now()) / 1000 : Number.POSITIVE_INFINITY;
  if (left_s <= 0) return <Badge tone="bad">expired</Badge>;
  if (left_s < 7 * 86_400) return <Badge tone="warn">expires soon</Badge>;
  return <Badge tone="good">active</Badge>;
}

function scope(row: AuthKey): string {
  const models = row.allowed_models?.length ? row.allowed_models.join(", ") : "any model";
  return row.allowed_endpoints?.length ? `${models} on ${row.allowed_endpoints.join(", ")}` : models;
}

function limits(row: AuthKey): string[] {
  const told = [
    row.rpm && `${row.rpm} requests/min`,
    row.tpm && `${row.tpm} tokens/min`,
    row.concurrency && `${row.concurrency} at once`,
  ].filter(Boolean);
  return told.map(String);
}

function KeyBudgets(props: { of: Budget[] }) {
  if (props.of.length === 0) return "none";
  return props.of.map((one) => (
    <span key={`${one.unit} ${one.period}`} className="key-budget" title={renewal(one)}>
      <Bar of={one} />
      {amounts(one)}, {one.period}
    </span>
  ));
}

function Create(props: { onClose: () => void; onMade: (made: Made) => void }) {
  const change = useChange<Made>((made) => props.onMade(made));
  return <FormDialog isNew title="New key" fields={KEY_FIELDS} values={{ budget_period: "monthly" }} path="auth-keys" change={change} action="Create key" onClose={props.onClose} />;
}

function Edit(props: { of: AuthKey; onClose: () => void }) {
  const change = useChange(props.onClose);
  return (
    <FormDialog
      title={`Key ${props.of.name}`}
      fields={KEY_FIELDS}
      values={props.of}
      path={`auth-keys/${part(props.of.id)}`}
      change={change}
      action="Save"
      onClose={props.onClose}
    />
  );
}

function Rotate(props: { of: AuthKey; onClose: () => void; onMade: (made: Made) => void }) {
  const [hours, setHours] = useState("24");
  const change = useChange<Made>((made) => props.onMade({ ...made, name: made.name ?? props.of.name }));
  const overlap = Number(hours);
  const isWrong = hours.trim() === "" || !Number.isFinite(overlap) || overlap < 0;
  return (
    <Dialog isOpen title={`Rotate ${props.of.name}`} onClose={props.onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!isWrong) change.send("POST", `auth-keys/${part(props.of.id)}/rotate`, { overlap_s: Math.round(overlap * 3600) });
        }}
      >
        <div className="stack">
          <p>A new key is made. The old one stays good for a while, so that clients can be changed over.</p>
          <TextField
            label="Hours that the old key stays good"
            isNumber
            value={hours}
            onChange={setHours}
            error={isWrong ? "a number of hours is expected" : null}
            help="0 ends it at once."
          />
          {change.failure && <Failure error={change.error} />}
          <div className="row row-end">
            <Button onClick={props.onClose}>Cancel</Button>
            <Button type="submit" kind="primary" disabled={change.isBusy || isWrong}>
              Rotate key
            </Button>
          </div>
        </div>
      </form>
    </Dialog>
  );
}

function Delete(props: { of: AuthKey; onClose: () => void }) {
  const queries = useQueryClient();
  const yes = async () => {
    await remove(`auth-keys/${part(props.of.id)}`);
    await queries.invalidateQueries();
  };
  return (
    <Ask isOpen title={`Delete ${props.of.name}?`} verb="Delete key" onYes={yes} onClose={props.onClose}>
      Clients that present it are refused from this moment on. What it has cost stays in the books.
    </Ask>
  );
}

type Told = Record<string, unknown>;

interface LimitsTold extends Told {
  models: Told;
  budget: Told;
}

/** Three forms that ask for one answer: what is typed into one outlasts the saving of another. */
function Limits(props: { isAdmin: boolean }) {
  const found = useQuery({ queryKey: keys.limits, queryFn: () => get<LimitsTold>("limits") });
  const spent = useBudgets();
  const { models = {}, budget = {}, ...limits } = found.data ?? {};
  const forms = [
    { title: "Limits of all clients together", fields: LIMIT_FIELDS, told: limits, action: "Save limits" },
    { title: "Limits by model", fields: MODEL_LIMIT_FIELDS, told: { models }, action: "Save limits by model" },
    { title: "Budget", about: "What may be spent before requests are refused.", fields: BUDGET_FIELDS, told: budget, within: "budget", action: "Save budget" },
  ];
  // panels below what is still growing would jump
  if (found.isPending || spent.isPending) return <Waiting />;
  return forms.map((form) => (
    <Panel key={form.title} title={form.title} about={form.about}>
      {found.error && <Failure error={found.error} again={() => void found.refetch()} />}
      {form.within === "budget" && <div className="before-form"><Spent /></div>}
      {found.data && <LimitForm {...form} isAdmin={props.isAdmin} />}
    </Panel>
  ));
}

function LimitForm(props: { fields: readonly Field[]; told: Told; within?: string; action: string; isAdmin: boolean }) {
  const say = useSay();
  const change = useChange<{ message: string }>((done) => say(done.message));
  return (
    <SendingForm
      fields={props.fields}
      values={props.told}
      path="limits"
      within={props.within}
      change={change}
      action={props.action}
      isReadOnly={!props.isAdmin}
    />
  );
}
