"""What a collector's answers mean, over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmitm.cli.certs import write_pair
from llmitm.config.telemetry import Telemetry
from llmitm.record.traces.collector import HttpCollector, Posted
from llmitm.secret import Secret
from support.collecting import Collected


@pytest.fixture
def collected() -> Iterator[Collected]:
    with Collected() as running:
        yield running


async def post(url: str, settings: Telemetry | None = None, tls: ssl.SSLContext | None = None) -> Posted:
    collector = HttpCollector(settings or Telemetry(timeout_s=5), tls)
    try:
        return await collector.post(url, b"spans " * 100)
    finally:
        await collector.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Posted(True)),
        (429, Posted(False, True, "status 429")),
        (503, Posted(False, True, "status 503")),
        (504, Posted(False, True, "status 504")),
        (302, Posted(False, False, "status 302")),
        (400, Posted(False, False, "status 400")),
        (401, Posted(False, False, "status 401")),
        (500, Posted(False, False, "status 500")),
    ],
)
async def test_statuses(collected: Collected, status: int, expected: Posted) -> None:
    collected.statuses = [status]
    assert await post(f"{collected.url}/v1/traces") == expected


async def test_what_is_sent(collected: Collected) -> None:
    settings = Telemetry(compression="gzip", headers={"X-Token": Secret("the token")})
    assert (await post(f"{collected.url}/own/path", settings)).is_taken
    ((path, headers, body),) = collected.posts
    assert (path, headers["x-token"], body) == ("/own/path", "the token", b"spans " * 100)
    assert (headers["content-type"], headers["content-encoding"]) == ("application/x-protobuf", "gzip")
    assert int(headers["content-length"]) < len(body)


async def test_who_is_not_there_may_come_back() -> None:
    posted = await post("http://127.0.0.1:9/v1/traces")
    assert (posted.is_taken, posted.may_come_again) == (False, True) and "127.0.0.1:9" in posted.why


async def test_who_says_nothing_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        posted = await post(url, Telemetry(timeout_s=0.05))
    assert posted == Posted(False, True, "no answer within 0.05 s")


async def test_a_certificate_that_only_the_configuration_knows(tmp_path: Path) -> None:
    write_pair(tmp_path, ("127.0.0.1",), 5, force=False)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Collected(tls=serving) as collected:
        strange = await post(f"{collected.url}/v1/traces")
        assert not strange.is_taken and "certificate" in strange.why.lower()
        knowing = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        assert (await post(f"{collected.url}/v1/traces", tls=knowing)).is_taken
