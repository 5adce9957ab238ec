/** All requests that the ledger holds, searched and leafed through. What is looked for stands in the URL. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useState } from "react";
import { useSearchParams } from "react-router";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import type { Item, LogPage, Names } from "../../api/types";
import { Button, Empty, exchangeColumns, Field, Note, Panel, Table } from "../../components";
import { count, words } from "../../format";
import { Page } from "../../layout/page";

const NAMED = ["model", "provider", "key", "endpoint", "outcome"] as const;
const SINCE = [["", "Any time"], ["15m", "15 minutes"], ["1h", "Hour"], ["24h", "Day"], ["7d", "Week"], ["30d", "30 days"]] as const;
const FILTERS = ["q", ...NAMED, "status", "min_ms", "min_cost", "since", "until"] as const;
const A_PAGE = 50;
const COLUMNS = exchangeColumns();

export default function Requests() {
  const [search, setSearch] = useSearchParams();
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, search.get(name) ?? undefined]));
  const asked = useDeferredValue(JSON.stringify(wanted));
  const pages = useInfiniteQuery({
    queryKey: [...keys.logs, "pages", asked],
    queryFn: ({ pageParam, signal }) => get<LogPage>("logs", { ...(JSON.parse(asked) as object), limit: A_PAGE, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.cursor,
  });
  const names = useQuery({ queryKey: [...keys.logs, "names"], queryFn: ({ signal }) => get<Names>("logs/names", undefined, signal), staleTime: 60_000 });
  const rows = pages.data?.pages.flatMap((one) => one.items);
  const last = pages.data?.pages.at(-1);
  const isFiltered = FILTERS.some((name) => search.has(name));
  const change = (name: string, value: string) =>
    setSearch(
      (old) => {
        if (value) old.set(name, value);
        else old.delete(name);
        return old;
      },
      { replace: true },
    );

  return (
    <Page
      title="Requests"
      about={last?.total != null ? `About ${count(last.total)} kept.` : "All that the ledger keeps."}
      actions={<Button icon="again" onClick={() => void pages.refetch()}>Refresh</Button>}
    >
      <Panel flush>
        <div className="filter-grid">
          <Words value={search.get("q") ?? ""} onChange={(value) => change("q", value)} />
          {NAMED.map((name) => (
            <Pick key={name} name={name} value={search.get(name) ?? ""} options={name === "outcome" ? ["failed", "fault", ...(names.data?.outcome ?? [])] : (names.data?.[name] ?? [])} onChange={(value) => change(name, value)} />
          ))}
          <Field label="Since">
            {(given) => (
              <select className="select" value={search.get("since") ?? ""} onChange={(event) => change("since", event.target.value)} {...given}>
                {SINCE.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
                {search.has("since") && !SINCE.some(([value]) => value === search.get("since")) && <option value={search.get("since") ?? ""}>{search.get("since")}</option>}
              </select>
            )}
          </Field>
          <Field label="Status">
            {(given) => <input className="input" placeholder="429, 5xx" value={search.get("status") ?? ""} onChange={(event) => change("status", event.target.value)} {...given} />}
          </Field>
          <Field label="Longer than, ms">
            {(given) => <input className="input" inputMode="numeric" value={search.get("min_ms") ?? ""} onChange={(event) => change("min_ms", event.target.value.replace(/[^0-9.]/g, ""))} {...given} />}
          </Field>
          {isFiltered && <Button kind="plain" onClick={() => setSearch({}, { replace: true })}>Clear</Button>}
        </div>
        <Table<Item>
          label="Requests, the newest first"
          isDense
          rows={rows}
          error={pages.error}
          rowKey={(one) => one.request_id}
          href={(one) => `/requests/${encodeURIComponent(one.request_id)}`}
          empty={
            isFiltered ? (
              <Empty title="Nothing was found" actions={<Button onClick={() => setSearch({}, { replace: true })}>Show all</Button>}>No request fits all of these.</Empty>
            ) : (
              <Empty title="No requests yet">Every request is kept here when it is over, with its attempts and what it cost.</Empty>
            )
          }
          columns={COLUMNS}
        />
        {last && !last.is_full_search && <div style={{ padding: "12px 16px" }}><Note>The search went as far as it could in a moment; it goes on with older ones.</Note></div>}
        {pages.hasNextPage && (
          <div className="row more">
            <Button disabled={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
              {pages.isFetchingNextPage ? "One moment" : last?.is_full_search ? "Older" : "Search on"}
            </Button>
          </div>
        )}
      </Panel>
    </Page>
  );
}

/** Of several outcomes. */
const OUTCOMES: Record<string, string> = { failed: "failed: any but ok", fault: "failed, not by the client" };

const PAUSE_MS = 300;

/** What is typed is looked for when the typing pauses. */
function Words({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText((old) => (old.trim() === value ? old : value)), [value]);
  useEffect(() => {
    if (text.trim() === value) return;
    const timer = window.setTimeout(() => onChange(text.trim()), PAUSE_MS);
    return () => window.clearTimeout(timer);
  });
  return (
    <Field label="Words">
      {(given) => <input className="input" type="search" placeholder="In ids, paths, errors, bodies" value={text} onChange={(event) => setText(event.target.value)} {...given} />}
    </Field>
  );
}

function Pick({ name, value, options, onChange }: { name: string; value: string; options: readonly string[]; onChange: (value: string) => void }) {
  const all = value && !options.includes(value) ? [value, ...options] : options;
  return (
    <Field label={name[0]!.toUpperCase() + name.slice(1)}>
      {(given) => (
        <select className="select" value={value} onChange={(event) => onChange(event.target.value)} {...given}>
          <option value="">Any</option>
          {all.map((one) => <option key={one} value={one}>{name === "outcome" ? (OUTCOMES[one] ?? words(one)) : one}</option>)}
        </select>
      )}
    </Field>
  );
}
