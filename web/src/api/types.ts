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
  success_rate: number | null;
  rescued: number;
  requests_per_second: number;
  output_tokens_per_second: number;
  cache_hit_rate: number | null;
  cost_usd_nano: number;
  added_latency_percentiles_ms: Percentiles;
  top_failures: { provider: string | null; reason: string; count: number }[];
}

export interface Point {
  seconds_ago: number;
  requests: number;
  failed: number;
  output_tokens: number;
  cost_usd_nano: number;
}

export interface CredentialState {
  provider: string;
  name: string;
  state: string;
  reason?: string | null;
  /** Until it is tried again; null: no end is known. */
  left_s?: number | null;
  model?: string | null;
  in_flight?: number;
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
  lately?: Lately;
  history?: Point[];
  credentials?: CredentialState[];
  cost_today_usd_nano?: number | null;
  in_flight?: number;
}

/** One exchange, in short: a row of the log, or one under way. */
export interface Exchange {
  id: string;
  at: string;
  method: string;
  path: string;
  client: string;
  endpoint: string | null;
  auth_key: string | null;
  dialect: string | null;
  model: string | null;
  provider: string | null;
  credential: string | null;
  upstream_dialect: string | null;
  model_sent: string | null;
  model_answered: string | null;
  is_stream: boolean | null;
  status: number | null;
  /** null: it is under way. */
  outcome: Outcome | null;
  code: string | null;
  error: string | null;
  attempts: number;
  first_byte_ms: number | null;
  total_ms: number | null;
  own_ms: number | null;
  request_bytes: number | null;
  response_bytes: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd_nano: number | null;
  warnings: string[] | null;
}

export interface LogPage {
  items: Exchange[];
  next_cursor: string | null;
  /** false: the search took too long and goes on from the cursor. */
  is_full_search?: boolean;
}

export interface SystemLog {
  at: string;
  level: string;
  message: string;
  [name: string]: unknown;
}
