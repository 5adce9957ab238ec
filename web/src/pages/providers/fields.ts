import type { Field } from "../../parts/fields";

/** Providers whose address and dialect are known by their name. */
export const KNOWN = [
  "openai",
  "anthropic",
  "gemini",
  "mistral",
  "groq",
  "deepseek",
  "xai",
  "openrouter",
  "together",
  "fireworks",
  "cerebras",
  "perplexity",
  "moonshot",
  "qwen",
  "zai",
  "minimax",
  "nvidia",
  "huggingface",
  "sambanova",
  "cohere",
  "ollama",
  "lmstudio",
  "vllm",
  "llamacpp",
] as const;

const FORMATS = ["openai-chat", "openai-responses", "anthropic-messages", "gemini"] as const;

const OPTIONS: readonly Field[] = [
  {
    name: "models",
    label: "Models",
    kind: "list",
    placeholder: "gpt-5*\nlong-model-name = short",
    help: "One a line: a pattern, or an id and its alias with “=” between. Any, where this is empty.",
  },
  { name: "excluded_models", label: "Models that it is not asked for", kind: "list", placeholder: "*-preview" },
  { name: "test_model", label: "Model for tests", kind: "text", help: "The cheapest that it has." },
  { name: "weight", label: "Weight", kind: "number", help: "How often it is asked, beside the others." },
  { name: "prefix", label: "Prefix of its models", kind: "text", placeholder: "east/", isRare: true },
  {
    name: "headers",
    label: "Further headers",
    kind: "pairs",
    placeholder: "x-team: search",
    help: "One “name: value” a line.",
    isRare: true,
  },
  { name: "proxy_url", label: "Outbound proxy", kind: "text", placeholder: "socks5://127.0.0.1:1080", isRare: true },
  {
    name: "extract_think",
    label: "Take <think> out of answers",
    kind: "either",
    placeholder: "as [streaming] says",
    help: "It becomes reasoning where the client's dialect has that.",
    isRare: true,
  },
  {
    name: "map_hosted",
    label: "Hosted tools that are translated",
    kind: "list",
    placeholder: "web_search\nweb_fetch\ncode",
    isRare: true,
  },
  { name: "completions", label: "Models for plain completions", kind: "list", isLeftOut: true, help: "One pattern a line; what is known of it, where this is empty.", isRare: true },
  { name: "refused_betas", label: "Beta flags that are not passed on", kind: "list", isLeftOut: true, help: "One pattern a line; what is known of it, where this is empty.", isRare: true },
  { name: "tls_ca", label: "File of its TLS authorities", kind: "text", placeholder: "the system's", isRare: true },
  { name: "tls_client_cert", label: "File of our TLS certificate", kind: "text", placeholder: "none", isRare: true },
  { name: "wire_api", label: "OpenAI API", kind: "choice", choices: ["chat", "responses"], isNeeded: true, isRare: true },
  { name: "api_version", label: "API version", kind: "text", isRare: true },
  { name: "strict", label: "Refuse what would be lost in translation", kind: "switch", isRare: true },
  { name: "auto_cache", label: "Mark prompts for its cache", kind: "switch", isRare: true },
  { name: "disabled", label: "Disabled", kind: "switch" },
];

const ADDRESS: readonly Field[] = [
  { name: "format", label: "Dialect", kind: "choice", choices: FORMATS, placeholder: "known by its name" },
  { name: "base_url", label: "Base URL", kind: "text", placeholder: "known by its name" },
];
/** Of a credential: hardly ever another one than its provider's. */
const OWN_ADDRESS: readonly Field[] = ADDRESS.map((field) => ({ ...field, placeholder: "its provider's", isRare: true }));

export const PROVIDER_FIELDS: readonly Field[] = [...ADDRESS, ...OPTIONS];

export const NEW_PROVIDER_FIELDS: readonly Field[] = [
  {
    name: "name",
    label: "Name",
    kind: "text",
    isNeeded: true,
    suggestions: KNOWN,
    help: "Names of well-known providers bring their address.",
  },
  { name: "api_key", label: "Key", kind: "secret", placeholder: "env:OPENAI_API_KEY", help: "As it is, or env:NAME or file:PATH." },
  ...PROVIDER_FIELDS.filter((field) => field.name !== "disabled" && field.name !== "wire_api"),
];

export const NEW_CREDENTIAL_FIELDS: readonly Field[] = [
  {
    name: "api_key",
    label: "Key",
    kind: "secret",
    isNeeded: true,
    placeholder: "env:OPENAI_API_KEY_2",
    help: "As it is, or env:NAME or file:PATH.",
  },
  { name: "name", label: "Name", kind: "text", help: "Made of the key's hash, where this is empty." },
  ...OPTIONS.filter((field) => field.name !== "disabled" && field.name !== "wire_api").map((field) =>
    field.name === "excluded_models" || field.name === "test_model" ? { ...field, isRare: true } : field,
  ),
  ...OWN_ADDRESS,
];

export const CREDENTIAL_FIELDS: readonly Field[] = [
  { name: "name", label: "Name", kind: "text" },
  { name: "api_key", label: "Key", kind: "secret", placeholder: "stays as it is" },
  ...OPTIONS,
  ...OWN_ADDRESS,
];
