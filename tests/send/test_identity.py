"""TLS towards upstreams: whom they are trusted by, what they are shown, and where a name leads by now."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from llmitm.clock import SystemClock
from llmitm.demo.provider import Provider
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, HeldBody, UpstreamRequest
from llmitm.identity import Identity, Unusable
from llmitm.send.alarm import Timeouts
from llmitm.send.proxies import AGE_S, UNUSED_S
from llmitm.send.upstream import Upstream
from support.authorities import Authority, served
from support.clocks import HandClock

QUICK = Timeouts(connect_s=2, first_byte_s=2, idle_s=2, exchange_s=10)


async def ask(sender: Upstream, url: str, identity: Identity | None = None) -> int:
    attempt = Attempt(
        exchange_id="1",
        number=1,
        endpoint="e",
        provider="p",
        url=url,
        dialect=Dialect.OPENAI_CHAT,
        identity=identity,
    )
    request = UpstreamRequest(method="POST", url=url, headers=(), body=HeldBody(b"{}"))
    reply = await sender.send(attempt, request)
    while reply.head.whole is None and await reply.read():
        pass
    await reply.close()
    return reply.head.status


@pytest.fixture
async def sender() -> AsyncIterator[Upstream]:
    made = Upstream(QUICK, SystemClock())
    yield made
    await made.close()


async def test_who_is_trusted_and_who_is_let_in(sender: Upstream, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    asking = served(ours.pair("server"), clients_of=ours.ca)
    plain = served(ours.pair("plain"))
    rows = (
        (plain, ours.ca, None, 200),
        (plain, others.ca, None, Failure.TLS),
        (plain, None, None, Failure.TLS),
        (asking, ours.ca, ours.pair("client"), 200),
        (asking, ours.ca, None, Failure.RESET),  # TLS 1.3: refused once the handshake is over
        (asking, ours.ca, others.pair("stranger"), Failure.RESET),
        (asking, None, ours.pair("client2"), Failure.TLS),
    )
    for tls, ca, client_cert, expected in rows:
        identity = Identity.of(ca, client_cert) if ca or client_cert else None
        provider = await Provider().start(ssl=tls)
        try:
            found: int | Failure = await ask(sender, provider.url + "/echo", identity)
        except UpstreamFailed as failed:
            found = failed.failure
        finally:
            await provider.close()
        assert found == expected, (ca, client_cert)
        assert provider.count == (expected == 200)


async def test_renewed_files_are_used_and_the_pool_of_the_old_ones_is_given_up(tmp_path: Path) -> None:
    clock = HandClock()
    sender = Upstream(QUICK, clock)
    trusted, identities = tmp_path / "trusted.pem", []
    for name in ("first", "second"):
        authority = Authority(tmp_path, name)
        trusted.write_bytes(authority.ca.read_bytes())
        identities.append(Identity.of(trusted, None))
        provider = await Provider().start(ssl=served(authority.pair(f"{name}-server")))
        assert await ask(sender, provider.url, identities[-1]) == 404
        await provider.close()
        clock.at_s += UNUSED_S + 1
    assert identities[0] != identities[1]
    sender.keep_to(QUICK)
    assert not sender._pools._routes
    await sender.close()


class Moving(AbstractResolver):
    """A name that leads to one address, and then to another."""

    def __init__(self) -> None:
        self.address = "127.0.0.1"

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self.address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None: ...


async def test_a_name_that_moves_is_followed_although_the_connection_is_never_idle() -> None:
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"{}")
                asked.append(writer.get_extra_info("sockname")[0])
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    url = f"http://moving.test:{server.sockets[0].getsockname()[1]}/"
    clock, resolver = HandClock(), Moving()
    sender = Upstream(QUICK, clock, resolver=resolver)
    assert await ask(sender, url) == 200
    resolver.address = "127.0.0.2"
    for way in sender._pools._routes.values():
        way.connector.clear_dns_cache()  # its own clock is none of ours
    for step_s in (AGE_S - 1, 2, 2):
        clock.at_s += step_s
        assert await ask(sender, url) == 200
    assert asked == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"]
    await sender.close()
    server.close()


def test_files_that_make_no_identity(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    pair = ours.pair("client")
    other = ours.pair("other")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    certificate = pair.read_text().partition("-----BEGIN PRIVATE")[0]
    mixed = tmp_path / "mixed.pem"
    mixed.write_text(
        certificate + "-----BEGIN PRIVATE" + other.read_text().partition("-----BEGIN PRIVATE")[2]
    )
    locked = tmp_path / "locked.pem"
    locked.write_text(
        certificate + "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    for ca, client_cert, why in (
        (tmp_path / "none.pem", None, "cannot be read: No such file"),
        (nothing, None, "holds no PEM certificate"),
        (None, nothing, "holds no such pair"),
        (None, ours.ca, "holds no such pair"),
        (None, mixed, "holds a key that does not belong to it"),
        (None, locked, "holds no such pair"),
    ):
        with pytest.raises(Unusable, match=why):
            Identity.of(ca, client_cert)
