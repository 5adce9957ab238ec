/** Who is asked, with which keys, and how these are. */

import "../../parts/parts.css";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Route, Routes, useNavigate } from "react-router";

import { get, part } from "../../api/client";
import { keys } from "../../api/queries";
import { Badge, Button, Empty, Panel, Table, useSay } from "../../components";
import type { Column } from "../../components";
import { Page } from "../../layout/page";
import { useMay } from "../../layout/session";
import { useChange } from "../../parts/changing";
import { FormDialog } from "../../parts/SendingForm";
import { One } from "./One";
import { Standing } from "../../parts/Standing";
import { NEW_PROVIDER_FIELDS } from "./fields";
import type { Provider } from "./told";
import { modelsOf } from "./told";

export default function Providers() {
  return (
    <Routes>
      <Route index element={<All />} />
      <Route path=":name" element={<One />} />
    </Routes>
  );
}

const COLUMNS: readonly Column<Provider>[] = [
  { name: "Name", cell: (row) => <span className="clip">{row.name}</span> },
  { name: "Credentials", cell: (row) => <Credentials of={row} /> },
  { name: "Dialect", cell: (row) => row.provider_type },
  {
    name: "Address",
    cell: (row) => (
      <span className="clip mono" title={row.base_url ?? undefined}>
        {row.base_url ?? "–"}
      </span>
    ),
  },
  {
    name: "Models",
    cell: (row) => (
      <span className="clip" title={modelsOf(row)}>
        {modelsOf(row)}
      </span>
    ),
  },
  { name: "Weight", isNumber: true, cell: (row) => row.weight },
];

/** Each state that credentials are in, once. */
function Credentials({ of }: { of: Provider }) {
  if (of.disabled) return <Badge>disabled</Badge>;
  if (of.credentials.length === 0) return <Badge tone="warn">no credential</Badge>;
  const worst = of.credentials.filter((one) => one.state !== "ok" && one.state !== "disabled");
  const well = of.credentials.filter((one) => one.state === "ok").length;
  return (
    <span className="row">
      {well > 0 && <Badge tone="good">{well} ok</Badge>}
      {worst.slice(0, 3).map((one) => (
        <Standing key={one.id} of={one} />
      ))}
      {worst.length > 3 && <span className="quiet">and {worst.length - 3} more</span>}
    </span>
  );
}

function All() {
  const found = useQuery({ queryKey: keys.providers, queryFn: () => get<{ providers: Provider[] }>("providers"), refetchInterval: 5_000 });
  const [isAdding, setAdding] = useState(false);
  const isAdmin = useMay("admin");
  const add = isAdmin && (
    <Button kind="primary" icon="plus" onClick={() => setAdding(true)}>
      Add provider
    </Button>
  );
  return (
    <Page title="Providers" about="Who is asked, with which keys, and how these are." actions={add}>
      <Panel flush>
        <Table
          label="Providers"
          columns={COLUMNS}
          rows={found.data?.providers}
          rowKey={(row) => row.id}
          href={(row) => `/providers/${part(row.id)}`}
          error={found.error ?? undefined}
          empty={
            <Empty title="No provider yet" actions={add}>
              Add one with its key: requests for its models go there as soon as it is saved.
            </Empty>
          }
        />
      </Panel>
      {isAdding && <Add onClose={() => setAdding(false)} />}
    </Page>
  );
}

function Add({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const say = useSay();
  const change = useChange<{ id: string | null; message: string }>((made) => {
    say(made.message);
    if (made.id) void navigate(`/providers/${part(made.id)}`);
    else onClose();
  });
  return <FormDialog isNew title="Add a provider" fields={NEW_PROVIDER_FIELDS} values={{}} path="providers" change={change} action="Add provider" onClose={onClose} />;
}
