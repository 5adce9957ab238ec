"""Operations on routing and limits, and what would become of a request."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue

from llmitm.admin.changes import edit_table
from llmitm.admin.changing import CHANGE_ERRORS, IF_MATCH, Changed, Taken, change
from llmitm.admin.configuration import parsed
from llmitm.admin.editing import documented
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.budget import MOST, Period
from llmitm.exchange import Dialect
from llmitm.route.explain import Stage, explain, told
from llmitm.route.verdict import Why

type Strategy = Literal["round-robin", "fill-first", "least-in-flight", "latency", "cost", "sticky"]
type Models = dict[str, list[str]]


class PoolMember(Taken):
    model: str = Field(min_length=1)
    weight: int = Field(default=1, ge=1)


class Routing(Taken):
    strategy: Strategy | None = None
    force_model_prefix: bool | None = None
    aliases: dict[str, str | list[PoolMember]] | None = None
    """All of them: those that are not named are gone."""
    fallbacks: Models | None = None
    context_fallbacks: Models | None = None
    hedge_after_ms: int | None = Field(default=None, ge=1)
    request_retry: int | None = Field(default=None, ge=1)
    """Attempts at most; null: each candidate once."""
    max_retry_interval: float | None = Field(default=None, gt=0)
    """The longest wait between attempts, in seconds."""


class ShownRouting(Shown):
    strategy: str
    fallback_enabled: bool
    """Whether any model has another to go to."""
    request_retry: int | None
    max_retry_interval: float
    force_model_prefix: bool
    aliases: dict[str, list[dict[str, Any]]]
    fallbacks: Models
    context_fallbacks: Models
    hedge_after_ms: int | None


class ModelLimits(Taken):
    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)


type Dollars = Annotated[float, Field(ge=0, le=MOST["usd"])]
type Tokens = Annotated[int, Field(ge=0, le=MOST["tokens"])]


class BudgetFields(Taken):
    """Amounts are for `period`, or by period. `per_key_*` is for each key that says nothing itself."""

    usd: Dollars | dict[Period, Dollars] | None = None
    tokens: Tokens | dict[Period, Tokens] | None = None
    period: Period | None = None
    per_key_usd: Dollars | dict[Period, Dollars] | None = None
    per_key_tokens: Tokens | dict[Period, Tokens] | None = None
    timezone: str | None = Field(default=None, min_length=1, max_length=64)
    unknown_price: Literal["allow", "refuse"] | None = None


class Limits(Taken):
    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    per_key_rpm: int | None = Field(default=None, ge=1)
    per_key_tpm: int | None = Field(default=None, ge=1)
    models: dict[str, ModelLimits] | None = None
    """By a glob of models; all of them: those that are not named are gone."""
    budget: BudgetFields | None = None
    """What is not named stays; null: there is none any more."""


class ShownLimits(Shown):
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    per_key_rpm: int | None
    per_key_tpm: int | None
    models: dict[str, dict[str, int | None]]
    budget: dict[str, JsonValue]


class Question(Taken):
    model: str = Field(min_length=1, max_length=300)
    endpoint: str | None = None
    """null: the one that unprefixed paths go to."""
    dialect: Dialect | None = None
    """That the client speaks."""
    key: str | None = None
    """Name of the auth key that the client has."""


class Way(Shown):
    provider: str
    credential: str | None
    model: str
    dialect: str | None
    """null: the client's, whichever it is."""
    base_url: str | None
    gateway: str | None = None
    """Of Cloudflare's, as `<account>/<gateway>`; null: it is asked itself."""
    form: str | None = None
    """Which of Cloudflare's APIs that gateway is asked by."""
    is_with_our_key: bool
    """false: with the client's own key, one that Cloudflare keeps, or none."""
    why: str | None = None
    """Why it is not asked: why it rests."""
    left_s: float | None = None


class Passed(Shown):
    provider: str
    credential: str | None
    why: str


class ShownStage(Shown):
    model: str
    able: list[Way]
    """In the order in which they would be asked now."""
    resting: list[Way]
    passed: list[Passed]
    refused: str | None


class Explained(Shown):
    endpoint: str
    strategy: str
    problem: str | None
    """Why nothing would be sent."""
    passed_to: str | None
    """Where all goes as it is, so that there is nothing to choose; null: it is chosen who is asked."""
    stages: list[ShownStage]


async def routing(asked: Asked) -> ShownRouting:
    config = asked.world.config
    one = config.routing
    return ShownRouting(
        strategy=one.strategy,
        fallback_enabled=bool(one.fallbacks),
        request_retry=config.retry.max_attempts,
        max_retry_interval=config.retry.cap_s,
        force_model_prefix=one.force_model_prefix,
        aliases={name: [member.model_dump() for member in pool] for name, pool in one.aliases.items()},
        fallbacks={name: list(models) for name, models in one.fallbacks.items()},
        context_fallbacks={name: list(models) for name, models in one.context_fallbacks.items()},
        hedge_after_ms=one.hedge_after_ms,
    )


_ELSEWHERE: Final = {"request_retry": ("retry", "max_attempts"), "max_retry_interval": ("retry", "cap_s")}
"""Fields that stand in another table than the others."""


async def edit_routing(asked: Asked) -> Changed:
    return await _edit(asked, "routing", asked.body.named())


async def limits(asked: Asked) -> ShownLimits:
    one = asked.world.config.rate_limit
    return ShownLimits(
        rpm=one.rpm,
        tpm=one.tpm,
        concurrency=one.concurrency,
        per_key_rpm=one.per_key_rpm,
        per_key_tpm=one.per_key_tpm,
        models={glob: limit.model_dump() for glob, limit in one.models.items()},
        budget=parsed(asked.world.config)["budget"],
    )


async def edit_limits(asked: Asked) -> Changed:
    told = asked.body.named()
    beside = {"budget": told.pop("budget")} if "budget" in told else {}
    if beside and beside["budget"] is None:
        beside["budget"] = dict.fromkeys(BudgetFields.model_fields)
    for glob, limits in (told.get("models") or {}).items():
        told["models"][glob] = {name: value for name, value in limits.items() if value is not None}
    return await _edit(asked, "rate_limit", told, beside)


async def _edit(
    asked: Asked, table: str, told: dict[str, Any], beside: dict[str, dict[str, Any]] | None = None
) -> Changed:
    """`told` by names of fields, `beside` by other tables."""
    by_table = dict(beside or {})
    for field, value in told.items():
        place, name = _ELSEWHERE.get(field, (table, field))
        by_table.setdefault(place, {})[name] = value

    def make(document: Any, config: Any) -> None:
        for name, fields in by_table.items():
            edit_table(document, name, fields)

    names = [*told, *(f"{name}.{field}" for name, fields in (beside or {}).items() for field in fields)]
    what = f"{table}: {', '.join(names) or 'nothing'}"
    return await change(asked, documented(make), what, message="The change is in force.")


async def explained(asked: Asked) -> Explained:
    """Who would be asked for a model now, in which order, and who not, and why. Nothing is sent."""
    world, body = asked.world, asked.body
    config = world.config
    name = body.endpoint or config.default_endpoint
    if name is None or name not in config.endpoints:
        raise LookupError(f"there is no endpoint {name or 'by default'}")
    keys = {one.name: one for one in config.auth_keys or ()}
    if body.key is not None and body.key not in keys:
        raise LookupError(f"there is no auth key called {body.key}")
    is_forward = config.endpoints[name].kind == "forward"
    target = world.redact(config.target_of(name)) if is_forward else None
    if target is not None and not config.endpoints[name].injects:
        return Explained(endpoint=name, strategy="none", problem=None, passed_to=target, stages=[])
    key, client = keys.get(body.key or ""), body.dialect or Dialect.OPENAI_CHAT
    found = await explain(body.model, name, key, config, world.health, world.store, client)
    return Explained(
        endpoint=found.endpoint,
        strategy=found.strategy,
        problem=found.problem or None,
        passed_to=None,
        stages=[_stage(one, body.dialect, target) for one in found.stages],
    )


def _stage(stage: Stage, client: Dialect | None, target: str | None) -> ShownStage:
    """`target` is where the endpoint sends all; None: each has an address of its own."""

    def way(choice: Any, rest: Any = None) -> Way:
        one = told(choice, stage.model)
        spoken = client if client in one.dialects else next(iter(one.dialects), client)
        return Way(
            provider=choice.provider,
            credential=choice.credential,
            model=one.model,
            dialect=spoken,
            base_url=one.base or target,
            gateway=choice.gateway,
            form=one.gateway.form if one.gateway is not None else None,
            is_with_our_key=one.is_with_key,
            why=None if rest is None else Why(rest.why).name.lower(),
            left_s=None if rest is None or rest.left_s is None else round(rest.left_s, 1),
        )

    return ShownStage(
        model=stage.model,
        able=[way(one) for one in stage.able],
        resting=[way(one, rest) for one, rest in stage.resting],
        passed=[
            Passed(provider=one.provider, credential=one.credential, why=one.why) for one in stage.passed
        ],
        refused=stage.refused or None,
    )


_AT: Final = f"{BASE}/routing"
_A, _V = Role.ADMIN, Role.VIEWER
ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", _AT, routing, _V, gives=ShownRouting),
    Route("PATCH", _AT, edit_routing, _A, Routing, Changed, CHANGE_ERRORS, headers=IF_MATCH),
    Route("POST", f"{_AT}/explain", explained, _V, Question, Explained, (404, 422)),
    Route("GET", f"{BASE}/limits", limits, _V, gives=ShownLimits),
    Route("PATCH", f"{BASE}/limits", edit_limits, _A, Limits, Changed, CHANGE_ERRORS, headers=IF_MATCH),
)
