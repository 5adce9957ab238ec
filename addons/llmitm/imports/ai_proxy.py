"""ai-proxy: keys of providers by vendor, in YAML."""

from __future__ import annotations

from typing import Final

from llmitm.config.dashboard import LEAST_SECRET_SIGNS, MOST_TTL_S, wrong_hash
from llmitm.config.formats import FORMATS
from llmitm.exchange import Dialect
from llmitm.imports import addresses, entries, references, rules
from llmitm.imports.entries import Section
from llmitm.imports.plan import Plan
from llmitm.imports.serving import clients, passing, served
from llmitm.imports.table import Table

_SECTIONS: Final = (
    Section("claude-api-key", "anthropic", Dialect.ANTHROPIC_MESSAGES),
    Section("openai-api-key", "openai", Dialect.OPENAI_CHAT),
    Section("gemini-api-key", "gemini", Dialect.GEMINI),
    Section("openai-compatibility", None, Dialect.OPENAI_CHAT),
)
_STRATEGIES: Final = {"round-robin": None, "fill-first": "fill-first"}
_NO_EFFECT: Final = "had no effect there either"
_LOST: Final = {
    "debug": _NO_EFFECT,
    "request-retry": f"{_NO_EFFECT}; retry.max-retries did, and was taken over where it stands",
    "max-retry-interval": _NO_EFFECT,
    "claude-header-defaults": "were sent to look like another client. Headers of your own are in the table "
    "`headers` of a provider",
}


def read(table: Table) -> Plan:
    plan = Plan()
    for section in _SECTIONS:
        _section(section, table, plan)
    for one in table.tables("providers"):
        _provider(one, plan)
    _of_any_model(table, plan)
    clients(plan, table.secrets("api-keys"))
    _auth_keys(table, plan)
    served(plan, table, host="0.0.0.0", port=8317)
    _routing(table, plan)
    _retry(table.table("retry"), plan)
    _streaming(table, plan)
    _limits(table.table("rate-limit"), plan)
    plan.put("timeouts.connect_s", table.number("connect-timeout"))
    plan.put("timeouts.exchange_s", table.number("request-timeout"))
    plan.put("server.body_limit_mb", table.number("body-limit-mb"))
    passing(plan, table, table.texts("passthrough-headers"))
    for name, prices in table.table("model-prices").children():
        _price(name, prices, plan)
    plan.payload = rules.read(table.table("payload"))
    _dashboard(table.table("dashboard"), plan)
    _daemon(table.table("daemon"), plan)
    _log(table, plan)
    table.lose(_LOST)
    table.done()
    return plan


def _section(section: Section, table: Table, plan: Plan) -> None:
    seen: dict[str, str] = {}
    for one in table.tables(section.key):
        made = entries.account(one, "id")
        wire_api = one.text("wire-api")
        made.wire_api = wire_api if wire_api == "responses" else None
        one.done()
        if not entries.usable(one, made):
            continue
        if section.provider is None and made.base_url is None:
            one.found.lost(one.path, "has no base-url and was left out")
            continue
        assert made.api_key is not None
        first = seen.setdefault(made.api_key.reference or made.api_key.reveal(), one.path)
        if first != one.path:
            one.found.changed(
                one.path, f"has the key of {first}, for which it was dropped; here both are used"
            )
        if made.base_url is not None and section.dialect is Dialect.OPENAI_CHAT:
            made.base_url = _with_version(made.base_url)
        entries.place(plan, made, section)


def _provider(table: Table, plan: Plan) -> None:
    """As later versions have it: providers with names, each with its format."""
    dialect = FORMATS.get(table.text("format") or "openai")
    if dialect is None:
        table.found.wrong(table.at("format"), "openai, claude or gemini is expected")
        return
    made = entries.account(table, "id")
    name, made.name = made.name, None
    wire_api = table.text("wire-api")
    made.wire_api = wire_api if wire_api == "responses" else None
    table.done()
    if not entries.usable(table, made):
        return
    if made.base_url is not None and dialect is Dialect.OPENAI_CHAT:
        made.base_url = _with_version(made.base_url)
    usual = {section.dialect: section.provider for section in _SECTIONS if section.provider is not None}
    entries.place(plan, made, Section("providers", name or usual[dialect], dialect))


def _auth_keys(table: Table, plan: Plan) -> None:
    """Texts, or tables with a `key` and perhaps a name."""
    for at, value in enumerate(table.items("auth-keys")):
        path = f"{table.at('auth-keys')}[{at}]"
        if isinstance(value, str):
            clients(plan, [(path, references.secret(value))])
        elif isinstance(value, dict):
            inner = Table(value, table.found, path)
            if (key := inner.secret("key")) is not None:
                clients(plan, [(path, key)], inner.text("name"))
            inner.done()
        else:
            table.found.wrong(path, "text is expected, or a table with a key")


def _of_any_model(table: Table, plan: Plan) -> None:
    if any(not account.models for _, account in plan.accounts()):
        table.found.changed(
            "",
            "keys without `models` took any model; here a vendor's own API takes the vendor's models alone, "
            "by their names",
        )


def _with_version(base: str) -> str:
    """ai-proxy put `/v1/chat/completions` behind any address; we do it behind bare hosts."""
    base = base.rstrip("/")
    return base if not addresses.has_path(base) or addresses.has_version(base) else f"{base}/v1"


def _routing(table: Table, plan: Plan) -> None:
    routing = table.table("routing")
    strategy = routing.text("strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        routing.found.wrong(routing.at("strategy"), "round-robin or fill-first is expected")
    plan.put("routing.strategy", _STRATEGIES.get(strategy or ""))
    routing.lost("fallback-enabled", f"{_NO_EFFECT}; clients send `models`, or [routing] fallbacks name them")
    routing.done()
    plan.put("routing.force_model_prefix", table.flag("force-model-prefix") or None)


def _retry(table: Table, plan: Plan) -> None:
    most = table.count("max-retries")
    plan.put("retry.max_attempts", None if most is None else max(most, 1))
    plan.put("retry.cap_s", table.number("max-backoff-secs") or None)
    rests: dict[str, float] = {}
    for key, endings in (
        ("cooldown-429-secs", ("rate_limit",)),
        ("cooldown-5xx-secs", ("server", "overloaded")),
        ("cooldown-network-secs", ("network", "timeout")),
    ):
        seconds = table.number(key)
        rests |= dict.fromkeys(endings, seconds) if seconds is not None else {}
    plan.put("retry.rest_s", rests or None)
    table.done()


def _streaming(table: Table, plan: Plan) -> None:
    streaming = table.table("streaming")
    plan.put("streaming.heartbeat_s", streaming.number("keepalive-seconds"))
    if streaming.count("bootstrap-retries") == 0:
        plan.put("streaming.bootstrap", False)
    streaming.done()
    plan.put("streaming.non_stream_keepalive_s", table.number("non-stream-keepalive-secs") or None)


def _limits(table: Table, plan: Plan) -> None:
    is_on = table.flag("enabled") or False
    limits = {"rpm": table.count("global-rpm"), "per_key_rpm": table.count("per-key-rpm")}
    table.done()
    if not is_on:
        if any(limits.values()):
            table.found.lost(table.path, "was not enabled")
        return
    for name, value in limits.items():
        plan.put(f"rate_limit.{name}", value or None)


def _price(name: str, table: Table, plan: Plan) -> None:
    prices = {key: table.number(key) for key in ("input", "output")}
    table.done()
    if None in prices.values():
        table.found.wrong(table.path, "input and output are expected")
    else:
        plan.model_prices[name] = dict(prices)


def _dashboard(table: Table, plan: Plan) -> None:
    if not table.values:
        return
    plan.put("dashboard.enabled", table.flag("enabled"))
    plan.put("dashboard.username", table.text("username"))
    made = table.secret("password-hash")
    if made is not None and made.reference is None and (why := wrong_hash(made.reveal())) is not None:
        table.found.lost(
            table.at("password-hash"), f"{why}. Without one a link at the start sets the password"
        )
        made = None
    plan.put("dashboard.password_hash", made)
    secret = table.secret("jwt-secret")
    if secret is not None and secret.reference is None and len(secret.reveal()) < LEAST_SECRET_SIGNS:
        table.found.lost(table.at("jwt-secret"), "is too short, and could be guessed; one is made instead")
        secret = None
    plan.put("dashboard.jwt_secret", secret)
    ttl_s = table.count("jwt-ttl-secs")
    if ttl_s is not None and not 60 <= ttl_s <= MOST_TTL_S:
        table.found.changed(table.at("jwt-ttl-secs"), f"60 to {MOST_TTL_S} are taken here")
        ttl_s = min(max(ttl_s, 60), MOST_TTL_S)
    plan.put("dashboard.jwt_ttl_secs", ttl_s)
    plan.put("dashboard.request_log_capacity", table.count("request-log-capacity") or None)
    if plan.get("dashboard.enabled"):
        table.found.changed(table.path, "has a port of its own here, 8812, on 127.0.0.1")
    table.done()


def _daemon(table: Table, plan: Plan) -> None:
    plan.put("server.shutdown_timeout_s", table.number("shutdown-timeout"))
    table.lost("pid-file", "is an option of commands here: --pid-file of `llmitm run`, `stop` and `status`")
    table.done()


def _log(table: Table, plan: Plan) -> None:
    folder, is_on = table.text("log-dir"), table.flag("logging-to-file")
    if is_on:
        plan.path("log.file", f"{(folder or './logs').rstrip('/')}/llmitm.log")
        table.changed(
            "logging-to-file",
            "one file is written, in a folder that must be there, and rotated by the system's own means",
        )
    else:
        table.lost("log-dir", "was not used: logging-to-file is not true")
