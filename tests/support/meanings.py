"""What each key of the configuration means, in a sentence for docs/configuration.md. Data alone.

By table of the schema; a key that several tables have from one base stands with that base. Shapes, bounds and
defaults are the schema's, and are not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llmitm.config.auth_keys import AuthKey
from llmitm.config.budget import Budget
from llmitm.config.cloak import Cloak, SensitiveWord
from llmitm.config.dashboard import Dashboard, User
from llmitm.config.endpoints import Cloudflare, Endpoint, Gateway
from llmitm.config.hooks import Hooks
from llmitm.config.identified import Identified
from llmitm.config.keeping import Ledger, Log, State
from llmitm.config.limits import Limits, RateLimit
from llmitm.config.payload import Payload, PayloadFilter, PayloadMatch, PayloadRule, _Selecting
from llmitm.config.prices import LongPrices, ModelPrice, TierPrices, UnitPrices
from llmitm.config.providers import Credential, Model, Provider, ProviderOptions
from llmitm.config.routing import Breaker, PoolMember, Retry, Routing
from llmitm.config.schema import Config
from llmitm.config.server import Server
from llmitm.config.table import Table
from llmitm.config.telemetry import Telemetry
from llmitm.config.times import Streaming, Timeouts

_PER_MILLION: Final = "USD per million"
_PER_THOUSAND: Final = "USD per thousand"

MEANINGS: Final[Mapping[type[Table], Mapping[str, str]]] = {
    Config: {
        "auth_keys": "Keys of your own clients, as `[[auth_keys]]`. Without any, none is asked for, "
        "which is possible on this machine alone; `auth_keys = []` admits nobody.",
        "passthrough_headers": "Names or globs of headers that pass across dialects, clients' and "
        "answers'. Keys never do, and a vendor's own only by name (`\"anthropic-beta\"`). Within one "
        "dialect all pass.",
    },
    Server: {
        "host": "Address to listen on. Others than this machine's need `[[auth_keys]]`, or "
        "`allow_anonymous`, where keys of yours are spent.",
        "port": "Port to listen on; 0 takes a free one. `PORT` in the environment wins.",
        "target_base": "URL that forward endpoints lead to which name none.",
        "default_endpoint": "Name of the endpoint that paths beginning with `/v1` and `/v1beta` lead "
        "to; else the one called `default`.",
        "proxy_url": "Outbound proxy: `http`, `https`, `socks5` or `socks5h`, with user and password "
        'where it wants them; `""` is none.',
        "proxy_env": "Whether the proxies of the environment are used for all that has no `proxy_url`: "
        "`HTTPS_PROXY`, `HTTP_PROXY`, else `ALL_PROXY`, but for what `NO_PROXY` names.",
        "tls_cert": "PEM, the leaf first, then its chain. A renewed file is used without a restart.",
        "tls_key": "PEM, without a passphrase.",
        "http2": "Whether HTTP/2 is offered to clients; needs TLS.",
        "body_limit_mb": "The most that a request may have which must be held whole, or a message of "
        "a WebSocket. Streamed bodies have no limit.",
        "allow_anonymous": "Whether anyone who reaches an address that is not this machine's alone "
        "may spend your credentials.",
        "shutdown_timeout_s": "How long what is under way may go on after SIGTERM; 0 cuts it at once.",
        "trusted_proxies": "Addresses and networks of proxies whose `X-Forwarded-For` is believed: "
        "for logs, the ledger and the dashboard.",
        "cors_origins": "Origins whose pages may call from browsers (CORS): `https://app.example`, "
        "`https://*.example`, `http://localhost:*`, or `*` for all. Their browsers are told so, and which "
        "headers they may read; never that cookies count. Without an entry pages are told nothing. Where "
        "no key of yours is asked for, only these pages may spend, or open WebSockets.",
        "hosts": "Names that it may be asked by where no key of yours is asked for and clients have no TLS; "
        "under any other that the public DNS could hold, a web page might do so (421). Not needed: "
        "addresses, names without a dot, those that end in `.localhost`, `.local`, `.internal`, "
        "`.home.arpa`, `.lan` or `.test`, and those of `cors_origins`. With `allow_anonymous` only "
        "browsers are asked.",
    },
    Endpoint: {
        "kind": "`forward` passes everything on to one address, `cloudflare` leads to the "
        "`[[gateways]]`, `gateway` routes by model over the providers and translates.",
        "target_base": "Of kind forward: the URL that what follows the endpoint's name is appended "
        "to. A `/v1` that ends the one and begins the other is not doubled.",
        "proxy_url": "This endpoint's outbound proxy, over the server's; a provider's own goes before "
        'it. `""` is none.',
        "provider": "Of kind forward: the provider whose keys are sent in place of the client's. Of "
        "kind gateway: the only one that is asked.",
        "simulate_stream": "Of kind cloudflare: whether whole answers are asked for, and streamed to "
        "the client.",
        "strict": "Whether what a translation, a rule or a mask would adjust or lose is refused with "
        "400; `x-llmitm-strict: 1` of a client does the same.",
        "allowed_models": "Globs of models that may be asked for; none: any. Where there are some, "
        "calls that name no model need `allowed_paths`, too.",
        "allowed_paths": "Globs of paths, such as `/v1/skills*`: on endpoints of kind gateway they may be "
        "asked for beside those that are known; on others they pass although they name no allowed model.",
    },
    Identified: {
        "tls_ca": "PEM: authorities that upstreams are believed by, in place of the system's. A "
        "renewed file is used without a restart.",
        "tls_client_cert": "PEM: certificate, chain and key without a passphrase, for upstreams that "
        "ask for one.",
    },
    Gateway: {
        "account_id": "Cloudflare's account.",
        "gateway_id": "The gateway's name there.",
        "token": "Of an authenticated gateway, sent as `cf-aig-authorization`.",
        "weight": "How often it has its turn, beside the others.",
        "form": "`compat` (Cloudflare's unified path), `native` (each provider's own path), `rest` "
        "(the API host, where Cloudflare has the providers' keys).",
        "unified_billing": "Whether Cloudflare bills what there is no provider's key for.",
    },
    Cloudflare: {
        "base_url": "Of the forms compat and native.",
        "rest_base_url": "Of the form rest.",
    },
    ProviderOptions: {
        "format": "The dialect it speaks: `openai-chat`, `openai-responses`, `anthropic-messages`, "
        "`gemini`. Well-known names bring theirs; any other name, or a `base_url` of your own, speaks "
        "`openai-chat`.",
        "wire_api": "`responses`: openai-responses where openai-chat would be spoken.",
        "base_url": "Its address. Well-known names bring theirs.",
        "models": "Globs, or `{id, alias}`, of models that it serves; none: any that is not another "
        "vendor's.",
        "excluded_models": "Globs of models that it does not serve.",
        "prefix": "What may stand before a model to mean this provider; its name and a slash always may.",
        "headers": "Sent with each of its requests.",
        "refused_betas": "Globs of flags in `anthropic-beta` and `openai-beta` that it is not sent; "
        "without them, what is known of it.",
        "proxy_url": "Its outbound proxy, over the endpoint's and the server's.",
        "test_model": "What `llmitm test` asks for.",
        "weight": "How often each of its credentials has its turn, beside others.",
        "disabled": "Whether it is left out.",
        "strict": "As of an endpoint, for what goes to this provider.",
        "map_hosted": "Tools another vendor runs that become this one's own, in place of being left out.",
        "extract_think": "As of `[streaming]`, for this provider; else as that says.",
        "auto_cache": "Whether Anthropic's API caches prompts of clients that cannot ask for it.",
        "completions": "Globs of models that complete plain prompts here; `[]` none: all are asked as "
        "chats. Without it, what is known of it.",
        "api_version": "`api-version` of dated Azure addresses, the version of Gemini's paths, or "
        "`anthropic-version`.",
        "cloak": "See the table.",
    },
    Provider: {
        "api_keys": "Its keys; each has its turn.",
        "credentials": "Keys with options of their own.",
    },
    Credential: {
        "api_key": "The key.",
        "name": "What it is called in logs and metrics; else the provider's name and 8 hex digits of "
        "the key's SHA-256.",
    },
    Model: {
        "id": "The model as the provider spells it, or a glob.",
        "alias": "What clients call it.",
    },
    Cloak: {
        "mode": "`auto`: only where the provider is beyond this machine and its private network.",
        "strict_mode": "Whether `system_prompt` stands in place of the client's system text, not before it.",
        "system_prompt": "System text that the provider is always given.",
        "sensitive_words": "Words, or `{regex = ...}`, that marks stand for on the way out; in the "
        "answer they are words again.",
        "cache_user_id": "Whether one pseudonym for each client's key stands in place of clients' user ids.",
        "headers": "Sent in place of the client's.",
        "secret": "What marks and pseudonyms are made with, at least 16 characters; else one is made, "
        "and kept in `cloak.key` beside the configuration. Several machines must share it.",
    },
    SensitiveWord: {
        "text": "A word or several, in any case.",
        "regex": "An expression in RE2's syntax, in any case.",
    },
    AuthKey: {
        "name": "What it is called in logs, limits and the ledger.",
        "key": "The key; one of this and `key_hash`.",
        "key_hash": "`sha256:` and 64 hex digits, as `llmitm keys new` writes it.",
        "expires_at": "From this moment on it is refused: a time with its offset, or a date, which is "
        "its first moment in UTC.",
        "allowed_models": "Globs of models that may be asked for, as clients name them; none: any.",
        "allowed_endpoints": "Globs of endpoints; none: any.",
        "allowed_paths": "As of an endpoint; either may allow a path.",
        "rpm": "Requests within any minute; else `[rate_limit] per_key_rpm`.",
        "tpm": "Tokens within any minute; else `[rate_limit] per_key_tpm`.",
        "concurrency": "Requests at once.",
        "budget_usd": "What it may spend in a period: a number for `budget_period`, or a table by "
        "period, such as `{daily = 2.0, monthly = 20.0}`; else `[budget] per_key_usd`.",
        "budget_tokens": "The same in tokens; else `[budget] per_key_tokens`.",
        "budget_period": "Of a budget that is a number. Weeks begin on Monday; `total` is never renewed.",
        "disabled": "Whether it is refused.",
    },
    Routing: {
        "strategy": "Which of the credentials that serve a model is asked first. `sticky` keeps a "
        "conversation with one, for its prompt cache.",
        "force_model_prefix": "Whether a provider with a `prefix` serves only names that carry it.",
        "aliases": "A name to a model, or to a pool: who fails is replaced by the others of it.",
        "fallbacks": "A model to those that are asked where nobody answers for it. Clients may send "
        "their own as `models`.",
        "context_fallbacks": "A model to those that are asked where a prompt is too long for it.",
        "hedge_after_ms": "After so long without a word a second attempt is made beside the first; "
        "the loser is cancelled. It costs tokens.",
    },
    PoolMember: {
        "model": "A model, also as `PROVIDER/MODEL`.",
        "weight": "How often it has its turn, beside the others.",
    },
    Retry: {
        "max_attempts": "Attempts for a request, over all credentials and models; else each candidate once.",
        "budget_ratio": "Further attempts for each request, over the last 10 s; 50 are always allowed.",
        "base_ms": "Before the same provider is asked again: a random wait of at most this, doubled "
        "each time.",
        "cap_s": "The longest such wait.",
        "cooldowns": "Whether what failed rests. Without it no breaker opens, either.",
        "rest_s": "How long what failed rests where the provider does not say, by `auth` (until it is "
        "revived), `permission` (600, that model), `billing` (3600), `rate_limit`, `overloaded`, "
        "`server`, `network`, `timeout` (each 2, doubled while it goes on).",
        "breaker": "See the table.",
    },
    Breaker: {
        "failures": "So many failures that left a provider without a credential,",
        "window_s": "within so long,",
        "open_s": "and it is left alone for so long.",
    },
    Timeouts: {
        "connect_s": "For a connection to an upstream, TLS and all.",
        "first_byte_s": "For the first byte of an answer.",
        "idle_s": "Between two pieces of an answer (504), and of a request's body that is waited for (408).",
        "exchange_s": "For a whole request, with all its attempts; and for its body, where that must be "
        "there before any.",
        "session_s": "For an open WebSocket, which none of the others ends; 0: as long as both sides like.",
        "header_s": "For the head of a client's request to have come: from when the connection was opened, "
        "and, for each further request on it, from its first byte. Else the connection ends, with 408 "
        "where a head had begun.",
    },
    Streaming: {
        "heartbeat_s": "How often something is sent while a translated or simulated stream is silent; "
        "0: never.",
        "heartbeat_after_s": "How long it is silent before the first, which spends the status line.",
        "non_stream_keepalive_s": "How often a blank is sent before a JSON answer that takes longer; "
        "0: never. The first spends the status line.",
        "bootstrap": "Whether a stream is held back until it says something, so that what fails "
        "before is tried again.",
        "ask_usage": "Whether chat streams of gateway endpoints are asked for their tokens; clients "
        "see them who asked, too.",
        "extract_think": "Whether `<think>...</think>`, with which some hosts of chat completions begin a "
        "text, is told as reasoning in the client's dialect; else it stays text. A provider may have its "
        "own `extract_think`.",
        "pace_ms": "Between two pieces of a simulated stream.",
    },
    Limits: {
        "rpm": "Requests within any minute.",
        "tpm": "Tokens within any minute: estimated first, corrected by what was used.",
        "concurrency": "Requests at once.",
    },
    RateLimit: {
        "per_key_rpm": "Requests within any minute, of each key that has no `rpm` of its own.",
        "per_key_tpm": "Tokens within any minute, of each key that has no `tpm` of its own.",
        "models": "Globs of models to what all that match may be asked together.",
    },
    Budget: {
        "usd": "What all clients together may spend: a number for `period`, or a table by period.",
        "tokens": "The same in tokens.",
        "period": "Of budgets that are numbers.",
        "per_key_usd": "Of each key that has no `budget_usd` of its own.",
        "per_key_tokens": "Of each key that has no `budget_tokens` of its own.",
        "timezone": "Whose midnight begins days, weeks and months.",
        "unknown_price": "What becomes of requests under a budget in dollars where nobody knows the "
        "price: they pass uncounted, and the log names the model, or are refused.",
    },
    Payload: {
        "default": "Fields that are set where they are not there; null counts as there.",
        "override": "Fields that are always set, after the defaults.",
        "filter": "Fields that are taken out, last of all.",
    },
    _Selecting: {
        "models": "One of these must match; a string is a `name`. Without it, all requests do.",
        "when": "`before` translation, in the client's dialect, or `after` it, in the provider's.",
    },
    PayloadRule: {
        "params": 'Path to value, such as `{"metadata.team" = "research", \'tools.*.function.strict\' = '
        "true}`.",
        "params_json": "Path to value as JSON text, for what TOML cannot say.",
    },
    PayloadFilter: {"params": "Paths."},
    PayloadMatch: {
        "name": "Of the model, as the provider spells it.",
        "asked": "Of the model, as the client named it.",
        "protocol": "Dialect of the body.",
        "provider": "Of the provider.",
        "endpoint": "Of the endpoint.",
        "path": "Of the call, without its version, such as `/embeddings`; without it, calls for "
        "answers alone.",
        "headers": "Of the client's headers, by name.",
    },
    Hooks: {
        "modules": "Python files with [functions of your own](hooks.md). Read again when one is saved.",
    },
    UnitPrices: {
        "input": f"{_PER_MILLION} tokens of a prompt.",
        "cache_read": f"{_PER_MILLION} tokens read from a cache; else as input.",
        "cache_write": f"{_PER_MILLION} tokens written to a cache; else as input.",
        "cache_write_1h": f"{_PER_MILLION} tokens written to one that lasts an hour; else as cache_write.",
        "audio_input": f"{_PER_MILLION} tokens of sound in a prompt; else as input.",
        "cache_read_audio": f"{_PER_MILLION} tokens of sound read from a cache; else as cache_read.",
        "image_input": f"{_PER_MILLION} tokens of images in a prompt; else as input.",
        "cache_read_image": f"{_PER_MILLION} tokens of images read from a cache; else as cache_read.",
        "output": f"{_PER_MILLION} tokens of an answer.",
        "reasoning": f"{_PER_MILLION} tokens of reasoning; else as output.",
        "audio_output": f"{_PER_MILLION} tokens of sound in an answer; else as output.",
        "image_output": f"{_PER_MILLION} tokens of images in an answer; else as output.",
        "web_search": f"{_PER_THOUSAND} searches of the web.",
        "x_search": f"{_PER_THOUSAND} searches of X.",
        "file_search": f"{_PER_THOUSAND} searches of files.",
        "code_execution": f"{_PER_THOUSAND} runs of code.",
        "request": f"{_PER_THOUSAND} requests.",
    },
    ModelPrice: {
        "like": "A vendor, or `VENDOR/MODEL`, whose prices are taken over; else the provider's own.",
        "multiplier": "Of prices of tokens that are taken over: a region's, a contract's.",
        "long": "Prices for long prompts.",
        "tiers": "Prices of `batch`, `flex`, `priority` and `fast`.",
    },
    LongPrices: {"over": "Prompts of more tokens than this pay these prices, for every token."},
    TierPrices: {"multiplier": "Of all prices of tokens, where none is given."},
    Ledger: {
        "enabled": "Whether exchanges and attempts are written down.",
        "url": "`sqlite:///FILE`, beside the configuration unless absolute, or "
        "`postgresql://USER:PASSWORD@HOST/DATABASE`; else `sqlite:///llmitm.db`.",
        "bodies": "Whether what was asked and answered is kept, too.",
        "retention_days": "How long rows are kept; else for good.",
        "max_mb": "The oldest rows go where there is more; else no limit.",
        "flush_ms": "How often what happened is written.",
    },
    State: {
        "url": "Where limits, rotation and rests are counted: in this process, or, so that several "
        "share them, in Redis: `redis://:PASSWORD@HOST:6379/0`, with TLS `rediss://` "
        "(`?ssl_ca_certs=ca.pem`).",
        "while_away": "What a gateway gives out by itself while that Redis does not answer: of each limit "
        "its `share`, divided by the gateways that were there; all of it (`count`); or nothing: `refuse` "
        "answers what comes under a limit with 503.",
        "gateways": "How many share it at the least, for one that starts while it is away.",
    },
    Dashboard: {
        "enabled": "Whether there are pages and an API to watch and to change the gateway.",
        "host": "Address of its own to listen on.",
        "port": "Port of its own; 0 takes a free one.",
        "hosts": "Names that it may be reached by, beside addresses and localhost.",
        "username": "Who may do everything.",
        "password_hash": "Of `username`, argon2id or bcrypt; `llmitm dashboard password` makes one. "
        "Without one the start shows a link that sets it, once.",
        "users": "Others who may log in.",
        "jwt_secret": "Signs logins, at least 16 characters; else one is made, and kept in "
        "`llmitm-dashboard.key` beside the configuration.",
        "jwt_ttl_secs": "How long a login lasts; it is renewed without a password for 12 hours.",
        "request_log_capacity": "How many of the newest exchanges are held in memory where there is "
        "no ledger.",
    },
    User: {
        "name": "What they log in as.",
        "password_hash": "Argon2id or bcrypt; `llmitm dashboard password` makes one.",
        "role": "`viewer` looks on; `operator` also rests, revives and tries; `admin` also changes "
        "the configuration.",
    },
    Log: {
        "level": "The least that is told. `LLMITM_LOG` in the environment wins.",
        "format": "`auto`: human on a terminal, else JSON.",
        "file": "Where to, beside the configuration unless absolute; else to standard error.",
        "rotate": "When a new file is begun: `hourly`, `daily`, `weekly`, a size such as `100 MB`, or "
        "both (`daily, 100 MB`). A file that logrotate moves or empties is followed without it.",
        "keep": "How many older files stay: `llmitm.log.1` is the newest of them.",
    },
    Telemetry: {
        "enabled": "Whether traces and metrics are sent to an OpenTelemetry collector. What is left "
        "out here is taken from OpenTelemetry's own variables, `OTEL_*`.",
        "endpoint": "Of the collector; `/v1/traces` and `/v1/metrics` are added.",
        "traces_endpoint": "The whole URL, in place of what follows from `endpoint`.",
        "metrics_endpoint": "The same for metrics.",
        "protocol": "The only one.",
        "compression": "Of what is sent.",
        "headers": "Sent with every export.",
        "tls_ca": "PEM: authorities that the collector is believed by, in place of the system's.",
        "timeout_s": "For an export.",
        "service_name": "What this gateway is called there.",
        "resource": "Further attributes of this gateway, such as `deployment.environment.name`.",
        "sample_ratio": "Which share is kept of the traces that begin here.",
        "follow_parent": "Whether a client's trace is kept where the client keeps it; else "
        "`sample_ratio` is for it, too.",
        "propagate": "Whether upstreams are told of the trace: true also where requests pass "
        "untouched, false nowhere; without it, where keys of yours are sent.",
        "traces": "Whether traces are sent.",
        "metrics": "Whether metrics are sent.",
        "genai_metrics": "Names of metrics: `v1.41` of the conventions, `new` (what they are called "
        "since), or both.",
        "content": "Whether spans also hold what was said, redacted and cut.",
        "flush_ms": "How often spans are sent.",
        "metrics_every_s": "How often metrics are sent.",
    },
}

CAPABILITIES: Final[Mapping[str, str]] = {
    "sampling": "Which sampling it takes: `noneff` only while the effort is none, `default1` only "
    "while it does not think.",
    "max_tokens_field": "What chat completions call the limit of an answer.",
    "max_output_tokens": "The most tokens it makes.",
    "default_max_tokens": "Sent to Anthropic's API where the client set no limit.",
    "reasoning": "How an amount of reasoning is said to it.",
    "efforts": "Words of effort that it takes, from little to much; empty: any.",
    "off": "How reasoning is switched off.",
    "off_max_effort": "The most effort that goes with `off`.",
    "default_effort": "What it does where the client is silent.",
    "budget_min": "The fewest tokens of reasoning it takes.",
    "budget_max": "The most.",
    "forces_tools": "Whether a tool may be forced.",
    "seals": "Whether sealed reasoning is to be sent back.",
    "prefill": "Whether the last turn may be the assistant's; `continues_not`: it is taken, and the "
    "model starts anew.",
    "has_schema_output": "Whether answers can follow a JSON schema.",
    "has_schema_with_tools": "Whether they can beside tools.",
    "has_temperature_and_top_p": "Whether both may be set at once.",
    "temperature_max": "The highest temperature.",
    "takes_top_k": "`top_k`, over chat completions.",
    "takes_stop": "Stop sequences.",
    "takes_penalties": "Presence and frequency penalties.",
    "takes_parallel": "`parallel_tool_calls`.",
    "takes_n": "Several answers at once.",
    "takes_developer": "The role `developer` for system text.",
    "takes_system_turns": "System turns among the messages.",
    "takes_cache_marks": "Explicit cache breakpoints.",
    "takes_audio": "Sound in prompts.",
    "takes_media_in_results": "Images and files in results of tools.",
    "needs_signatures": "Whether calls of the running turn must carry their signatures.",
    "sends_back_reasoning": "Whether `reasoning_content` is to be sent back within a loop of tools.",
    "tools_need_responses": "Whether tools with effort need the responses API.",
    "is_responses_only": "Whether it is there in the responses API alone.",
}
"""By cell of a model's row, as `[model_capabilities]` may say it."""
