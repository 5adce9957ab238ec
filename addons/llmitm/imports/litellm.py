"""LiteLLM's proxy: deployments and the settings of its router, in YAML."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from llmitm.imports import litellm_lost as lost
from llmitm.imports import litellm_models
from llmitm.imports.litellm_models import Models
from llmitm.imports.plan import Endpoint, Plan
from llmitm.imports.references import to_variable
from llmitm.imports.serving import clients, listens
from llmitm.imports.table import Table
from llmitm.secret import Secret

_STRATEGIES: Final = {
    "simple-shuffle": None,
    "least-busy": "least-in-flight",
    "usage-based-routing": "least-in-flight",
    "usage-based-routing-v2": "least-in-flight",
    "latency-based-routing": "latency",
    "cost-based-routing": "cost",
}
_PERIODS: Final = {
    "1d": "daily",
    "24h": "daily",
    "7d": "weekly",
    "1w": "weekly",
    "30d": "monthly",
    "1mo": "monthly",
}


def read(table: Table) -> Plan:
    plan = Plan()
    held = litellm_models.credentials(table)
    models = litellm_models.read(table, held, plan)
    litellm_models.place(models, plan)
    general = table.table("general_settings")
    _general(general, plan)
    listens(plan, general, "0.0.0.0", 4000)
    plan.endpoints["default"] = Endpoint(source="every path, by model", kind="gateway")
    settings, router = table.table("litellm_settings"), table.table("router_settings")
    _settings(settings, plan, models)
    _router(router, plan, models)
    _retries(plan, settings, router)
    for name in table.table("environment_variables").values:
        table.found.lost(
            f"environment_variables.{name}", "is set in the environment that llmitm is started in"
        )
    table.found.changed(
        "", "paths begin with /v1: clients whose base URL is http://HOST:4000 need http://HOST:4000/v1"
    )
    for one in held.values():
        one.done()
    if not models.deployments:
        table.found.none_left("model_list", "no model is left that could be asked for", "model_list")
    for one in (general, settings, router):
        one.done()
    table.lose(lost.TOP)
    table.done()
    return plan


def _general(table: Table, plan: Plan) -> None:
    master = table.secret("master_key")
    if master is not None:
        clients(plan, [(table.at("master_key"), master)])
        plan.auth_keys[0].name = "master"
        table.changed(
            "master_key",
            "is a client's key like any other: the dashboard has users of its own, and `llmitm keys "
            "new` makes further keys",
        )
    plan.put("server.body_limit_mb", table.number("max_request_size_mb"))
    plan.put("rate_limit.concurrency", table.count("global_max_parallel_requests") or None)
    for one in table.tables("pass_through_endpoints"):
        _pass_through(one, plan)
    if period := table.text("maximum_spend_logs_retention_period"):
        days = period.removesuffix("d")
        plan.put("ledger.retention_days", int(days) if period.endswith("d") and days.isdecimal() else None)
    if table.flag("store_prompts_in_spend_logs"):
        plan.put("ledger.bodies", True)
    if table.flag("forward_client_headers_to_llm_api"):
        plan.passthrough_headers = ["x-*"]
    table.lose(lost.GENERAL)


def _pass_through(table: Table, plan: Plan) -> None:
    path, target = (table.text("path") or "").strip("/"), table.text("target")
    has_headers = table.has("headers")
    for name in ("headers", "include_subpath", "forward_headers", "auth", "cost_per_request", "methods"):
        table.take(name)
    table.done()
    if not path or "/" in path or target is None or path in ("v1", "v1beta"):
        table.found.lost(
            table.path, "an endpoint is one word at the front of the path: [endpoints.NAME] with target_base"
        )
        return
    plan.endpoints[path] = Endpoint(source=table.path, target_base=target.rstrip("/"))
    if has_headers:
        table.found.lost(
            table.at("headers"), "headers are those of a provider: name one in the endpoint, with its key"
        )


def _settings(table: Table, plan: Plan, models: Models) -> None:
    _reliability(table, plan, models)
    plan.put("timeouts.exchange_s", table.number("request_timeout"))
    if table.flag("json_logs"):
        plan.put("log.format", "json")
    if table.flag("set_verbose"):
        plan.put("log.level", "debug")
    if (usd := table.number("max_budget")) is not None:
        plan.put("budget.usd", usd)
        duration = table.text("budget_duration")
        period = "total" if duration is None else _PERIODS.get(duration)
        if period is None:
            table.found.changed(
                table.at("budget_duration"), "days, weeks and months are counted: monthly is used"
            )
        plan.put("budget.period", period or "monthly")
    for key in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
        for at, name in enumerate(table.texts(key)):
            table.found.lost(f"{table.at(key)}[{at}]", lost.CALLBACKS.get(name, lost.CALLBACK))
    table.lose(lost.SETTINGS)


def _router(table: Table, plan: Plan, models: Models) -> None:
    _reliability(table, plan, models)
    strategy = table.text("routing_strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        table.found.changed(table.at("routing_strategy"), "is not known here; round-robin is used")
    elif strategy is not None and strategy.startswith("usage-based"):
        table.found.changed(
            table.at("routing_strategy"),
            "who has the fewest requests under way is asked; rpm and tpm of deployments limit the model "
            "as a whole",
        )
        _limits(models, plan)
    elif any(one.rpm or one.tpm for one in models.deployments):
        table.found.changed(
            "model_list", "rpm and tpm of deployments say how often each has its turn, as they did"
        )
    plan.put("routing.strategy", _STRATEGIES.get(strategy or ""))
    plan.put("timeouts.exchange_s", table.number("timeout"))
    plan.put("timeouts.first_byte_s", table.number("stream_timeout"))
    _aliases(table.table("model_group_alias"), plan)
    _behind_aliases(plan)
    _redis(table, plan)
    table.lose(lost.ROUTER)


def _limits(models: Models, plan: Plan) -> None:
    for name in models.names:
        group = [one for one in models.deployments if one.public == name]
        limits = {}
        for key in ("rpm", "tpm"):
            amounts = [getattr(one, key) for one in group]
            if all(amounts):
                limits[key] = sum(amounts)
        if limits:
            plan.model_limits[name] = limits


def _reliability(table: Table, plan: Plan, models: Models) -> None:
    """What may stand in either table; the router's wins."""
    if table.flag("disable_cooldowns"):
        plan.put("retry.cooldowns", False)
    seconds = table.number("cooldown_time")
    if seconds is not None:
        endings = ("rate_limit", "server", "overloaded", "network", "timeout")
        plan.put("retry.rest_s", dict.fromkeys(endings, seconds))
    if table.count("allowed_fails") is not None:
        table.changed("allowed_fails", "a key rests at its first failure, for a short time that doubles")
    plan.fallbacks |= _fallbacks(table, "fallbacks", models)
    plan.context_fallbacks |= _fallbacks(table, "context_window_fallbacks", models)
    _for_the_rest(plan.fallbacks, table.texts("default_fallbacks"), models, table, "default_fallbacks")
    table.lose(lost.RELIABILITY)


def _fallbacks(table: Table, key: str, models: Models) -> dict[str, list[str]]:
    """A list of tables, each with one or more names."""
    made: dict[str, list[str]] = {}
    others: list[str] = []
    for one in table.tables(key):
        for name in one.values:
            if name == "*":
                others = one.texts(name)
            elif "*" in name:
                one.found.lost(one.at(name), "fallbacks are by name: name each model")
                one.take(name)
            elif targets := one.texts(name):
                made[name] = targets
    _for_the_rest(made, others, models, table, key)
    return made


def _for_the_rest(
    fallbacks: dict[str, list[str]], others: list[str], models: Models, table: Table, key: str
) -> None:
    """Every model without fallbacks of its own has these."""
    if not others:
        return
    if globs := [name for name in models.names if "*" in name]:
        table.found.lost(
            table.at(key), f"fallbacks are by name: what stands for many models ({', '.join(globs)}) has none"
        )
    for name in models.names:
        rest = [one for one in others if one != name]
        if rest and "*" not in name and name not in fallbacks:
            fallbacks[name] = rest


def _retries(plan: Plan, *tables: Table) -> None:
    """The last one's. `max_attempts` counts all that are asked, and would leave fallbacks out."""
    has_fallbacks = bool(plan.fallbacks or plan.context_fallbacks)
    for table in tables:
        retries = table.count("num_retries")
        if retries is None:
            continue
        if has_fallbacks:
            table.changed("num_retries", "each deployment is asked once, then each of its fallbacks")
            continue
        if retries:
            table.changed("num_retries", "each deployment is asked once: it takes another one to try again")
        plan.put("retry.max_attempts", retries + 1)


def _aliases(table: Table, plan: Plan) -> None:
    for name, value in table.values.items():
        if isinstance(value, dict):
            inner = table.table(name)
            model = inner.text("model")
            if inner.flag("hidden"):
                inner.changed("hidden", "further names of models are listed, too")
            inner.done()
        else:
            model = table.text(name)
        if model is not None:
            plan.aliases[name] = [(model, 1)]
        else:
            table.found.wrong(table.at(name), "the name of a model is expected")


def _behind_aliases(plan: Plan) -> None:
    """A further name falls back as its model does; whom a long prompt falls back to is named by its model."""
    for name, members in plan.aliases.items():
        for fallbacks in (plan.fallbacks, plan.context_fallbacks):
            if members[0][0] in fallbacks:
                fallbacks.setdefault(name, fallbacks[members[0][0]])
    for name, targets in plan.context_fallbacks.items():
        plan.context_fallbacks[name] = [plan.aliases.get(one, [(one, 1)])[0][0] for one in targets]


def _redis(table: Table, plan: Plan) -> None:
    whole = table.secret("redis_url")
    keys = ("redis_host", "redis_port", "redis_password", "redis_db")
    host, port, password, database = (table.secret(key) for key in keys)
    if whole is None and host is not None:
        parts = [one for one in (host, port, password, database) if one is not None]
        if any(one.reference for one in parts):
            whole = to_variable("REDIS_URL")
            table.found.changed(
                table.at("redis_host"),
                "set REDIS_URL to redis://:PASSWORD@HOST:PORT/0: an address is one reference, not several",
            )
        else:
            whole = Secret(_url(host, port, password, database))
    plan.put("state.url", whole)


def _url(host: Secret, port: Secret | None, password: Secret | None, database: Secret | None) -> str:
    user = f":{quote(password.reveal(), safe='')}@" if password is not None else ""
    number = port.reveal() if port is not None else "6379"
    return f"redis://{user}{host.reveal()}:{number}/{database.reveal() if database is not None else '0'}"
