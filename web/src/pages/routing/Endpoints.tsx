/** The doors that clients come in by: shown, opened, changed and closed. */

import type { UseQueryResult } from "@tanstack/react-query";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get, part } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Empty, Panel, Table } from "../../components";
import type { Column } from "../../components";
import { useMay } from "../../layout/session";
import { FormDialog } from "../../parts/SendingForm";
import { Removal, useDone } from "../../parts/doing";
import { endpointFields, NEW_NAME } from "./fields";

export interface Endpoint {
  id: string;
  name: string;
  kind: string;
  is_default: boolean;
  /** Whether it stands in no file and follows from the rest. */
  is_implied: boolean;
  path: string;
  target_base: string | null;
  provider: string | null;
  proxy_url: string | null;
  has_proxy: boolean;
  simulate_stream: boolean;
  strict: boolean;
  allowed_models: string[];
  allowed_paths: string[];
  tls_ca: string | null;
  tls_client_cert: string | null;
  injects_credentials: boolean;
}

type Open = { what: "add" } | { what: "edit" | "delete" | "write"; of: Endpoint } | null;

export function Endpoints({ found }: { found: UseQueryResult<{ endpoints: Endpoint[] }> }) {
  const [open, setOpen] = useState<Open>(null);
  const isAdmin = useMay("admin");
  const close = () => setOpen(null);
  const add = isAdmin && (
    <Button icon="plus" onClick={() => setOpen({ what: "add" })}>
      Add endpoint
    </Button>
  );
  const actions: Column<Endpoint> = {
    name: "Actions",
    isNameHidden: true,
    cell: (row) =>
      row.is_implied ? (
        <div className="actions">
          <Button small aria-label={`Add ${row.name} to the file`} onClick={() => setOpen({ what: "write", of: row })}>
            Add to the file
          </Button>
        </div>
      ) : (
        <div className="actions">
          <Button small aria-label={`Edit ${row.name}`} onClick={() => setOpen({ what: "edit", of: row })}>
            Edit
          </Button>
          <Button small kind="danger" aria-label={`Delete ${row.name}`} onClick={() => setOpen({ what: "delete", of: row })}>
            Delete
          </Button>
        </div>
      ),
  };
  return (
    <Panel title="Endpoints" flush actions={add}>
      <Table
        label="Endpoints"
        columns={isAdmin ? [...COLUMNS, actions] : COLUMNS}
        rows={found.data?.endpoints}
        usually={2}
        rowKey={(row) => row.id}
        error={found.error ?? undefined}
        empty={<Empty title="No endpoint yet">Add a provider, and requests are routed by model; or add an endpoint here.</Empty>}
      />
      {open?.what === "add" && <Add onClose={close} />}
      {open?.what === "write" && <Add of={open.of} onClose={close} />}
      {open?.what === "edit" && <Edit of={open.of} onClose={close} />}
      {open?.what === "delete" && (
        <Removal title={`Delete ${open.of.name}?`} verb="Delete endpoint" path={`endpoints/${part(open.of.id)}`} onClose={close}>
          Requests to <code>{open.of.path}</code> are refused with 404 from this moment on. The history can bring it back.
        </Removal>
      )}
    </Panel>
  );
}

const COLUMNS: readonly Column<Endpoint>[] = [
  {
    name: "Name",
    cell: (row) => (
      <>
        <span className="clip" title={row.name}>{row.name}</span>
        {row.is_implied && <span className="second">implied: add it to the file to change it</span>}
      </>
    ),
  },
  { name: "Kind", cell: (row) => <Badge tone="info">{row.kind}</Badge> },
  {
    name: "Path",
    cell: (row) => (
      <span className="row">
        <code>{row.path}</code>
        {row.is_default && <Badge>and /v1</Badge>}
      </span>
    ),
  },
  { name: "Goes to", cell: (row) => <span className="clip">{row.provider ?? row.target_base ?? "by model"}</span> },
  { name: "Key that is sent", cell: (row) => (row.injects_credentials ? "ours" : "the client's") },
  { name: "Models", cell: (row) => <span className="clip">{row.allowed_models.join(", ") || "any"}</span> },
  {
    name: "Rules",
    cell: (row) =>
      [row.strict && "strict", row.simulate_stream && "streams are simulated", row.has_proxy && "by a proxy"].filter(Boolean).join(", ") ||
      "–",
  },
];

function useFields() {
  const found = useQuery({ queryKey: keys.providers, queryFn: () => get<{ providers: { name: string }[] }>("providers") });
  return endpointFields((found.data?.providers ?? []).map((one) => one.name));
}

/** `of`: one that stands in no file, and is written down as it is. */
function Add({ of, onClose }: { of?: Endpoint; onClose: () => void }) {
  const change = useDone(onClose);
  const fields = [NEW_NAME, ...useFields()];
  return (
    <FormDialog
      isNew
      title={of ? `Add ${of.name} to the file` : "Add an endpoint"}
      about={of && "It follows from the rest of the configuration. What you write here takes its place."}
      fields={fields}
      values={of ? { name: of.name, kind: of.kind } : { kind: "forward" }}
      path="endpoints"
      change={change}
      action="Add endpoint"
      onClose={onClose}
    />
  );
}

function Edit({ of, onClose }: { of: Endpoint; onClose: () => void }) {
  const change = useDone(onClose);
  return (
    <FormDialog
      title={`Endpoint ${of.name}`}
      fields={useFields()}
      values={{ ...of }}
      path={`endpoints/${part(of.id)}`}
      change={change}
      action="Save"
      onClose={onClose}
    />
  );
}
