"""Requests of an operator's own: through the data port, as a client's would be, with a ticket for a key.

So they take the whole way that clients' requests take, and are flows where flows are seen.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from llmitm.errors import Refused
from llmitm.tickets import HEADER, Ticket
from llmitm.world import World

CONNECT_S: Final = 5.0
_ADDED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would send of its own accord."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    method: str
    target: str
    """Path and query as they go on the wire."""
    headers: Sequence[tuple[str, str]]
    body: bytes


@asynccontextmanager
async def sent(world: World, sending: Sending, ticket: Ticket) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer as soon as its head has come, its body as it comes, still compressed.

    Raises:
        Refused: 503, the data port does not answer.
    """
    origin, context = _origin(world), _trust(world)
    with world.tickets.issued(ticket) as word:
        headers = [*sending.headers, (HEADER.decode(), word)]
        connector = aiohttp.TCPConnector(ssl=context, limit=1)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=_ADDED,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
        ) as session:
            try:
                response = await session.request(
                    sending.method,
                    URL(origin + sending.target, encoded=True),
                    headers=headers,
                    data=sending.body or None,
                    allow_redirects=False,
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = str(error) or type(error).__name__
                raise Refused(503, "gateway_silent", f"The data port does not answer: {why}.") from None
            async with response:
                yield response


def _origin(world: World) -> str:
    if world.port is None or world.is_draining:
        raise Refused(503, "gateway_closed", "The gateway takes no requests at the moment.")
    server = world.config.server
    host = _ANY.get(server.host, server.host)
    scheme = "https" if server.tls_cert is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{world.port}"


def _trust(world: World) -> ssl.SSLContext | bool:
    """Of TLS, the gateway's own certificate and no other, whatever name it has."""
    path = world.config.server.tls_cert
    if path is None:
        return True
    context = ssl.create_default_context(cafile=str(path))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
