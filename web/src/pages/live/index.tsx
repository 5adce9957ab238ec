/** Exchanges as they happen. It can be held still, and shows only what is asked for. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useReducer, useState } from "react";
import { useSearchParams } from "react-router";

import { get } from "../../api/client";
import { useLink, useNews } from "../../api/live";
import { keys } from "../../api/queries";
import type { Item, LogPage } from "../../api/types";
import { Button, Choice, Empty, exchangeColumns, Note, Panel, Table } from "../../components";
import { count } from "../../format";
import { Page } from "../../layout/page";
import { EMPTY, step } from "./rows";

const WHICH = [["", "All"], ["running", "Running"], ["failed", "Failed"], ["retried", "Retried"]] as const;
type Which = (typeof WHICH)[number][0];

const FITS: Record<Which, (one: Item) => boolean> = {
  "": () => true,
  running: (one) => one.state === "running",
  failed: (one) => one.outcome !== null && one.outcome !== "ok" && one.outcome !== "client_gone",
  retried: (one) => one.attempts > 1,
};

export default function Live() {
  const [rows, tell] = useReducer(step, EMPTY);
  const [search, setSearch] = useSearchParams();
  const link = useLink();
  const now_ms = useNow();
  const text = search.get("q") ?? "";
  const which = (search.get("show") ?? "") as Which;

  const before = useQuery({
    queryKey: [...keys.logs, "live"],
    queryFn: ({ signal }) => get<LogPage>("logs", { limit: 50 }, signal),
    staleTime: Infinity,
    gcTime: 0,
  });
  useEffect(() => {
    if (before.data) tell({ type: "before", items: before.data.items });
  }, [before.data]);
  useNews(["exchanges"], (news) => tell({ type: "news", news }));

  const change = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value);
        else old.delete(name);
        return old;
      },
      { replace: true },
    );
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = FITS[which] ?? FITS[""];
  const shown = rows.shown.filter((one) => fits(one) && words.every((word) => told(one).includes(word)));

  return (
    <Page
      title="Live"
      about="Requests as they come, are worked on, and end."
      actions={
        <Button icon={rows.isHeld ? "play" : "pause"} kind={rows.isHeld ? "primary" : undefined} onClick={() => tell({ type: rows.isHeld ? "go" : "hold" })}>
          {rows.isHeld ? (rows.waiting ? `Go on, ${count(rows.waiting)} new` : "Go on") : "Pause"}
        </Button>
      }
    >
      {link === "lost" && <Note tone="warn">The connection is lost; it is tried again. What happens meanwhile is in Requests.</Note>}
      <Panel flush>
        <header className="row filters">
          <input className="input" type="search" aria-label="Only with these words" placeholder="Model, provider, key, path, id …" value={text} onChange={(event) => change("q", event.target.value)} />
          <Choice<Which> label="Which" value={which} options={WHICH} onChange={(value) => change("show", value)} />
          {rows.missed > 0 && <span className="quiet">{count(rows.missed)} more, too fast to show one by one</span>}
        </header>
        <Table<Item>
          label="Requests, the newest first"
          isDense
          rows={before.isPending && rows.shown.length === 0 ? undefined : shown}
          rowKey={(one) => one.request_id}
          href={(one) => `/requests/${encodeURIComponent(one.request_id)}`}
          empty={
            rows.shown.length ? (
              <Empty title="Nothing that fits" actions={<Button onClick={() => setSearch({}, { replace: true })}>Show all</Button>}>Requests go by that these filters hide.</Empty>
            ) : (
              <Empty title="Listening">Nothing has come yet. The next request appears here the moment it arrives.</Empty>
            )
          }
          columns={exchangeColumns(now_ms)}
        />
      </Panel>
    </Page>
  );
}

const TICK_MS = 250;

/** The time, again and again: what runs is shown with how long it has. */
function useNow(): number {
  const [now_ms, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), TICK_MS);
    return () => window.clearInterval(timer);
  }, []);
  return now_ms;
}

function told(one: Item): string {
  return [one.request_id, one.path, one.model, one.model_sent, one.provider, one.credential, one.auth_key, one.client, one.endpoint, one.outcome, one.code, one.status]
    .join(" ")
    .toLowerCase();
}
