import type { Field } from "../../parts/fields";
import { asAmounts, asModelLimits, readAmounts, readModelLimits } from "./amounts";

const AMOUNTS = { kind: "lines", lines: { write: asAmounts, read: readAmounts }, isOneLine: true, placeholder: "no limit" } as const;
const PERIODS = ["daily", "weekly", "monthly", "total"] as const;

export const KEY_FIELDS: readonly Field[] = [
  { name: "name", label: "Name", kind: "text", isNeeded: true, placeholder: "team-search" },
  { name: "expires_at", label: "Expires (UTC)", kind: "time", help: "Never, where this is empty." },
  {
    name: "allowed_models",
    label: "Models",
    kind: "list",
    placeholder: "gpt-5*\nclaude-*",
    help: "One pattern a line; any, where this is empty.",
  },
  { name: "allowed_endpoints", label: "Endpoints", kind: "list", help: "One pattern a line; any, where this is empty." },
  { name: "rpm", label: "Requests a minute", kind: "number", placeholder: "no limit" },
  { name: "tpm", label: "Tokens a minute", kind: "number", placeholder: "no limit" },
  { name: "concurrency", label: "Requests at once", kind: "number", placeholder: "no limit" },
  { ...AMOUNTS, name: "budget_usd", label: "Budget (USD)", help: "One for the period, or several: daily 2, monthly 20." },
  { name: "budget_period", label: "Budget period", kind: "choice", choices: PERIODS },
  { ...AMOUNTS, name: "budget_tokens", label: "Budget (tokens)", isRare: true },
  { name: "allowed_paths", label: "Further paths", kind: "list", placeholder: "/v1/skills*", isRare: true },
  { name: "disabled", label: "Disabled", kind: "switch", isRare: true },
];

export const LIMIT_FIELDS: readonly Field[] = [
  { name: "rpm", label: "Requests a minute, all clients", kind: "number", placeholder: "no limit" },
  { name: "tpm", label: "Tokens a minute, all clients", kind: "number", placeholder: "no limit" },
  { name: "concurrency", label: "Requests at once, all clients", kind: "number", placeholder: "no limit" },
  { name: "per_key_rpm", label: "Requests a minute, each key", kind: "number", placeholder: "no limit" },
  { name: "per_key_tpm", label: "Tokens a minute, each key", kind: "number", placeholder: "no limit" },
];

export const MODEL_LIMIT_FIELDS: readonly Field[] = [
  {
    name: "models",
    label: "Limits by model",
    kind: "lines",
    lines: { write: asModelLimits, read: readModelLimits },
    placeholder: "gpt-5* = rpm 60, tpm 100000, concurrency 8",
    help: "A pattern a line. Each counts all clients together, and all models that it matches.",
  },
];

export const BUDGET_FIELDS: readonly Field[] = [
  { ...AMOUNTS, name: "usd", label: "USD, all clients", help: "One for the period, or several: daily 5, monthly 100." },
  { ...AMOUNTS, name: "tokens", label: "Tokens, all clients" },
  { ...AMOUNTS, name: "per_key_usd", label: "USD, each key", help: "Of keys that say nothing themselves." },
  { ...AMOUNTS, name: "per_key_tokens", label: "Tokens, each key" },
  { name: "period", label: "Period", kind: "choice", choices: PERIODS, isNeeded: true, help: "Of amounts that name none." },
  { name: "timezone", label: "Time zone", kind: "text", placeholder: "UTC", help: "Whose midnight begins days, weeks and months." },
  {
    name: "unknown_price",
    label: "Models without a price",
    kind: "choice",
    choices: ["allow", "refuse"],
    isNeeded: true,
    help: "What becomes of them under a budget in dollars.",
  },
];
