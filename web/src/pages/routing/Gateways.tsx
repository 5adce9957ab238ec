/** Cloudflare's gateways that requests of cloudflare endpoints rotate over. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get, part } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Empty, Panel, Table } from "../../components";
import type { Column } from "../../components";
import { useMay } from "../../layout/session";
import { Removal, useDone } from "../../parts/doing";
import { FormDialog } from "../../parts/SendingForm";
import { gatewayFields, NEW_GATEWAY_FIELDS } from "./fields";

interface Gateway {
  id: string;
  account_id: string;
  gateway_id: string;
  token: string | null;
  weight: number;
  form: string;
  unified_billing: boolean;
}

type Open = { what: "add" } | { what: "edit" | "delete"; of: Gateway } | null;

export function Gateways() {
  const found = useQuery({ queryKey: keys.gateways, queryFn: () => get<{ gateways: Gateway[] }>("gateways") });
  const [open, setOpen] = useState<Open>(null);
  const isAdmin = useMay("admin");
  const close = () => setOpen(null);
  const add = isAdmin && (
    <Button icon="plus" onClick={() => setOpen({ what: "add" })}>
      Add gateway
    </Button>
  );
  const actions: Column<Gateway> = {
    name: "Actions",
    isNameHidden: true,
    cell: (row) => (
      <div className="actions">
        <Button small aria-label={`Edit ${row.id}`} onClick={() => setOpen({ what: "edit", of: row })}>
          Edit
        </Button>
        <Button small kind="danger" aria-label={`Delete ${row.id}`} onClick={() => setOpen({ what: "delete", of: row })}>
          Delete
        </Button>
      </div>
    ),
  };
  return (
    <Panel title="Cloudflare AI Gateways" about="Endpoints of kind cloudflare rotate over them by weight." flush actions={add}>
      <Table
        label="Cloudflare AI Gateways"
        columns={isAdmin ? [...COLUMNS, actions] : COLUMNS}
        rows={found.data?.gateways}
        usually={3}
        rowKey={(row) => row.id}
        error={found.error ?? undefined}
        empty={<Empty title="No gateway of Cloudflare's">Add one, and a cloudflare endpoint sends by it.</Empty>}
      />
      {open?.what === "add" && <Add isFirst={found.data?.gateways.length === 0} onClose={close} />}
      {open?.what === "edit" && <Edit of={open.of} onClose={close} />}
      {open?.what === "delete" && (
        <Removal title={`Delete ${open.of.id}?`} verb="Delete gateway" path={pathOf(open.of)} onClose={close}>
          Nothing is sent by it from this moment on; at Cloudflare it stays. The history can bring it back.
        </Removal>
      )}
    </Panel>
  );
}

const COLUMNS: readonly Column<Gateway>[] = [
  { name: "Gateway", cell: (row) => <span className="clip">{row.gateway_id}</span> },
  { name: "Account", cell: (row) => <span className="clip mono">{row.account_id}</span> },
  { name: "Token", cell: (row) => (row.token === null ? <Badge>none</Badge> : <code>{row.token}</code>) },
  { name: "Form", cell: (row) => row.form },
  { name: "Billing", cell: (row) => (row.unified_billing ? "by Cloudflare" : "by providers") },
  { name: "Weight", isNumber: true, cell: (row) => row.weight },
];

function pathOf(of: Gateway): string {
  return `gateways/${part(of.account_id)}/${part(of.gateway_id)}`;
}

function Add({ isFirst, onClose }: { isFirst: boolean; onClose: () => void }) {
  const change = useDone(onClose);
  return (
    <FormDialog
      isNew
      title="Add a gateway"
      about={isFirst && "It is the first: requests that name no endpoint go by it from then on, unless the configuration says where they go."}
      fields={NEW_GATEWAY_FIELDS}
      values={{ form: "compat" }}
      path="gateways"
      change={change}
      action="Add gateway"
      onClose={onClose}
    />
  );
}

function Edit({ of, onClose }: { of: Gateway; onClose: () => void }) {
  const change = useDone(onClose);
  return <FormDialog title={`Gateway ${of.id}`} fields={gatewayFields(of.token !== null)} values={{ ...of }} path={pathOf(of)} change={change} action="Save" onClose={onClose} />;
}
