"""What runs here and how it is: numbers, health, the log, endpoints."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from llmitm import __version__
from llmitm.admin.asking import Query, Text
from llmitm.admin.changing import shown_secret
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.completed import Implied
from llmitm.record.process import memory_bytes
from llmitm.route import providers
from llmitm.state.place import Place
from llmitm.world import World


class Metrics(Shown):
    """As `/metrics` tells it in JSON, and more: see the fields that are named here."""

    model_config = ConfigDict(frozen=True, extra="allow")

    total_requests: int
    in_flight: int
    version: str
    lately: dict[str, Any]
    """Of the last five minutes: rates, failures by provider and reason, rescued requests, added latency.
    `refused` were refused for what the client asked or did, and are no failures: `top_refusals` names the
    key and the reason; `success_rate` is of all others."""
    history: list[dict[str, int]]
    """The last five minutes as points of a chart."""
    cost_today_usd_nano: int | None
    """Since midnight in UTC; null: not known, or not yet."""
    cost_today_usd: str | None
    credentials: list[dict[str, Any]]
    """Each with its state (ok, cooling, exhausted, dead, stopped), why, and how many seconds are left; null:
    until it is revived. `resting_models`: for how many models alone it rests, such as after a 429."""


class ProviderHealth(Shown):
    name: str
    credentials: int
    usable: int
    """Of them, those that do not rest."""
    breaker: str | None
    is_disabled: bool


class Check(Shown):
    name: str
    is_well: bool
    text: str


class Health(Shown):
    status: Literal["ok", "degraded", "draining"]
    version: str
    uptime_secs: float
    host: str
    port: int | None
    tls_enabled: bool
    providers: list[ProviderHealth]
    checks: list[Check]


class Info(Shown):
    version: str
    python: str
    mitmproxy: str | None
    prices: str | None
    platform: str
    pid: int
    workers: int
    started_at: str
    uptime_secs: float
    in_flight: int
    exchanges: int
    sessions: int
    memory_bytes: int | None
    loop_lag_worst_ms: float | None
    readers: int
    """Who reads along over WebSockets."""
    config: str
    ledger: str | None
    """null: none is kept."""
    ledger_waiting: int | None
    ledger_lost: int | None
    state: str
    warnings: list[str]
    """Of the configuration that is in force."""


class LogLine(Shown):
    number: int
    at: str
    level: str
    message: str


class AppLogPage(Shown):
    items: list[LogLine]
    """The newest first."""
    next_cursor: str | None
    total: int
    """How many there have been since the start; the newest are kept."""


def _blank(value: Any) -> Any:
    return None if value == "" else value


class AppLogAsked(Query):
    level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        BeforeValidator(lambda value: "warning" if value == "warn" else _blank(value)),
    ] = None
    """This, or worse."""
    q: Text = None
    search: Text = None
    """Another name of `q`."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str | None, BeforeValidator(_blank), Field(pattern=r"^[0-9]{1,18}$")] = None


class EndpointShown(Shown):
    id: str
    name: str
    kind: str
    is_default: bool
    """Whether paths without an endpoint's name go there."""
    is_implied: bool
    """Whether it stands in no file and follows from the rest: one of its name in the file takes its place."""
    path: str
    """What its requests begin with."""
    target_base: str | None
    provider: str | None
    """Whose credentials it sends; null: by model, or the client's own."""
    proxy_url: str | None
    """Its password masked, its reference in place of it, or empty: none; null: the provider's or server's."""
    has_proxy: bool
    simulate_stream: bool
    strict: bool
    allowed_models: list[str]
    allowed_paths: list[str]
    tls_ca: str | None
    tls_client_cert: str | None
    injects_credentials: bool


class Endpoints(Shown):
    endpoints: list[EndpointShown]


class Models(Shown):
    object: Literal["list"]
    data: list[dict[str, Any]]


async def _metrics(asked: Asked) -> Metrics:
    """How the gateway is at this moment."""
    watching = asked.desk.watching
    return Metrics(**await watching.overview.read(), history=watching.onlooker.lately.history())


async def _health(asked: Asked) -> Health:
    """Whether all is well, and what is not."""
    world, watching = asked.world, asked.desk.watching
    told = await watching.overview.read()
    config = world.config
    breakers = {one["provider"]: one["state"] for one in told["breakers"]}
    found = []
    for name, options in config.providers.items():
        states = [one["state"] for one in told["credentials"] if one["provider"] == name]
        found.append(
            ProviderHealth(
                name=name,
                credentials=len(states),
                usable=states.count("ok"),
                breaker=breakers.get(name),
                is_disabled=options.disabled,
            )
        )
    checks = [*_checks(world, told, found)]
    well = all(one.is_well for one in checks)
    return Health(
        status="draining" if world.is_draining else "ok" if well else "degraded",
        version=__version__,
        uptime_secs=round(max(0.0, world.clock.now_s() - world.started_s), 1),
        host=config.server.host,
        port=world.port,
        tls_enabled=config.server.tls_cert is not None,
        providers=found,
        checks=checks,
    )


LATE_MS: Final = 100.0
"""Everybody waits where the event loop wakes later than that."""


def _checks(world: World, told: dict[str, Any], found: list[ProviderHealth]) -> list[Check]:
    checks = []
    out = [one.name for one in found if one.credentials and not one.usable and not one.is_disabled]
    text = f"every credential rests: {', '.join(out)}" if out else "each provider has a credential in service"
    checks.append(Check(name="credentials", is_well=not out, text=text))
    dead = [f"{one['provider']}/{one['name']}" for one in told["credentials"] if one["state"] == "dead"]
    text = f"refused by their provider until revived: {', '.join(dead)}" if dead else "none was refused"
    checks.append(Check(name="keys", is_well=not dead, text=text))
    lag_ms = told["event_loop_lag_worst_ms"] or 0.0
    text = f"the event loop woke {lag_ms:g} ms late at worst in the last minute"
    checks.append(Check(name="event_loop", is_well=lag_ms <= LATE_MS, text=text))
    if world.ledger is None:
        checks.append(Check(name="ledger", is_well=True, text="none is kept"))
    else:
        lost = getattr(world.ledger, "lost", 0)
        waiting = world.ledger.waiting
        text = f"{waiting} exchanges wait to be written, {lost} were lost"
        checks.append(Check(name="ledger", is_well=lost == 0 and waiting < 10_000, text=text))
    return checks


async def _info(asked: Asked) -> Info:
    """What runs here."""
    world, watching = asked.world, asked.desk.watching
    worst_s = world.metrics.loop.worst_s()
    started = datetime.fromtimestamp(world.started_s, UTC).isoformat(timespec="milliseconds")
    return Info(
        version=__version__,
        python=platform.python_version(),
        mitmproxy=_version("mitmproxy"),
        prices=_version("genai-prices"),
        platform=platform.platform(),
        pid=os.getpid(),
        workers=1,
        started_at=f"{started[:-6]}Z",
        uptime_secs=round(max(0.0, world.clock.now_s() - world.started_s), 1),
        in_flight=world.in_flight,
        exchanges=world.numbered,
        sessions=len(world.sessions),
        memory_bytes=memory_bytes(),
        loop_lag_worst_ms=None if worst_s is None else round(worst_s * 1000, 1),
        readers=watching.feed.readers,
        config=world.config.source,
        ledger=watching.shelf.name,
        ledger_waiting=None if world.ledger is None else world.ledger.waiting,
        ledger_lost=getattr(world.ledger, "lost", None),
        state="memory" if Place.of(world.config.state.url).is_memory else "redis",
        warnings=[world.redact(one) for one in world.config.warnings],
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


async def _logs(asked: Asked) -> AppLogPage:
    """The newest lines of the gateway's own log."""
    query: AppLogAsked = asked.query
    app_log = asked.desk.watching.app_log
    before = None if query.cursor is None else int(query.cursor)
    found = app_log.find(
        level=query.level, text=query.q or query.search, before=before, limit=query.limit + 1
    )
    lines = found[: query.limit]
    return AppLogPage(
        items=[LogLine(number=one.number, at=one.at, level=one.level, message=one.message) for one in lines],
        next_cursor=str(lines[-1].number) if len(found) > query.limit else None,
        total=app_log.count,
    )


async def _endpoints(asked: Asked) -> Endpoints:
    """The named doors of the data port."""
    world = asked.world
    config = world.config
    found = []
    for name, one in config.endpoints.items():
        target = config.target_of(name) if one.kind == "forward" else one.target_base
        found.append(
            EndpointShown(
                id=name,
                name=name,
                kind=one.kind,
                is_default=name == config.default_endpoint,
                is_implied=isinstance(one, Implied),
                path=f"/{name}/",
                target_base=None if target is None else world.redact(target),
                provider=one.provider,
                proxy_url=shown_secret(one.proxy_url, is_url=True),
                has_proxy=one.proxy_url is not None,
                simulate_stream=one.simulate_stream,
                strict=one.strict,
                allowed_models=list(one.allowed_models),
                allowed_paths=list(one.allowed_paths),
                tls_ca=None if one.tls_ca is None else str(one.tls_ca),
                tls_client_cert=None if one.tls_client_cert is None else str(one.tls_client_cert),
                injects_credentials=one.injects,
            )
        )
    return Endpoints(endpoints=found)


async def _models(asked: Asked) -> Models:
    """The models that may be asked for by name."""
    created = int(asked.world.started_s)
    names = providers.names(asked.world.config, None)
    return Models(
        object="list",
        data=[{"id": name, "object": "model", "created": created, "owned_by": "llmitm"} for name in names],
    )


ROUTES: Final = (
    Route("GET", f"{BASE}/metrics", _metrics, Role.VIEWER, gives=Metrics),
    Route("GET", f"{BASE}/system/health", _health, Role.VIEWER, gives=Health),
    Route("GET", f"{BASE}/system/info", _info, Role.VIEWER, gives=Info),
    Route("GET", f"{BASE}/system/logs", _logs, Role.VIEWER, query=AppLogAsked, gives=AppLogPage),
    Route("GET", f"{BASE}/endpoints", _endpoints, Role.VIEWER, gives=Endpoints),
    Route("GET", "/admin/metrics", _metrics, Role.VIEWER, gives=Metrics),
    Route("GET", "/admin/models", _models, Role.VIEWER, gives=Models),
)
