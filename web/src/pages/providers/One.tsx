/** One provider: its credentials with what can be done about them, and its options. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";

import { ApiError, get, part, remove } from "../../api/client";
import { keys } from "../../api/queries";
import { Ask, Badge, Button, Dialog, Empty, Failure, Note, Panel, Table, useSay, Waiting } from "../../components";
import type { Column } from "../../components";
import { duration } from "../../format";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { SelectField, TextField } from "../../parts/controls";
import { useChange } from "../../parts/changing";
import { useDone } from "../../parts/doing";
import { FormDialog, SendingForm } from "../../parts/SendingForm";
import { CREDENTIAL_FIELDS, NEW_CREDENTIAL_FIELDS, PROVIDER_FIELDS } from "./fields";
import { Standing } from "../../parts/Standing";
import type { Credential, Provider, Tried } from "./told";
import { modelsOf } from "./told";

export function One() {
  const { name = "" } = useParams();
  const found = useQuery({
    queryKey: [...keys.providers, name],
    queryFn: () => get<Provider>(`providers/${part(name)}`),
    refetchInterval: 5_000,
  });
  const [isDeleting, setDeleting] = useState(false);
  const isAdmin = useMay("admin");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const say = useSay();
  const isGone = found.error instanceof ApiError && found.error.status === 404;
  const yes = async () => {
    await remove(`providers/${part(name)}`);
    say(`The provider ${name} is gone.`);
    await navigate("/providers");
    void queries.invalidateQueries();
  };
  return (
    <Page
      title={name}
      about={<Link to="/providers">All providers</Link>}
      actions={
        isAdmin &&
        found.data && (
          <Button kind="danger" onClick={() => setDeleting(true)}>
            Delete provider
          </Button>
        )
      }
    >
      {found.isPending && <Waiting lines={6} />}
      {isGone && <Empty title={`There is no provider called ${name}`}>It may have been renamed or deleted.</Empty>}
      {found.error && !isGone ? <Failure error={found.error} again={() => void found.refetch()} /> : null}
      {found.data && (
        <div className="stack wide">
          <Credentials of={found.data} isAdmin={isAdmin} />
          <Panel title="Options" about="Of all its credentials, as far as they say nothing else.">
            <Edit key={found.data.id} of={found.data} isAdmin={isAdmin} />
            <p className="second">
              {found.data.has_cloak ? "It has a cloak" : "It has no cloak"}: a system text of yours, words that must not leave the house. That is written in{" "}
              <Link to="/config">Config</Link>, as <code>[providers.{name}.cloak]</code>.
            </p>
          </Panel>
        </div>
      )}
      <Ask isOpen={isDeleting} title={`Delete ${name}?`} verb="Delete provider" onYes={yes} onClose={() => setDeleting(false)}>
        It is asked no more from this moment on, and its {found.data?.credentials.length ?? 0} credentials go out of the configuration. The
        history can bring them back.
      </Ask>
    </Page>
  );
}

function Edit({ of, isAdmin }: { of: Provider; isAdmin: boolean }) {
  const say = useSay();
  const change = useChange<{ message: string }>((done) => say(done.message));
  return (
    <SendingForm
      fields={PROVIDER_FIELDS}
      values={{ ...of }}
      path={`providers/${part(of.id)}`}
      change={change}
      action="Save options"
      isReadOnly={!isAdmin}
    />
  );
}

type Open = { what: "add" } | { what: "edit" | "delete" | "rest" | "test"; of: Credential } | null;

function Credentials({ of, isAdmin }: { of: Provider; isAdmin: boolean }) {
  const [open, setOpen] = useState<Open>(null);
  const mayOperate = useMay("operator");
  const say = useSay();
  const revive = useChange<{ message: string }>((done) => say(done.message));
  const at = `providers/${part(of.id)}/credentials`;
  const close = () => setOpen(null);
  const columns: Column<Credential>[] = [
    { name: "Name", cell: (row) => <span className="clip">{row.name}</span> },
    {
      name: "State",
      cell: (row) => (
        <>
          <Standing of={row} />
          {row.state !== "ok" && row.state !== "disabled" && (
            <p>
              <Link to={`/system?q=${encodeURIComponent(`${of.id}/${row.name}`)}`}>What the log tells of it</Link>
            </p>
          )}
        </>
      ),
    },
    { name: "Key", cell: (row) => <Key of={row} /> },
    {
      name: "Models",
      cell: (row) => (
        <span className="clip" title={modelsOf(row)}>
          {modelsOf(row)}
        </span>
      ),
    },
    { name: "Weight", isNumber: true, cell: (row) => row.weight },
    {
      name: "Actions",
      isNameHidden: true,
      cell: (row) => (
        <div className="actions">
          {mayOperate && (
            <>
              <Button small aria-label={`Test ${row.name}`} onClick={() => setOpen({ what: "test", of: row })}>
                Test
              </Button>
              {row.state === "ok" || row.state === "disabled" ? (
                <Button
                  small
                  aria-label={`Rest ${row.name}`}
                  disabled={row.state === "disabled"}
                  onClick={() => setOpen({ what: "rest", of: row })}
                >
                  Rest
                </Button>
              ) : (
                <Button
                  small
                  aria-label={`Revive ${row.name}`}
                  disabled={revive.isBusy}
                  onClick={() => revive.send("POST", `${at}/${part(row.id)}/revive`)}
                >
                  Revive
                </Button>
              )}
            </>
          )}
          {isAdmin && (
            <>
              <Button small aria-label={`Edit ${row.name}`} onClick={() => setOpen({ what: "edit", of: row })}>
                Edit
              </Button>
              <Button small kind="danger" aria-label={`Delete ${row.name}`} onClick={() => setOpen({ what: "delete", of: row })}>
                Delete
              </Button>
            </>
          )}
        </div>
      ),
    },
  ];
  const add = isAdmin && (
    <Button icon="plus" onClick={() => setOpen({ what: "add" })}>
      Add credential
    </Button>
  );
  return (
    <Panel title="Credentials" flush actions={of.credentials.length > 0 && add}>
      {revive.error && <Failure error={revive.error} />}
      <Table
        label={`Credentials of ${of.name}`}
        columns={columns}
        rows={of.credentials}
        rowKey={(row) => row.id}
        empty={
          <Empty title="No credential yet" actions={add}>
            Without one, requests for its models are sent elsewhere or refused.
          </Empty>
        }
      />
      {open?.what === "add" && <Add at={at} onClose={close} />}
      {open?.what === "edit" && <EditOne at={at} of={open.of} onClose={close} />}
      {open?.what === "rest" && <Rest at={at} of={open.of} onClose={close} />}
      {open?.what === "test" && <Test at={at} of={open.of} onClose={close} />}
      {open?.what === "delete" && <Delete at={at} of={open.of} onClose={close} />}
    </Panel>
  );
}

function Key({ of }: { of: Credential }) {
  if (of.key_reference) return <code>{of.key_reference}</code>;
  return of.key_set ? <span className="quiet">set</span> : <Badge tone="bad">not set</Badge>;
}

function Add({ at, onClose }: { at: string; onClose: () => void }) {
  const change = useDone(onClose);
  return <FormDialog isNew title="Add a credential" fields={NEW_CREDENTIAL_FIELDS} values={{}} path={at} change={change} action="Add credential" onClose={onClose} />;
}

interface OneProps {
  at: string;
  of: Credential;
  onClose: () => void;
}

function EditOne({ at, of, onClose }: OneProps) {
  const change = useDone(onClose);
  return (
    <FormDialog
      title={`Credential ${of.name}`}
      about="What is not set here is as its provider says."
      fields={CREDENTIAL_FIELDS}
      values={{ ...of }}
      path={`${at}/${part(of.id)}`}
      change={change}
      action="Save"
      onClose={onClose}
    />
  );
}

const RESTS = [
  { value: "300", label: "5 minutes" },
  { value: "3600", label: "an hour" },
  { value: "86400", label: "a day" },
  { value: "2592000", label: "30 days" },
] as const;

function Rest({ at, of, onClose }: OneProps) {
  const [seconds, setSeconds] = useState("3600");
  const [reason, setReason] = useState("");
  const change = useDone(onClose);
  return (
    <Dialog
      isOpen
      title={`Let ${of.name} rest?`}
      about="It is not asked meanwhile. It can be revived at any time."
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="primary"
            disabled={change.isBusy}
            onClick={() => change.send("POST", `${at}/${part(of.id)}/rest`, { duration_s: Number(seconds), reason: reason.trim() || null })}
          >
            Let it rest
          </Button>
        </>
      }
    >
      <div className="stack">
        <SelectField label="For" value={seconds} choices={RESTS} onChange={setSeconds} />
        <TextField label="Why" value={reason} onChange={setReason} help="Goes into the log." />
        {change.error && <Failure error={change.error} />}
      </div>
    </Dialog>
  );
}

function Test({ at, of, onClose }: OneProps) {
  const [model, setModel] = useState(of.test_model ?? "");
  const [tried, setTried] = useState<Tried | null>(null);
  const change = useChange<Tried>(setTried);
  return (
    <Dialog
      isOpen
      title={`Test ${of.name}`}
      about="One short request with this credential. It costs what so few tokens cost."
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            disabled={change.isBusy}
            onClick={() => {
              setTried(null);
              change.send("POST", `${at}/${part(of.id)}/test`, { model: model.trim() || null });
            }}
          >
            {change.isBusy ? "Asking…" : "Test now"}
          </Button>
        </>
      }
    >
      <div className="stack">
        <TextField label="Model" value={model} onChange={setModel} placeholder="the first that it names" />
        {change.error && <Failure error={change.error} />}
        {tried && (
          <Note tone={tried.is_fine ? "good" : "bad"}>
            <b>{tried.is_fine ? "It works" : tried.status === null ? "No answer" : `Status ${tried.status}`}</b> after{" "}
            {duration(tried.latency_ms)}, asked for <code>{tried.model}</code>
            {tried.error && <div>{tried.error}</div>}
          </Note>
        )}
      </div>
    </Dialog>
  );
}

function Delete({ at, of, onClose }: OneProps) {
  const queries = useQueryClient();
  const yes = async () => {
    await remove(`${at}/${part(of.id)}`);
    void queries.invalidateQueries();
  };
  return (
    <Ask isOpen title={`Delete ${of.name}?`} verb="Delete credential" onYes={yes} onClose={onClose}>
      It is asked no more from this moment on. Versions of the configuration from before still name it.
    </Ask>
  );
}
