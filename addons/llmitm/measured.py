"""`/health`, `/ready` and `/metrics`: whether it lives, what was counted, and how it stands at this moment.

Text for Prometheus, a snapshot in JSON for who asks for it. Each process answers for itself alone.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import orjson

from llmitm import __version__
from llmitm.exchange import ClientRequest, ResponseHead
from llmitm.record import exposition
from llmitm.record.instruments import NANO
from llmitm.record.series import Family, Point, gauge, gauge_of
from llmitm.record.snapshot import snapshot
from llmitm.route.choice import Choice
from llmitm.route.verdict import Why
from llmitm.state.store import Mark
from llmitm.translate.failures import reason
from llmitm.world import World

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]

MOST_NAMED: Final = 50
"""Credentials of a provider that are told one by one; of more, how many are in each state."""
MOST_MARKS: Final = 2_000
"""Rests that are asked for: a store may be far away."""
STATES: Final = ("ok", "cooling", "exhausted", "dead", "stopped")
STATE_OF: Final = {Why.OPERATOR: "stopped", Why.AUTH: "dead", Why.BILLING: "exhausted"}
"""All others cool."""
MOST_BUDGETS: Final = 1_000
_BUDGETS: Final = {
    "spent_usd": "US dollars that are spent of a budget in this period, or held by what is under way.",
    "limit_usd": "US dollars that may be spent in a period.",
    "spent_tokens": "Tokens that are spent of a budget in this period, or held by what is under way.",
    "limit_tokens": "Tokens that may be spent in a period.",
}
_JSON: Final = "application/json"
_TEXTS: Final = ("text/plain", "application/openmetrics-text")


async def health(world: World, request: ClientRequest, *, is_ready: bool) -> Steps:
    """`/health` says that it lives, `/ready` whether it takes requests: not while it drains. What runs on
    this machine also learns how much is under way."""
    status = 503 if is_ready and world.is_draining else 200
    told: dict[str, object] = {"status": "draining" if world.is_draining else "ok", "version": __version__}
    if request.client.startswith(("127.", "[::1]", "::1")):
        told |= {"in_flight": world.in_flight - 1}  # not counting this one
    body = orjson.dumps(told)
    yield ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), (b"cache-control", b"no-store")),
        whole=body,
    )


async def answer(world: World, request: ClientRequest) -> Steps:
    """The whole answer."""
    accept = (request.header(b"accept") or b"").decode("latin-1").lower()
    async with world.metrics.turn:  # one at a time: anybody may ask
        if wants_json(accept):
            told = snapshot(world.metrics) | {"in_flight": world.in_flight - 1, "version": __version__}
            kind, body = _JSON, orjson.dumps(told)
        else:
            families = [*world.metrics.read(), *await standing(world)]
            kind, body = await asyncio.to_thread(exposition.write, families, accept=accept)
    yield ResponseHead(
        status=200,
        reason=b"OK",
        headers=((b"content-type", kind.encode()), (b"cache-control", b"no-store")),
        whole=body,
    )


def wants_json(accept: str) -> bool:
    """Whether JSON is asked for by name, and Prometheus's own formats are not wanted more. `accept` is in
    lower case."""
    wanted = {name: weight for name, weight in map(_weighed, accept.split(","))}
    of_text = max((wanted.get(name, 0.0) for name in _TEXTS), default=0.0)
    return wanted.get(_JSON, 0.0) > 0 and wanted[_JSON] >= of_text


def _weighed(part: str) -> tuple[str, float]:
    name, *parameters = (one.strip() for one in part.split(";"))
    for one in parameters:
        if one.startswith("q="):
            try:
                return name, float(one[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0


async def standing(world: World) -> list[Family]:
    """How the gateway stands now. What cannot be told is left out, and the log says so."""
    health = world.health
    families = [
        # not counting the one that asks
        gauge_of("llmitm_in_flight_requests", "Client requests under way.", world.in_flight - 1),
        gauge_of(
            "llmitm_draining", "1 while the gateway waits for its last exchanges to end.", world.is_draining
        ),
        gauge_of(
            "llmitm_retry_budget_left",
            "Further tries that the retry budget allows at this moment.",
            health.budget.left(),
        ),
        gauge(
            "llmitm_provider_state",
            "Circuit breakers: 1 for the state that a provider is in.",
            ("provider", "state"),
            list(_breakers(world)),
        ),
        gauge("llmitm_build_info", "What runs here.", *_build()),
    ]
    try:
        families += await _budgets(world)
    except Exception as error:
        log.error("what is spent of budgets could not be told: %s: %s", type(error).__name__, error)
    try:
        families += await _credentials(world)
    except Exception as error:  # a recorder fails open, loudly
        log.error("which credentials rest could not be told: %s: %s", type(error).__name__, error)
    return families


async def _budgets(world: World) -> Iterator[Family]:
    """What is spent of each budget in its period, or held by what is under way, and the limits."""
    standing = [] if world.spending is None else await world.spending.standing(MOST_BUDGETS)
    found: dict[str, list[Point]] = {name: [] for name in _BUDGETS}
    for budget, spent in standing:
        labels = (world.redact(budget.name), budget.period)
        scale = NANO if budget.unit == "usd" else 1
        found[f"spent_{budget.unit}"].append((labels, spent * scale))
        found[f"limit_{budget.unit}"].append((labels, budget.most * scale))
    return iter(
        [
            gauge(f"llmitm_budget_{name}", text, ("budget", "period"), found[name])
            for name, text in _BUDGETS.items()
            if found[name]
        ]
    )


def _breakers(world: World) -> Iterator[Point]:
    found: dict[tuple[str, str], float] = {}
    for upstream, now in world.health.standings().items():
        name = world.metrics.upstream(upstream)
        for state in ("closed", "open", "half-open"):
            key = (name, state)
            found[key] = max(found.get(key, 0), float(state == now))
    yield from found.items()


@cache
def _build() -> tuple[tuple[str, ...], list[Point]]:
    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return ""

    labels = ("version", "python", "mitmproxy", "prices")
    return labels, [((__version__, platform.python_version(), of("mitmproxy"), of("genai-prices")), 1.0)]


async def _credentials(world: World) -> Iterator[Family]:
    """In which state each credential is, and for how many models it rests beside that."""
    choices = [*every_choice(world)]
    rests = await world.health.rests(choices)
    states: Counter[tuple[str, str, str]] = Counter()
    sizes = Counter(one.provider for one in choices)
    for choice, rest in zip(choices, rests, strict=True):
        state = "ok" if rest is None else STATE_OF.get(rest.why, "cooling")
        name = world.redact(_shown(choice, sizes))
        for one in STATES:
            states[choice.provider, name, one] += one == state
    models = Counter({(one.provider, world.redact(_shown(one, sizes))): 0 for one in choices})
    resting = await resting_models(world, choices)
    for choice in choices:
        count = resting[choice.provider, choice.credential]
        models[choice.provider, world.redact(_shown(choice, sizes))] += count
    return iter(
        (
            gauge(
                "llmitm_credential_state",
                "1 for the state that a credential is in; of a provider with many, how many are in each.",
                ("provider", "credential", "state"),
                list(states.items()),
            ),
            gauge(
                "llmitm_credential_resting_models",
                "For how many models a credential rests that is in service otherwise.",
                ("provider", "credential"),
                list(models.items()),
            ),
        )
    )


def every_choice(world: World) -> Iterator[Choice[None]]:
    """Every credential and gateway that is in service or rests, for no model in particular."""
    config = world.config
    for provider, options in config.providers.items():
        for one in options.credentials:
            if not (options.disabled or one.disabled):
                yield Choice(provider=provider, credential=one.name, model="", weight=1, value=None)
    for gateway in config.gateways:
        name = f"{gateway.account_id}/{gateway.gateway_id}"
        yield Choice(provider="cloudflare", credential=name, model="", weight=1, value=None)


def _shown(choice: Choice[None], sizes: Counter[str]) -> str:
    return "all" if sizes[choice.provider] > MOST_NAMED else choice.credential or ""


async def resting_models(world: World, choices: Sequence[Choice[None]]) -> Counter[tuple[str, str | None]]:
    """For how many models each credential rests that is in service otherwise, by provider and name.

    Those that this process knows of: names of models come from clients, and nobody lists them.
    """
    owners = {f"{one.rests[0]}:": one for one in choices}
    found = [
        (key, owner)
        for key in world.health.resting_here()[-MOST_MARKS:]
        if (owner := next((owners[head] for head in _heads(key) if head in owners), None)) is not None
    ]
    counts: Counter[tuple[str, str | None]] = Counter()
    if found and world.config.retry.cooldowns:
        outcome = await world.store.apply([Mark(key=key) for key, _ in found])
        for (_, owner), value in zip(found, outcome.values, strict=True):
            counts[owner.provider, owner.credential] += bool(value)
    return counts


def _heads(key: str) -> Iterator[str]:
    """What stands before each colon, and the colon; the first one, of `rest:`, aside."""
    at = key.find(":")
    while (at := key.find(":", at + 1)) > 0:
        yield key[: at + 1]
