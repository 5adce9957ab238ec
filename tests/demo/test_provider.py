"""The provider as a server: what it notes, how it reads, how it ends."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llmitm.demo.plain import pattern
from llmitm.demo.provider import ECHO_KEPT_BYTES, Provider
from support.provider import chat, request, wired

PATH = "/v1/chat/completions"


async def test_a_request_is_noted_as_it_stood_on_the_wire(provider: Provider) -> None:
    target = "/echo//a%2Fb/%c3%BC?x=1&x=%20&&y"
    sent = (
        f"PATCH {target} HTTP/1.1\r\nHoSt: Demo\r\nX-b: 1\r\nx-A:  2 \r\nX-B: 3\r\nx-latin: \xe4\r\n"
        "connection: close\r\nContent-Length: 3\r\n\r\nabc"
    )
    raw = sent.encode("utf-8").replace("x-latin: ä".encode(), b"x-latin: \xe4")
    answer = await wired(provider.port, raw)
    received = provider.requests[0]
    assert (received.method, received.target, received.body) == ("PATCH", target, b"abc")
    assert received.headers[1:5] == [(b"X-b", b"1"), (b"x-A", b"2"), (b"X-B", b"3"), (b"x-latin", b"\xe4")]
    assert received.headers[0] == (b"HoSt", b"Demo")
    assert received.header(b"x-b") == b"1"
    assert received.ended_s and received.read_s
    assert received.began_s <= received.read_s <= received.ended_s
    assert not received.closed_early
    told = json.loads(answer.body)
    assert told["method"] == "PATCH"
    assert told["target"] == target
    assert told["headers"][1:5] == [["X-b", "1"], ["x-A", "2"], ["X-B", "3"], ["x-latin", "ä"]]
    assert (told["body_bytes"], told["body_sha256"]) == (3, hashlib.sha256(b"abc").hexdigest())


async def test_a_large_upload_is_counted_and_hashed_but_not_held(provider: Provider) -> None:
    piece, count = os.urandom(100_000), 200

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        answer = (await http.post(f"{provider.url}/echo/upload", content=upload())).json()
    assert answer["body_bytes"] == count * len(piece)
    assert answer["body_sha256"] == hashlib.sha256(piece * count).hexdigest()
    received = provider.requests[0]
    assert received.body == piece[:ECHO_KEPT_BYTES]
    assert received.body_bytes == count * len(piece)


async def test_bytes_are_the_same_however_they_are_cut(provider: Provider) -> None:
    async with httpx.AsyncClient(base_url=provider.url, trust_env=False) as http:
        whole = await http.get("/bytes?n=300000&chunk=300000")
        cut = await http.get("/bytes?n=300000&chunk=777&chunked=1")
    assert whole.content == cut.content == pattern(0, 300_000)
    assert whole.headers["content-length"] == "300000"
    assert cut.headers["transfer-encoding"] == "chunked"
    assert pattern(1000, 50) == pattern(0, 2000)[1000:1050]


async def test_so_many_events_are_sent(provider: Provider) -> None:
    answer = await wired(provider.port, request("/sse?n=3"))
    assert answer.body.count(b'data: {"index":') == 3
    async with httpx.AsyncClient(base_url=provider.url, trust_env=False) as http:
        assert (await http.get("/sse?n=x")).status_code == 400


async def test_requests_of_one_connection_can_be_told(provider: Provider) -> None:
    async with httpx.AsyncClient(base_url=provider.url, trust_env=False) as http:
        await http.get("/v1/models")
        await http.post(PATH, json=chat(stream=True))
        await http.post("/echo", content=b"x")
    await wired(provider.port, request("/v1/models"))
    first, second, third, other = [received.peer for received in provider.requests]
    assert first == second == third != other


async def test_http_1_0_gets_no_chunks(provider: Provider) -> None:
    sent = request(PATH, chat(stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    answer = await wired(provider.port, sent)
    assert b"transfer-encoding" not in answer.head
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_head_request_gets_no_body(provider: Provider) -> None:
    answer = await wired(provider.port, request("/v1/models", method="HEAD"))
    assert answer.status == 200
    assert answer.body == b""
    assert b"content-length: " in answer.head


async def test_an_expectation_is_met_before_the_body(provider: Provider) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    "framed", [b"content-length: 100\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
async def test_a_client_that_leaves_during_its_upload_is_gone(provider: Provider, framed: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\n" + framed)
    received = await provider.received(1)
    writer.close()
    async with asyncio.timeout(5):
        await received.gone.wait()
    assert received.read_s is None


async def test_a_client_that_leaves_during_a_stream_is_gone(provider: Provider) -> None:
    """More than any buffer holds is sent to a client that does not read."""
    _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(request("/bytes?n=100000000&chunk=65536"))
    received = await provider.received(1)
    writer.transport.abort()
    async with asyncio.timeout(5):
        await received.gone.wait()
        await received.ended.wait()


async def test_only_the_latest_requests_are_kept() -> None:
    async with Provider(requests_kept=2) as provider:
        for path in ("/echo/1", "/echo/2", "/echo/3"):
            await wired(provider.port, request(path))
        assert [received.path for received in provider.requests] == ["/echo/2", "/echo/3"]
        assert provider.count == 3
        assert (await provider.received(3)).path == "/echo/3"
        assert (await provider.received(2)).path == "/echo/2"


async def test_it_can_come_back_on_its_port() -> None:
    """For tests of an upstream that dies and returns."""
    provider = Provider()
    await provider.start()
    port = provider.port
    await provider.close()
    await provider.close()
    with pytest.raises(ConnectionRefusedError):
        await wired(port, request("/v1/models"))
    await provider.start(port=port)
    assert (await wired(port, request("/v1/models"))).status == 200
    await provider.close()


async def test_closing_does_not_wait_for_idle_connections(provider: Provider) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(1):
        await provider.close()
    writer.close()


async def test_it_says_nothing_of_clients_that_speak_no_http(
    provider: Provider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    await wired(provider.port, b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await wired(provider.port, b"GET /echo HTTP/1.1\r\nbad header\r\n\r\n")
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["none", "reset-body:1", "truncate:1"])
async def test_it_speaks_tls(tmp_path: Path, fault: str) -> None:
    context, trusted = certificate(tmp_path)
    provider = await Provider().start(ssl=context)
    async with provider, httpx.AsyncClient(trust_env=False, verify=trusted) as http:
        assert provider.url.startswith("https://")
        headers = {"x-demo-fault": fault}
        try:
            answer = await http.post(f"{provider.url}{PATH}", json=chat(stream=True), headers=headers)
            assert fault == "none" and answer.text.endswith("data: [DONE]\n\n")
        except httpx.HTTPError:
            assert fault != "none"


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())
    return server, client


async def test_it_runs_as_a_process_until_it_is_told_to_end() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "llmitm.demo.provider", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            url = (await process.stdout.readline()).decode().strip()
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                assert (await http.post(PATH, json=chat())).status_code == 200
                headers = {"x-demo-fault": "status:503"}
                assert (await http.post(PATH, json=chat(), headers=headers)).status_code == 503
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, out, err) == (0, b"", b"")
