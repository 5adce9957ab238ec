"""Requests from the playground's page: through the data port, in the name of who is logged in.

No key of a client is needed or sent. What comes back is data, whatever it says it is: an answer of a
provider must not become a page or a script of the dashboard's own address.
"""

from __future__ import annotations

import logging
from typing import Final

import aiohttp
from aiohttp import web

from llmitm.admin import guard
from llmitm.admin.inside import Sending, sent
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.tickets import Ticket

log = logging.getLogger("llmitm")

PATH: Final = f"{BASE}/playground"
_PASSED: Final = ("accept", "content-type", "openai-beta", "user-agent")
_PASSED_BEGIN: Final = ("anthropic-", "x-llmitm-strict", "x-debug")
_GIVEN: Final = ("content-type", "retry-after", "request-id")
_GIVEN_BEGIN: Final = ("x-request-id", "x-llmitm-", "x-debug-", "x-ratelimit-", "anthropic-")
_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"


def _is_passed(name: str, whole: tuple[str, ...], begin: tuple[str, ...]) -> bool:
    return name.lower() in whole or name.lower().startswith(begin)


async def send(asked: Asked) -> web.StreamResponse:
    """Sends a request as a client would, without a key: any path of the data port, streamed or not."""
    http = asked.http
    assert asked.who is not None
    if asked.who.is_by_cookie:
        guard.check_intent(http.headers)  # of reading ones, too: no page of ours has this as a script
    _, _, rest = http.raw_path.partition("/playground")
    headers = [
        (name, value) for name, value in http.headers.items() if _is_passed(name, _PASSED, _PASSED_BEGIN)
    ]
    sending = Sending(method=http.method, target=rest or "/", headers=headers, body=await http.read())
    ticket = Ticket(client=asked.desk.address(http))
    response = web.StreamResponse()
    async with sent(asked.world, sending, ticket) as answer:
        log.info("%s tries %s %s as %s", asked.by, http.method, asked.path["path"], ticket.exchange_id)
        _take(response, answer, ticket.exchange_id)
        await response.prepare(http)
        try:
            async for piece in answer.content.iter_any():
                await response.write(piece)
        except aiohttp.ClientError:
            if http.transport is not None:
                http.transport.abort()  # cut, so that nobody takes it for whole
            return response
        except ConnectionError:  # nobody reads it any more
            return response
    await response.write_eof()
    return response


def _take(response: web.StreamResponse, answer: aiohttp.ClientResponse, exchange_id: str | None) -> None:
    response.set_status(answer.status)
    for name, value in answer.headers.items():
        if _is_passed(name, _GIVEN, _GIVEN_BEGIN):
            response.headers[name] = value
    if exchange_id is not None:
        response.headers["X-Request-Id"] = exchange_id  # ours: the page finds the exchange by it
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"


ROUTES: Final = tuple(
    Route(method, f"{PATH}/{{path:.*}}", send, Role.OPERATOR, is_free=True) for method in ("GET", "POST")
)
