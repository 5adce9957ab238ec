import type { Field } from "../../parts/fields";

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
  { name: "budget_usd", label: "Budget (USD)", kind: "number", placeholder: "no limit" },
  { name: "budget_period", label: "Budget period", kind: "choice", choices: ["daily", "weekly", "monthly", "total"] },
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
