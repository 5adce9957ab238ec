"""How exchanges are shown: one a line, and one whole, with its time line and its bill worked out. Pure.

Rows are those of the ledger, whether they stand there already or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from llmitm.exchange import Noted, Usage
from llmitm.record.cost import Cost
from llmitm.record.entry import Entry, Price
from llmitm.record.ledger.columns import ATTEMPTS, BODIES, EXCHANGES, LEGS, USAGE
from llmitm.record.ledger.reading import Named
from llmitm.record.ledger.rows import Writing, held_of, rfc3339
from llmitm.record.rates import CALLS
from llmitm.route.verdict import VERDICTS, Ending

NANO: Final = 1_000_000_000
_TOKENS: Final = tuple(one.name for one in USAGE)


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Item(Shown):
    """One exchange in a list. What is not known is null."""

    id: str
    request_id: str
    """The same, as other systems call it; so are `timestamp`, `latency_ms` and `cost`."""
    at: str
    """When it began."""
    timestamp: str
    state: str
    """`running` or `done`."""
    method: str
    path: str
    status: int | None
    outcome: str | None
    """null while it runs."""
    total_ms: float | None
    """So far, while it runs."""
    latency_ms: float | None
    first_byte_ms: float | None
    own_ms: float | None
    """What the gateway added."""
    endpoint: str | None
    auth_key: str | None
    client: str
    dialect: str | None
    upstream_dialect: str | None
    provider: str | None
    credential: str | None
    gateway: str | None
    model: str | None
    """As it was asked for, else as it was sent or answered."""
    model_sent: str | None
    model_answered: str | None
    is_stream: bool | None
    attempts: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost: float | None
    """US dollars, roughly: `cost_usd_nano` is exact."""
    cost_usd: str | None
    cost_usd_nano: int | None
    is_cost_whole: bool | None
    code: str | None
    error: str | None
    ending: str | None
    request_bytes: int
    response_bytes: int
    warnings: list[str]
    replay_of: str | None
    """Id of the exchange that was played again; null: it is no replay."""


class Moment(Shown):
    """A point of the time line."""

    at_ms: float
    """Since the exchange began."""
    what: str
    """`accepted`, `body_read`, `admitted` (limits and budgets let it in), `attempt_begun`, `attempt_answered`
    (its head came), `attempt_ended`, `first_byte` (to the client), `ended`."""
    attempt: int | None
    text: str


class BillLine(Shown):
    kind: str
    count: int
    unit: str
    """`token` or `call`."""
    price_usd: str
    """A million tokens, or a thousand calls."""
    price_per: int
    cost_usd_nano: int
    cost_usd: str


class Bill(Shown):
    """How the cost of an attempt comes about."""

    lines: list[BillLine]
    total_usd_nano: int | None
    """What these lines add up to, at the prices of now for the time of the attempt."""
    price_version: str
    price_model: str | None
    """As the price list calls it."""
    lacks: list[str]
    why_unknown: str | None
    is_as_recorded: bool
    """False: prices were changed since; the recorded amount stands."""


class Sent(Shown):
    """What went to the provider, without the gateway's credentials."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: str | None
    """null: it is no text."""
    truncated: bool


class Said(Shown):
    """What the provider answered, as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: str | None
    """Events of a stream as they stood in it; null: it is no text."""
    truncated: bool


class Tried(Shown):
    """One attempt."""

    number: int
    at: str
    begun_ms: float
    """Since the exchange began."""
    provider: str
    credential: str | None
    gateway: str | None
    host: str | None
    dialect: str | None
    model: str | None
    model_answered: str | None
    upstream_id: str | None
    status: int | None
    ending: str | None
    verdict: str | None
    """What was done about it: `delivered`, or as in the table of verdicts; null while it goes on."""
    rests: str | None
    """What was let rest for it: `credential`, `model`, or null."""
    reason: str
    error: str | None
    first_byte_ms: float | None
    total_ms: float | None
    request_bytes: int | None
    response_bytes: int | None
    tokens: dict[str, int | bool | str | None]
    cost_usd_nano: int | None
    cost_usd: str | None
    is_cost_whole: bool | None
    price_version: str | None
    bill: Bill | None
    """null: no tokens were told."""
    warnings: list[str]
    sent: Sent | None
    """null: bodies are not kept (`[ledger] bodies`), or nothing was sent."""
    said: Said | None
    """null: as `sent`, or no answer came."""
    mitmweb_url: str | None = None
    """Where mitmweb shows the flow of this attempt; null: nowhere."""


class Bodies(Shown):
    request: str | None
    """null: it is no text."""
    is_request_cut: bool | None
    response: str | None
    is_response_cut: bool | None
    target: str | None
    """Path and query of the request; null: not kept by the version that wrote it, nor are the two below."""
    request_headers: list[tuple[str, str]] | None
    response_headers: list[tuple[str, str]] | None


class Exchange(Item):
    """One exchange whole."""

    ended_at: str | None
    tokens: dict[str, int | bool | str | None]
    attempt_list: list[Tried]
    timeline: list[Moment]
    bodies: Bodies | None
    """null: bodies are not kept (`[ledger] bodies`)."""
    mitmweb_url: str | None = None
    """Where mitmweb shows the client's flow; null: see `mitmweb_hint`."""
    mitmweb_hint: str | None = None
    """Why there is no such place, and what would make one; null: there is one."""


REASONS: Final[Mapping[str, str]] = {
    "answered": "It answered.",
    "truncated": "Its answer broke off.",
    "dropped": "Nobody waited for it any more.",
    Ending.CLIENT: "The request itself was refused: nobody else would answer it better.",
    Ending.CONTEXT: "The prompt is longer than the model can read.",
    Ending.CONFLICT: "The provider asked to try again.",
    Ending.AUTH: "The provider does not know the key: the credential is out of service until it is revived.",
    Ending.PERMISSION: "The key may not do this with this model.",
    Ending.BILLING: "The account's money or quota is spent.",
    Ending.RATE_LIMIT: "The provider's rate limit was hit.",
    Ending.OVERLOADED: "The provider is overloaded.",
    Ending.SERVER: "The provider failed.",
    Ending.NETWORK: "The connection to the provider failed.",
    Ending.TIMEOUT: "The provider took too long.",
    Ending.LATE: "The exchange had taken as long as it may.",
    Ending.KILLED: "An operator stopped it.",
    Ending.SKIPPED: "A rule of the operator's passed it over: nothing was sent.",
}


def usd(usd_nano: int | None) -> str | None:
    """Exact, in US dollars."""
    if usd_nano is None:
        return None
    sign, size = "-" * (usd_nano < 0), abs(usd_nano)
    whole = f"{sign}{size // NANO}.{size % NANO:09d}"
    return whole.rstrip("0").rstrip(".")


def named(writing: Writing, entry: Entry) -> Named:
    """The row of an exchange as the ledger will have it; so far, while it runs."""
    return {"row": 0, **dict(zip(EXCHANGES.names, writing.exchange(entry), strict=True))}


def named_attempts(writing: Writing, entry: Entry) -> list[Named]:
    return [
        dict(zip(ATTEMPTS.names, writing.attempt(entry, one), strict=True)) for one in tuple(entry.attempts)
    ]


def named_legs(writing: Writing, entry: Entry) -> list[Named]:
    """So far; empty where they are not kept."""
    rows = writing.legs(entry.id, dict(entry.legs or {}))
    return [dict(zip(LEGS.names, one, strict=True)) for one in rows]


def named_bodies(writing: Writing, entry: Entry) -> Named | None:
    """So far; None: they are not kept."""
    held = held_of(entry)
    return None if held is None else dict(zip(BODIES.names, writing.bodies(entry.id, held), strict=True))


def item(row: Mapping[str, Any]) -> Item:
    return Item.model_construct(**fields(row))


def running(so_far_ms: float) -> dict[str, Any]:
    """What is different of an exchange that is not over."""
    so_far_ms = round(so_far_ms, 1)
    return {
        "state": "running",
        "outcome": None,
        "total_ms": so_far_ms,
        "latency_ms": so_far_ms,
        "own_ms": None,
    }


_PLAIN: Final = tuple(
    name
    for name in Item.model_fields
    if name not in {"timestamp", "request_id", "state", "latency_ms", "model", "cost", "cost_usd", "warnings"}
)


def fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an `Item`, for who needs them quickly."""
    cost = row["cost_usd_nano"]
    return {
        **{name: row[name] for name in _PLAIN},
        "timestamp": row["at"],
        "request_id": row["id"],
        "state": "done",
        "latency_ms": row["total_ms"],
        "model": row["model"] or row["model_sent"] or row["model_answered"],
        "cost": None if cost is None else cost / NANO,
        "cost_usd": usd(cost),
        "warnings": _warnings(row),
    }


def exchange(
    row: Mapping[str, Any],
    attempts: Sequence[Mapping[str, Any]],
    bodies: Mapping[str, Any] | None,
    legs: Sequence[Mapping[str, Any]],
    price: Price,
    so_far_ms: float | None = None,
) -> Exchange:
    """`so_far_ms` where it is not over yet."""
    by_number = {one["number"]: one for one in legs}
    tries = [_tried(one, row, by_number.get(one["number"]), price) for one in attempts]
    changed = {} if so_far_ms is None else running(so_far_ms)
    return Exchange.model_construct(
        **{**fields(row), **changed},
        ended_at=row["ended_at"] if so_far_ms is None else None,
        tokens={name: _token(row, name) for name in _TOKENS},
        attempt_list=tries,
        timeline=_timeline(row, tries, is_over=so_far_ms is None),
        bodies=None if bodies is None else _bodies(bodies),
    )


NO_MITMWEB: Final = "Run the gateway as mitmweb -s addons/gateway.py to see, pause and edit its flows."
NO_PORT: Final = "mitmweb does not tell which port it took: start it with --web-port and a number."
GONE: Final = "mitmweb does not hold its flow any more."


def with_flows(found: Exchange, addresses: Mapping[int | None, str], hint: str) -> Exchange:
    """With links to its flows. `addresses` by number of the attempt, None being the client's; `hint`: why
    that is not there."""
    tries = [one.model_copy(update={"mitmweb_url": addresses.get(one.number)}) for one in found.attempt_list]
    url = addresses.get(None)
    linked = {"mitmweb_url": url, "mitmweb_hint": hint if url is None else None, "attempt_list": tries}
    return found.model_copy(update=linked)


def _bodies(row: Mapping[str, Any]) -> Bodies:
    fields = {name: row[name] for name in Bodies.model_fields}
    heads = {name: _headers(row[name]) for name in ("request_headers", "response_headers")}
    return Bodies.model_construct(**(fields | heads))


def _headers(text: str | None) -> list[tuple[str, str]] | None:
    return None if text is None else [(name, value) for name, value in orjson.loads(text)]


def _sent(leg: Mapping[str, Any]) -> Sent:
    return Sent.model_construct(
        method=leg["method"],
        url=leg["url"],
        headers=_headers(leg["request_headers"]),
        body=leg["request"],
        truncated=bool(leg["is_request_cut"]),
    )


def _said(leg: Mapping[str, Any]) -> Said | None:
    if leg["status"] is None:
        return None
    return Said.model_construct(
        status=leg["status"],
        headers=_headers(leg["response_headers"]) or [],
        body=leg["response"],
        truncated=bool(leg["is_response_cut"]),
    )


def _next(ending: str | None) -> str | None:
    """What the exchange did after it; None: it goes on, or another one was quicker."""
    if ending is None or ending == "dropped":
        return None
    verdict = VERDICTS.get(ending)  # type: ignore[call-overload]
    return "delivered" if verdict is None else str(verdict.next)


def _tried(
    one: Mapping[str, Any], row: Mapping[str, Any], leg: Mapping[str, Any] | None, price: Price
) -> Tried:
    ending = one["ending"]
    verdict = VERDICTS.get(ending)
    rests = None if verdict is None or verdict.rests == "nothing" else verdict.rests
    plain = {name: one[name] for name in Tried.model_fields if name in one and name != "warnings"}
    return Tried.model_construct(
        **plain,
        begun_ms=_apart_ms(row["at"], one["at"]),
        verdict=_next(ending),
        rests=rests,
        reason=REASONS.get(ending, ending) if ending else "It goes on.",
        tokens={name: _token(one, name) for name in _TOKENS},
        cost_usd=usd(one["cost_usd_nano"]),
        bill=_bill(one, price),
        warnings=_warnings(one),
        sent=None if leg is None else _sent(leg),
        said=None if leg is None else _said(leg),
    )


def _timeline(row: Mapping[str, Any], tries: Sequence[Tried], *, is_over: bool) -> list[Moment]:
    found = [_moment(0.0, "accepted", None, f"{row['method']} {row['path']}")]
    if row["body_ms"] is not None:
        found.append(_moment(row["body_ms"], "body_read", None, f"{row['request_bytes']} bytes of body"))
    if row["admitted_ms"] is not None:
        found.append(_moment(row["admitted_ms"], "admitted", None, "Limits and budgets let it in."))
    for one in tries:
        who = "/".join(filter(None, (one.provider, one.credential or one.gateway)))
        text = f"{who}, {one.model}" if one.model else who
        found.append(_moment(one.begun_ms, "attempt_begun", one.number, text))
        if one.first_byte_ms is not None:
            at_ms = one.begun_ms + one.first_byte_ms
            found.append(_moment(at_ms, "attempt_answered", one.number, f"status {one.status or '-'}"))
        if one.total_ms is not None:
            found.append(_moment(one.begun_ms + one.total_ms, "attempt_ended", one.number, one.reason))
    if row["first_byte_ms"] is not None:
        found.append(_moment(row["first_byte_ms"], "first_byte", None, "The first piece for the client."))
    found.sort(key=lambda one: one.at_ms)
    if is_over and row["total_ms"] is not None:
        found.append(_moment(row["total_ms"], "ended", None, str(row["outcome"])))
    return found


def _moment(at_ms: float, what: str, attempt: int | None, text: str) -> Moment:
    return Moment.model_construct(at_ms=round(at_ms, 3), what=what, attempt=attempt, text=text)


def _apart_ms(since: str, until: str) -> float:
    apart = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return max(0.0, apart.total_seconds() * 1000)


def _token(row: Mapping[str, Any], name: str) -> Any:
    return row[name]


def _warnings(row: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in orjson.loads(row["warnings"])] if row["warnings"] else []


def _bill(one: Mapping[str, Any], price: Price) -> Bill | None:
    usage = usage_of(one)
    if usage is None:
        return None
    cost = price(
        Noted(
            number=one["number"],
            provider=one["provider"],
            credential=one["credential"],
            gateway=one["gateway"],
            model=one["model"],
            host=one["host"],
            at_s=datetime.fromisoformat(one["at"]).timestamp(),
            answered=one["model_answered"],
            usage=usage,
        )
    )
    return None if cost is None else _worked_out(cost, one)


def _worked_out(cost: Cost, one: Mapping[str, Any]) -> Bill:
    lines = [
        BillLine.model_construct(
            kind=part.kind,
            count=part.count,
            unit="call" if part.kind in CALLS else "token",
            price_usd=f"{part.price:f}",
            price_per=1_000 if part.kind in CALLS else 1_000_000,
            cost_usd_nano=part.usd_nano,
            cost_usd=usd(part.usd_nano),
        )
        for part in cost.parts
    ]
    return Bill.model_construct(
        lines=lines,
        total_usd_nano=cost.usd_nano,
        price_version=cost.version,
        price_model=cost.model,
        lacks=list(cost.lacks),
        why_unknown=cost.why,
        is_as_recorded=(cost.usd_nano, cost.version) == (one["cost_usd_nano"], one["price_version"]),
    )


def usage_of(row: Mapping[str, Any]) -> Usage | None:
    """None: nothing was told."""
    if row["is_final"] is None:
        return None
    known = {name: row[name] for name in _TOKENS if row[name] is not None}
    tools = orjson.loads(known.pop("server_tools")) if "server_tools" in known else {}
    known["is_final"] = bool(known["is_final"])
    return Usage(**known, server_tools=tuple(tools.items()))


def under_way(writing: Writing, entry: Entry, tick_s: float) -> dict[str, Any]:
    """The fields of an `Item`, of an exchange that is not over."""
    return {**fields(named(writing, entry)), **running((tick_s - entry.started_s) * 1000)}


__all__ = [
    "Exchange",
    "Item",
    "exchange",
    "item",
    "named",
    "named_attempts",
    "named_bodies",
    "named_legs",
    "rfc3339",
    "under_way",
    "usd",
]
