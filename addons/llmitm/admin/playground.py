"""Requests from the playground's page: through the whole journey, in the name of who is logged in.

No key of a client is needed or sent. What comes back is data, whatever it says it is: an answer of a
provider must not become a page or a script of the dashboard's own address.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import aclosing
from typing import Final

from aiohttp import web

from llmitm import journey
from llmitm.admin import guard
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.errors import UpstreamFailed
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched

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
    request = ClientRequest(
        id=f"playground-{secrets.token_hex(8)}",
        method=http.method,
        target=(rest or "/").encode(),
        headers=tuple(
            (name.encode(), value.encode("utf-8", "surrogateescape"))
            for name, value in http.headers.items()
            if _is_passed(name, _PASSED, _PASSED_BEGIN)
        ),
        body=HeldBody(await http.read()),
        client=asked.desk.address(http),
        is_operators=True,
    )
    log.info("%s tries %s %s as %s", asked.by, request.method, asked.path["path"], request.id)
    response = web.StreamResponse()
    async with aclosing(journey.carry(request, asked.world, Unwatched())) as steps:
        try:
            async for step in steps:
                if isinstance(step, ResponseHead):
                    _take(response, step, request.id)
                    await response.prepare(http)
                    step = step.whole or b""
                if step:
                    await response.write(step)
        except UpstreamFailed:
            if http.transport is not None:
                http.transport.abort()  # cut, so that nobody takes it for whole
            return response
        except ConnectionError:  # nobody reads it any more
            return response
    await response.write_eof()
    return response


def _take(response: web.StreamResponse, head: ResponseHead, number: str) -> None:
    response.set_status(head.status)
    for name, value in head.headers:
        text = name.decode("latin-1")
        if _is_passed(text, _GIVEN, _GIVEN_BEGIN):
            response.headers[text] = value.decode("latin-1")
    response.headers["X-Request-Id"] = number  # ours: the page finds the exchange by it
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"


ROUTES: Final = tuple(
    Route(method, f"{PATH}/{{path:.*}}", send, Role.OPERATOR, is_free=True) for method in ("GET", "POST")
)
