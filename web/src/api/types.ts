/** What the admin API tells. Money is whole nano-dollars, times are RFC 3339, durations milliseconds. */

export type Role = "viewer" | "operator" | "admin";

export interface Me {
  name: string;
  role: Role;
  expires_at?: string;
}

export type Outcome =
  | "ok"
  | "refused"
  | "unavailable"
  | "upstream_error"
  | "truncated"
  | "client_gone"
  | "killed"
  | "gateway_error";

export interface Percentiles {
  p50: number | null;
  p90: number | null;
  p99: number | null;
  count?: number;
}

/** The last minutes; null shares: nothing came. */
export interface Lately {
  window_s: number;
  requests: number;
  failed: number;
  /** For the client's key, its limits or what it asked; they are no failures. */
  refused: number;
  /** Of those that were not refused. */
  success_rate: number | null;
  rescued: number;
  requests_per_second: number;
  output_tokens_per_second: number;
  cache_hit_rate: number | null;
  cost_usd_nano: number;
  added_latency_percentiles_ms: Percentiles;
  top_failures: { provider: string | null; reason: string; count: number }[];
  top_refusals: { auth_key: string | null; reason: string; count: number }[];
}

export interface Point {
  seconds_ago: number;
  requests: number;
  failed: number;
  refused: number;
  output_tokens: number;
  cost_usd_nano: number;
}

export interface CredentialState {
  provider: string;
  name: string;
  /** `ok`, or how it is out of use. */
  state: string;
  reason: string | null;
  /** Until it is tried again; null: no end is known. */
  left_s: number | null;
  /** For how many models alone it rests. */
  resting_models: number;
}

export interface Metrics {
  total_requests: number;
  total_errors: number;
  total_input_tokens: number;
  total_output_tokens: number;
  total_tokens: number;
  total_cost_usd: number;
  requests_per_minute: number;
  error_rate: number;
  uptime_seconds: number;
  by_model: Record<string, number>;
  by_provider: Record<string, number>;
  by_outcome: Record<string, number>;
  cost_by_model: Record<string, number>;
  latency_percentiles_ms: Percentiles;
  time_to_first_token_percentiles_ms: Percentiles;
  event_loop_lag_worst_ms: number | null;
  memory_bytes: number | null;
  total_attempts: number;
  limited_requests: number;
  unpriced_attempts: number;
  in_flight: number;
  sessions: number;
  version: string;
  is_draining: boolean;
  lately: Lately;
  cost_today_usd_nano: number | null;
  credentials: CredentialState[];
  breakers: { provider: string; state: string }[];
  /** Only where it was asked for, and not in what is pushed. */
  history?: Point[];
}

/** One exchange in a list. What is not known is null. */
export interface Item {
  timestamp: string;
  request_id: string;
  state: "running" | "done";
  method: string;
  path: string;
  status: number | null;
  /** null: it is under way. */
  outcome: Outcome | null;
  latency_ms: number | null;
  first_byte_ms: number | null;
  own_ms: number | null;
  endpoint: string | null;
  auth_key: string | null;
  client: string;
  dialect: string | null;
  upstream_dialect: string | null;
  provider: string | null;
  credential: string | null;
  gateway: string | null;
  model: string | null;
  model_sent: string | null;
  model_answered: string | null;
  is_stream: boolean | null;
  attempts: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cache_read_tokens: number | null;
  cache_write_tokens: number | null;
  reasoning_tokens: number | null;
  cost_usd: string | null;
  cost_usd_nano: number | null;
  is_cost_whole: boolean | null;
  code: string | null;
  error: string | null;
  ending: string | null;
  request_bytes: number;
  response_bytes: number;
  warnings: string[];
  /** Id of the one that was played again; null: it is no replay. */
  replay_of: string | null;
}

/** A point of the time line. */
export interface Moment {
  at_ms: number;
  what: "accepted" | "body_read" | "admitted" | "attempt_begun" | "attempt_answered" | "attempt_ended" | "first_byte" | "ended";
  attempt: number | null;
  text: string;
}

export interface BillLine {
  kind: string;
  count: number;
  unit: "token" | "call";
  price_usd: string;
  price_per: number;
  cost_usd_nano: number;
  cost_usd: string;
}

export interface Bill {
  lines: BillLine[];
  total_usd_nano: number | null;
  price_version: string;
  price_model: string | null;
  lacks: string[];
  why_unknown: string | null;
  /** false: prices were changed since; the recorded amount stands. */
  is_as_recorded: boolean;
}

/** What went to a provider. */
export interface Sent {
  method: string;
  url: string;
  headers: Headers;
  /** null: it is no text. */
  body: string | null;
  truncated: boolean;
}

/** What a provider answered. */
export interface Answered {
  status: number | null;
  headers: Headers;
  /** null: it is no text. */
  body: string | null;
  truncated: boolean;
}

export type Headers = [string, string][];

export interface Attempt {
  number: number;
  timestamp: string;
  begun_ms: number;
  provider: string;
  credential: string | null;
  gateway: string | null;
  host: string | null;
  dialect: string | null;
  model: string | null;
  model_answered: string | null;
  upstream_id: string | null;
  status: number | null;
  ending: string | null;
  verdict: string | null;
  rests: string | null;
  reason: string;
  error: string | null;
  first_byte_ms: number | null;
  total_ms: number | null;
  request_bytes: number | null;
  response_bytes: number | null;
  tokens: Record<string, number | boolean | string | null>;
  cost_usd_nano: number | null;
  cost_usd: string | null;
  is_cost_whole: boolean | null;
  price_version: string | null;
  bill: Bill | null;
  warnings: string[];
  /** null: it is not kept. */
  sent: Sent | null;
  said: Answered | null;
  mitmweb_url: string | null;
}

export interface Bodies {
  request: string | null;
  is_request_cut: boolean | null;
  response: string | null;
  is_response_cut: boolean | null;
  /** Path and query; null, as the two below: the version that wrote it kept none. */
  target: string | null;
  request_headers: Headers | null;
  response_headers: Headers | null;
}

/** One exchange whole. */
export interface Exchange extends Item {
  ended_at: string | null;
  tokens: Record<string, number | boolean | string | null>;
  attempt_list: Attempt[];
  timeline: Moment[];
  bodies: Bodies | null;
  /** Where mitmweb shows the client's flow; null: `mitmweb_hint` tells why not. */
  mitmweb_url: string | null;
  mitmweb_hint: string | null;
}

export interface LogPage {
  items: Item[];
  /** Of the next page; null: there is none. */
  cursor: string | null;
  /** false: the search took too long and goes on from the cursor. */
  is_full_search: boolean;
  total: number | null;
}

/** Values that filters may offer, the most frequent of late first. */
export interface Names {
  model: string[];
  provider: string[];
  credential: string[];
  key: string[];
  endpoint: string[];
  code: string[];
  outcome: string[];
}

export interface SystemLog {
  at: string;
  level: string;
  message: string;
  [name: string]: unknown;
}
