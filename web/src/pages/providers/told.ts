/** Providers and credentials as the admin API tells of them. */

export interface Options {
  format: string | null;
  provider_type: string;
  wire_api: string;
  base_url: string | null;
  models: (string | { id: string; alias: string })[];
  excluded_models: string[];
  prefix: string | null;
  headers: Record<string, string>;
  proxy_url: string | null;
  test_model: string | null;
  weight: number;
  disabled: boolean;
  strict: boolean;
  api_version: string | null;
  map_hosted: string[];
  auto_cache: boolean;
  refused_betas: string[];
  completions: string[] | null;
  extract_think: boolean | null;
  tls_ca: string | null;
  tls_client_cert: string | null;
  /** Whether it has a table `cloak`, which is written in the file. */
  has_cloak: boolean;
}

export type State = "ok" | "cooling" | "exhausted" | "dead" | "stopped" | "disabled";

export interface Credential extends Options {
  id: string;
  name: string;
  key_set: boolean;
  /** `env:NAME` and the like; null: it is written out. */
  key_reference: string | null;
  state: State;
  why: string | null;
  left_s: number | null;
  resting_models: number;
}

export interface Provider extends Options {
  id: string;
  name: string;
  models_count: number;
  credentials: Credential[];
}

export interface Tried {
  is_fine: boolean;
  status: number | null;
  latency_ms: number;
  model: string;
  outcome: "answered" | "refused" | "no_answer";
  error: string | null;
}

export function modelsOf(options: Options): string {
  return options.models.map((one) => (typeof one === "string" ? one : `${one.alias} (${one.id})`)).join(", ") || "any";
}
