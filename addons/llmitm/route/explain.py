"""Where a model would go, without sending anything: who is asked, in which order, and who is not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from llmitm.config.auth_keys import AuthKey
from llmitm.config.endpoints import Gateway
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route import plan, providers
from llmitm.route.choice import Choice
from llmitm.route.health import Health, Rest
from llmitm.route.plan import Way
from llmitm.route.providers import Candidate, Passed
from llmitm.route.search import chain
from llmitm.route.strategy import ordered
from llmitm.route.strategy.facts import Facts
from llmitm.state.store import Store

_NOT_ALLOWED: Final = "{} may not be used here: see allowed_models of the endpoint and the key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One model of the chain."""

    model: str
    able: Sequence[Choice[Any]] = ()
    """In the order in which they would be asked now. Each has a `Candidate` on an endpoint of kind gateway, a
    `Way` on one of kind cloudflare, else a `Credential`."""
    resting: Sequence[tuple[Choice[Any], Rest]] = ()
    passed: Sequence[Passed] = ()
    refused: str = ""
    """Why there is nobody; empty where there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    endpoint: str
    strategy: str
    problem: str = ""
    """Why nothing would be sent; empty where something would."""
    stages: list[Stage] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What there is to say of one that would be asked."""

    provider: str
    model: str
    """As it is spelled there."""
    dialects: tuple[Dialect, ...] = ()
    """That the provider speaks; empty: the client's, whichever it is."""
    base: str | None = None
    """None: the endpoint says where it goes, or Cloudflare's gateway does."""
    gateway: Gateway | None = None
    """Cloudflare's."""
    is_with_key: bool = True
    """Whether a key of ours goes along."""


def told(choice: Choice[Any], asked: str) -> Told:
    """`asked` is the model as it was asked for."""
    match choice.value:
        case Candidate() as one:
            return Told(
                provider=choice.provider,
                model=choice.model,
                dialects=tuple(one.dialects),
                base=one.base,
                is_with_key=one.credential is not None,
            )
        case Way() as way:
            return Told(
                provider=choice.provider,
                model=asked.removeprefix(f"{way.segment}/"),
                gateway=way.gateway,
                is_with_key=way.credential is not None,
            )
        case _:
            return Told(provider=choice.provider, model=asked)


async def explain(
    model: str,
    endpoint: str,
    key: AuthKey | None,
    config: Config,
    health: Health,
    store: Store,
    dialect: Dialect = Dialect.OPENAI_CHAT,
) -> Explained:
    """What an exchange for `model` may be tried with on an endpoint that has credentials.

    `dialect` is the client's, which tells some of Cloudflare's gateways whom to ask.
    """
    rules = config.endpoints[endpoint]
    is_routed = rules.kind == "gateway"
    made = Explained(endpoint=endpoint, strategy=config.routing.strategy if is_routed else "round-robin")

    def is_allowed(name: str) -> bool:
        return all(
            not globs or any(fnmatchcase(name, glob) for glob in globs)
            for globs in (rules.allowed_models, key.allowed_models if key else ())
        )

    if key is not None and key.allowed_endpoints:
        if not any(fnmatchcase(endpoint, glob) for glob in key.allowed_endpoints):
            return _nothing(made, f"the key {key.name} may not use /{endpoint}")
    if key is not None and key.disabled:
        return _nothing(made, f"the key {key.name} is disabled")
    if not is_routed:
        if not is_allowed(model):
            return _nothing(made, _NOT_ALLOWED.format(model))
        made.stages.append(await _unrouted(model, endpoint, config, health, store, dialect))
        return made
    models = await chain([model], config.routing, store, is_allowed)
    if not models:
        return _nothing(made, _NOT_ALLOWED.format(model))
    for one in models:
        made.stages.append(await _stage(one, endpoint, config, health, store))
    return made


def _nothing(made: Explained, problem: str) -> Explained:
    return Explained(endpoint=made.endpoint, strategy=made.strategy, problem=problem)


async def _stage(model: str, endpoint: str, config: Config, health: Health, store: Store) -> Stage:
    passed = providers.passed_over(model, config, only=config.endpoints[endpoint].provider)
    try:
        found = plan.of_model(model, endpoint, config)
    except Refused as refused:
        return Stage(model=model, passed=passed, refused=str(refused))
    able, resting = await _rested(found, health)
    facts = Facts(in_flight=health.in_flight, latency_s=health.latency_s)
    return Stage(
        model=model,
        able=await ordered(able, facts, config.routing.strategy, store),
        resting=resting,
        passed=passed,
    )


async def _unrouted(
    model: str, endpoint: str, config: Config, health: Health, store: Store, dialect: Dialect
) -> Stage:
    """Credentials in their turn, whatever the model, on endpoints of kind cloudflare and of one provider."""
    provider = config.endpoints[endpoint].provider
    if provider is None:
        asked = plan.Asked(
            id="",
            endpoint=endpoint,
            rest=b"/v1/chat/completions",
            dialect=dialect,
            drop_headers=frozenset(),
            model=model,
        )
        ways, away = await _rested(plan.through_cloudflare(asked, config), health)
        return Stage(model=model, able=await plan.in_turn(ways, store), resting=away)
    try:
        found = plan.of_provider(provider, "", config)
    except Refused as refused:
        return Stage(model=model, refused=str(refused))
    able, resting = await _rested(found, health)
    return Stage(model=model, able=await ordered(able, Facts(), "round-robin", store), resting=resting)


async def _rested[T](
    found: Sequence[Choice[T]], health: Health
) -> tuple[list[Choice[T]], list[tuple[Choice[T], Rest]]]:
    """Those that may be asked, and those that rest."""
    rests = list(zip(found, await health.rests(found), strict=True))
    return (
        [one for one, rest in rests if rest is None],
        [(one, rest) for one, rest in rests if rest is not None],
    )
