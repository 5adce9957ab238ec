/** What is spent of budgets, and when they renew. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get } from "../../api/client";
import { keys } from "../../api/queries";
import { Button, Failure, Note, Waiting } from "../../components";
import { count, due, money, share, short, span } from "../../format";

export interface Budget {
  budget: string;
  /** null: of all clients together. */
  auth_key: string | null;
  period: string;
  timezone: string;
  unit: "usd" | "tokens";
  /** Tokens, or nano-dollars. */
  limit: number;
  spent: number;
  left: number;
  share: number;
  /** null: never. */
  renews_at: string | null;
}

interface Told {
  budgets: Budget[];
  is_known: boolean;
  is_shared: boolean;
}

const EVERY_MS = 10_000;
const USUALLY_SHOWN = 12;
const MUCH = 0.8;

export function useBudgets() {
  return useQuery({ queryKey: [...keys.limits, "budgets"], queryFn: () => get<Told>("budgets"), refetchInterval: EVERY_MS });
}

/** Every budget: those of all clients first, then keys, the most spent first. */
export function Spent() {
  const found = useBudgets();
  const [wantsAll, setWantsAll] = useState(false);
  if (found.isPending) return <Waiting lines={1} />;
  if (found.error) return <Failure error={found.error} again={() => void found.refetch()} />;
  const { budgets, is_known, is_shared } = found.data;
  const every = [...budgets].sort((one, other) => Number(one.auth_key !== null) - Number(other.auth_key !== null) || other.share - one.share);
  const some = wantsAll ? every : every.slice(0, USUALLY_SHOWN);
  return (
    <div className="stack">
      {!is_known && <Note tone="warn">What was spent before the start is still being read from the ledger: the sums are too small yet.</Note>}
      {every.length === 0 && <p className="second">No budget is set: nothing is refused for what it costs. Set one below, or for a key above.</p>}
      <ul className="spent" aria-label="What is spent">
        {some.map((one) => (
          <li key={`${one.budget} ${one.unit} ${one.period}`}>
            <span className="clip" title={nameOf(one)}>
              {one.auth_key === null ? "All clients" : <>Key <b>{one.auth_key}</b></>}, {one.period}
            </span>
            <Bar of={one} />
            <span>{amounts(one)}</span>
            <span className="second">{renewal(one)}</span>
          </li>
        ))}
      </ul>
      {every.length > some.length && (
        <div className="row">
          <Button kind="plain" small onClick={() => setWantsAll(true)}>
            Show all {count(every.length)}
          </Button>
        </div>
      )}
      {every.length > 0 && (
        <p className="second">
          Requests under way count with what they may take.{is_shared && " What other gateways spend counts, too: they share one store."}
        </p>
      )}
    </div>
  );
}

export function Bar({ of }: { of: Budget }) {
  const tone = of.share >= 1 ? "bad" : of.share >= MUCH ? "warn" : undefined;
  return (
    <span
      className="bar"
      data-tone={tone}
      role="meter"
      aria-label={`Spent by ${nameOf(of)}`}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.min(100, Math.round(of.share * 100))}
      aria-valuetext={amounts(of)}
    >
      <i style={{ width: `${Math.min(100, of.share * 100)}%` }} />
    </span>
  );
}

/** `$1.20 of $5 (24.0 %)` */
export function amounts(of: Budget): string {
  const shown = of.unit === "usd" ? money : short;
  const unit = of.unit === "usd" ? "" : " tokens";
  return `${shown(of.spent)} of ${shown(of.limit)}${unit} (${share(of.share)})`;
}

function nameOf(of: Budget): string {
  const whose = of.auth_key === null ? "all clients" : `key ${of.auth_key}`;
  return `${whose}, ${of.period}, in ${of.unit === "usd" ? "US dollars" : "tokens"}`;
}

export function renewal(of: Budget): string {
  if (of.renews_at === null) return "does not renew";
  return `renews in ${span((Date.parse(of.renews_at) - Date.now()) / 1000)}, on ${due(of.renews_at)}`;
}
