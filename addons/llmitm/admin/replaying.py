"""Plays an exchange again: its request once more through the data port, as it was or with another body."""

from __future__ import annotations

import logging
from typing import Final

from pydantic import BaseModel, ConfigDict

from llmitm.admin import logs
from llmitm.admin.asking import ERRORS, ledger_errors
from llmitm.admin.inside import Sending
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Bodies, Exchange, Shown
from llmitm.errors import Refused
from llmitm.secret import MASK
from llmitm.tickets import Ticket

log = logging.getLogger("llmitm")

_NOT_AGAIN: Final = frozenset(
    {
        *(
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "upgrade",
            "te",
            "trailer",
        ),
        *("expect", "accept-encoding", "content-encoding", "idempotency-key", "x-forwarded-for"),
        *("proxy-connection", "proxy-authorization", "x-request-id", "traceparent", "tracestate"),
    }
)
"""Headers of one hop, of one try, or of a body as it was compressed."""


class ReplayAsked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    body: str | None = None
    """Instead of what was asked then; null: the same."""


class Replayed(Shown):
    id: str
    """Of the new exchange, which is under way."""
    replay_of: str
    notes: list[str]
    """What is not as it was."""


def again(first: Exchange, body: str | None) -> tuple[Sending, list[str]]:
    """The request once more, and what is not as it was.

    Raises:
        Refused: 409, it cannot be made.
    """
    kept = first.bodies
    if body is None:
        body = _whole(kept)
    notes, headers = list[str](), list[tuple[str, str]]()
    given = [("content-type", "application/json")] if kept is None or kept.request_headers is None else []
    for name, value in (kept.request_headers if kept is not None else None) or given:
        if MASK in value:
            notes.append(f"{name} is not sent: its value is not kept.")
        elif name.lower() not in _NOT_AGAIN and not name.startswith(":"):
            headers.append((name, value))
    target = (kept.target if kept is not None else None) or first.path
    path, mark, query = target.partition("?")
    parameters = [one for one in query.split("&") if MASK not in one]
    if kept is not None and MASK in body and body == kept.request:
        notes.append(f"Where {MASK} stands in the body, something was masked when it was kept.")
    target = path + (mark + "&".join(parameters) if any(parameters) else "")
    return Sending(method=first.method, target=target, headers=headers, body=body.encode()), notes


def _whole(kept: Bodies | None) -> str:
    if kept is None:
        raise Refused(
            409,
            "body_not_kept",
            "Its body is not kept: set bodies = true in [ledger], and what comes later can be played again.",
        )
    if kept.is_request_cut:
        raise Refused(409, "body_cut", "Only the beginning of its body is kept: give a whole one.")
    if kept.request is None:
        raise Refused(409, "body_no_text", "Its body is no text, and was not kept: give another one.")
    return kept.request


async def _replay(asked: Asked) -> Replayed:
    """Plays an exchange again, through the gateway, in the name of who asks. It costs what it costs."""
    exchange = asked.path["id"]
    with ledger_errors():
        first = await logs.one(exchange, asked.desk.watching, asked.world)
    if first is None:
        raise LookupError("There is no exchange of that id: it may be older than what the ledger keeps")
    if first.status == 101:
        raise Refused(409, "session", "A session over a WebSocket cannot be played again.")
    sending, notes = again(first, asked.body.body)
    ticket = Ticket(client=asked.desk.address(asked.http), replay_of=first.id)
    made = await asked.desk.replays.begin(asked.world, sending, ticket)
    log.info("%s plays %s again as %s", asked.by, first.id, made)
    return Replayed(id=made, replay_of=first.id, notes=notes)


ROUTES: Final = (
    Route(
        "POST",
        f"{BASE}/logs/{{id}}/replay",
        _replay,
        Role.OPERATOR,
        takes=ReplayAsked,
        gives=Replayed,
        errors=(*ERRORS, 404, 429),
        status=202,
    ),
)
