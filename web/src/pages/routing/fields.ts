import type { Field } from "../../parts/fields";

export const NEW_NAME: Field = {
  name: "name",
  label: "Name",
  kind: "text",
  isNeeded: true,
  placeholder: "dev",
  help: "The first part of its paths.",
};

export function endpointFields(providers: readonly string[]): readonly Field[] {
  return [
    {
      name: "kind",
      label: "Kind",
      kind: "choice",
      choices: ["forward", "gateway", "cloudflare"],
      isNeeded: true,
      help: "To one address, by model to your providers, or by Cloudflare's gateways.",
    },
    {
      name: "target_base",
      label: "Goes to",
      kind: "text",
      placeholder: "https://api.openai.com/v1",
      help: "Of kind forward.",
    },
    {
      name: "provider",
      label: "Provider",
      kind: "text",
      suggestions: providers,
      help: "Whose keys are sent. The client's own, or by model, where this is empty.",
    },
    {
      name: "allowed_models",
      label: "Models",
      kind: "list",
      placeholder: "gpt-5*\nclaude-*",
      help: "One pattern a line; any, where this is empty.",
    },
    {
      name: "proxy_url",
      label: "Outbound proxy",
      kind: "text",
      placeholder: "socks5://127.0.0.1:1080",
      help: "The provider's or the server's, where this is empty.",
      isRare: true,
    },
    {
      name: "allowed_paths",
      label: "Further paths",
      kind: "list",
      placeholder: "/v1/skills*",
      help: "Of kind gateway.",
      isRare: true,
    },
    { name: "tls_ca", label: "File of its target's TLS authorities", kind: "text", placeholder: "the system's", isRare: true },
    { name: "tls_client_cert", label: "File of our TLS certificate", kind: "text", placeholder: "none", isRare: true },
    { name: "strict", label: "Refuse what would be lost in translation", kind: "switch", isRare: true },
    { name: "simulate_stream", label: "Simulate streams", kind: "switch", isRare: true },
  ];
}

const GATEWAY_FIELDS: readonly Field[] = [
  { name: "token", label: "Token", kind: "secret", placeholder: "stays as it is", help: "As it is, or env:NAME or file:PATH." },
  { name: "weight", label: "Weight", kind: "number", placeholder: "1", help: "How often it is taken, beside the others." },
  {
    name: "form",
    label: "Form",
    kind: "choice",
    choices: ["compat", "native", "rest"],
    isNeeded: true,
    help: "Which of Cloudflare's APIs it is asked by.",
  },
  { name: "unified_billing", label: "Cloudflare bills for the models", kind: "switch" },
];

/** Of a gateway that there is. */
export function gatewayFields(hasToken: boolean): readonly Field[] {
  return GATEWAY_FIELDS.map((field) => (field.name === "token" && hasToken ? { ...field, canBeTakenOut: true } : field));
}

export const NEW_GATEWAY_FIELDS: readonly Field[] = [
  { name: "account_id", label: "Account", kind: "text", isNeeded: true, help: "Its id at Cloudflare." },
  { name: "gateway_id", label: "Gateway", kind: "text", isNeeded: true },
  ...GATEWAY_FIELDS.map((field) => (field.name === "token" ? { ...field, placeholder: "env:CF_AIG_TOKEN" } : field)),
];
