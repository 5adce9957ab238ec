"""CLIProxyAPI: keys of providers by vendor, in YAML. Its logins by subscription stay where they are."""

from __future__ import annotations

from collections import Counter
from typing import Final

from llmitm.exchange import Dialect
from llmitm.imports import addresses, entries, rules
from llmitm.imports.entries import Section
from llmitm.imports.plan import Account, Plan
from llmitm.imports.serving import clients, served
from llmitm.imports.table import Table

_SECTIONS: Final = (
    Section("gemini-api-key", "gemini", Dialect.GEMINI),
    Section("claude-api-key", "anthropic", Dialect.ANTHROPIC_MESSAGES),
    Section("codex-api-key", None, Dialect.OPENAI_RESPONSES),
    Section("xai-api-key", "xai", Dialect.OPENAI_RESPONSES),
)
_STRATEGIES: Final = {
    "round-robin": None,
    "weighted-round-robin": None,
    "fill-first": "fill-first",
}
_LOGINS: Final = (
    "logins by subscription are not taken over: clients send such tokens themselves, beside x-llmitm-key"
)
_LOST: Final = {
    "auth-dir": _LOGINS,
    "auth-auto-refresh-workers": _LOGINS,
    "oauth-model-alias": _LOGINS,
    "oauth-excluded-models": _LOGINS,
    "oauth-request-scoped-errors": _LOGINS,
    "codex-header-defaults": _LOGINS,
    "quota-exceeded": "who is out of quota rests, and the next is asked; other models are named in [routing] "
    "fallbacks",
    "remote-management": "the management API is [dashboard] here, with users and passwords of its own",
    "debug": "[log] level says how much is logged",
    "pprof": "there is no such server; /metrics tells the process's own figures",
    "plugins": "[hooks] runs functions in Python",
    "commercial-mode": "what is not configured costs nothing here",
    "logging-to-file": "[log] file names a file",
    "logs-max-total-size-mb": "[log] file is rotated by the system's own means",
    "error-logs-max-files": "[ledger] keeps failed exchanges, and retention_days says how long",
    "request-log": "[ledger] bodies keeps what was asked and said",
    "usage-statistics-enabled": "[ledger] keeps what was used, always",
    "redis-usage-queue-retention-seconds": "[ledger] keeps what was used, always",
    "save-cooldown-status": "rests are kept in [state], which Redis can hold",
    "disable-claude-cloak-mode": "nobody is imitated here",
    "claude-header-defaults": "were sent to look like another client. Headers of your own are in the table "
    "`headers` of a provider",
    "claude-code": "models are listed by the names that clients ask for",
    "codex": "requests of Codex pass as they are",
    "antigravity": _LOGINS,
    "antigravity-signature-cache-enabled": _LOGINS,
    "antigravity-signature-bypass-strict": _LOGINS,
    "xai": "[[payload.override]] can add tools",
    "disable-image-generation": "[[payload.filter]] can take tools out; a key's allowed_paths open "
    "images to it",
    "gpt-image-2-base-model": "images are passed on to providers that speak their API",
    "video-result-auth-cache-ttl": "what an account keeps is found again by the gateway itself",
    "interactions-api-key": "the interactions API is passed on by an endpoint of kind forward",
    "credential-concurrency": "[rate_limit] concurrency and a client key's own limit how many run at once",
    "credential-in-flight": "the dashboard shows what runs",
    "max-retry-interval": "nobody waits for those who rest: the client is told when one is back",
    "gemini-web": _LOGINS,
    "amp": "endpoints of kind forward pass other services on",
    "ampcode": "endpoints of kind forward pass other services on",
    "ws-auth": "WebSockets need a key wherever requests do",
    "tui": "`llmitm top` watches a running gateway",
}
_OF_ENTRIES: Final = {
    "disable-cooling": "rests are switched off for all alike: [retry] cooldowns",
    "request-retry": "each candidate is asked once; [retry] max_attempts says how many",
    "request-scoped-errors": "what an error means is known here, by provider and status",
    "fingerprint-profile": "nobody is imitated here",
    "experimental-cch-signing": "nobody is imitated here",
    "rebuild-mid-system-message": "system messages are translated where a dialect needs it",
    "websockets": "WebSockets of clients lead to WebSockets of providers",
    "alpha-search": "other paths are opened by allowed_paths",
    "support-prompt-cache-key": "clients' own cache keys are passed on",
    "priority": '[routing] strategy = "fill-first" asks in the order of this file',
}


def read(table: Table) -> Plan:
    plan = Plan()
    for section in _SECTIONS:
        _section(section, table, plan)
    for path, key in table.secrets("generative-language-api-key"):
        plan.add("gemini", Account(source=path, api_key=key))
    is_forced = bool(table.flag("force-model-prefix"))
    for one in table.tables("openai-compatibility"):
        _compatible(one, plan, is_forced=is_forced)
    _vertex(table, plan)
    clients(plan, table.secrets("api-keys"))
    served(plan, table, host="", port=8317)
    _routing(table, plan)
    _retry(table, plan)
    _streaming(table, plan)
    if table.flag("passthrough-headers"):
        table.changed("passthrough-headers", "headers of answers pass, and those of clients to providers too")
        plan.passthrough_headers = ["*"]
    plan.payload = rules.read(table.table("payload"))
    table.lose(_LOST)
    table.done()
    return plan


def _section(section: Section, table: Table, plan: Plan) -> None:
    for one in table.tables(section.key):
        made = entries.account(one, "name")
        one.lose(_OF_ENTRIES)
        one.done()
        if not entries.usable(one, made):
            continue
        if section.provider is None and made.base_url is None:
            made.base_url = "https://api.openai.com/v1"
        entries.place(plan, made, section)


def _compatible(table: Table, plan: Plan, *, is_forced: bool) -> None:
    """A provider with several keys: `api-key-entries`, or `api-keys` of older files."""
    name, base = table.text("name"), table.text("base-url")
    shared = Account(
        source=table.path,
        models=entries.models(table, "name"),
        excluded_models=table.texts("excluded-models"),
        prefix=entries.prefix(table),
        headers=entries.headers(table),
        disabled=table.flag("disabled") or None,
    )
    keys = [_key(one) for one in table.tables("api-key-entries")]
    keys += [Account(source=path, api_key=key) for path, key in table.secrets("api-keys")]
    table.lose(_OF_ENTRIES)
    table.done()
    if base is None:
        table.found.lost(table.path, "has no base-url and was left out")
        return
    known = addresses.named(base, Dialect.OPENAI_CHAT)
    provider = known if known is not None and name in (None, known) else name or addresses.name_of(base)
    if not addresses.has_path(base) and known is None:
        table.found.changed(
            table.at("base-url"), "behind a bare host /v1 is added here; a path of its own is kept as it is"
        )
    _pool(shared, provider, plan, is_forced=is_forced)
    section = Section("openai-compatibility", provider, Dialect.OPENAI_CHAT)
    for one in keys or [Account(source=table.path)]:
        for option in ("models", "excluded_models", "prefix", "headers", "disabled"):
            setattr(one, option, getattr(shared, option))
        one.base_url = base
        entries.place(plan, one, section)


def _key(table: Table) -> Account:
    made = Account(
        source=table.path,
        api_key=table.secret("api-key"),
        proxy_url=entries.proxy(table),
        weight=entries.weight(table),
    )
    table.done()
    return made


def _pool(shared: Account, provider: str, plan: Plan, *, is_forced: bool) -> None:
    """Several models of one alias are a pool. `is_forced`: it is asked for behind the prefix alone."""
    counted = Counter(one.alias for one in shared.models if one.alias is not None)
    for alias in (alias for alias, count in counted.items() if count > 1):
        members = [one for one in shared.models if one.alias == alias]
        pool = [(f"{provider}/{one.id}", 1) for one in members]
        if shared.prefix:
            plan.aliases[shared.prefix + alias] = pool
        if not shared.prefix or not is_forced:
            plan.aliases[alias] = [*plan.aliases.get(alias, ()), *pool]
        for one in members:
            one.alias = None


def _vertex(table: Table, plan: Plan) -> None:
    for one in table.tables("vertex-api-key"):
        made = entries.account(one, "name")
        one.lose(_OF_ENTRIES)
        one.done()
        if made.base_url is None:
            one.found.lost(one.path, "Google's Vertex needs signed requests, which are not built yet")
        elif entries.usable(one, made):
            one.found.changed(one.path, "is asked by the paths of Gemini's API, not by those of Vertex")
            name = addresses.name_of(made.base_url)
            entries.place(plan, made, Section("vertex-api-key", name, Dialect.GEMINI))


def _routing(table: Table, plan: Plan) -> None:
    routing = table.table("routing")
    strategy = routing.text("strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        routing.found.changed(routing.at("strategy"), "is not known here; round-robin is used")
    plan.put("routing.strategy", _STRATEGIES.get(strategy or ""))
    if routing.flag("session-affinity"):
        routing.changed(
            "strategy", 'conversations stay where they are: "sticky" is used; new ones take turns'
        )
        plan.put("routing.strategy", "sticky")
    routing.lost(
        "session-affinity-ttl", "conversations stay where they are for as long as they can be told apart"
    )
    routing.lost("session-affinity-subagents", "conversations are told apart by how they begin")
    routing.done()
    if table.flag("force-model-prefix"):
        plan.put("routing.force_model_prefix", True)


def _retry(table: Table, plan: Plan) -> None:
    if table.flag("disable-cooling"):
        plan.put("retry.cooldowns", False)
    plan.put("retry.max_attempts", table.count("max-retry-credentials") or None)
    if table.count("request-retry") is not None:
        table.changed("request-retry", "there are no rounds: each candidate is asked once, at once")
    seconds = table.number("transient-error-cooldown-seconds")
    if seconds:
        rest_s = max(seconds, 0)
        plan.put("retry.rest_s", dict.fromkeys(("server", "overloaded", "network", "timeout"), rest_s))


def _streaming(table: Table, plan: Plan) -> None:
    streaming = table.table("streaming")
    seconds = streaming.number("keepalive-seconds")
    plan.put("streaming.heartbeat_s", None if seconds is None else max(seconds, 0))
    if streaming.count("bootstrap-retries") == 0:
        plan.put("streaming.bootstrap", False)
    streaming.done()
    plan.put("streaming.non_stream_keepalive_s", table.number("nonstream-keepalive-interval") or None)
