"""Live sessions over WebSocket through a running gateway, with the official clients and a plain one."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from llmitm.cli.certs import write_pair
from support.gateway import Gateway
from support.live import LiveProvider

CONFIG = """
retry = {{cooldowns = false, base_ms = 0}}
[server]
port = 0
default_endpoint = "all"
body_limit_mb = 1
shutdown_timeout_s = 1
[timeouts]
idle_s = 1
exchange_s = 1
[endpoints.all]
kind = "gateway"
[endpoints.cf]
kind = "cloudflare"
[endpoints.own]
target_base = "{url}/v1"
provider = "openai"
[endpoints.any]
target_base = "{url}/base"
[[gateways]]
account_id = "accountone"
gateway_id = "one"
token = "cf-token-secret"
[cloudflare]
base_url = "{url}"
[providers.openai]
base_url = "{url}/v1"
api_keys = ["sk-good-provider-key"]
models = ["gpt-*", {{id = "gpt-realtime", alias = "voice"}}]
[providers.tired]
base_url = "{url}/v1"
format = "openai"
api_keys = ["sk-unknown-key", "sk-limited-key", "sk-last-provider-key"]
models = ["tired-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-good-provider-key"]
[routing]
aliases = {{pool = [{{model = "voice"}}], live-pool = [{{model = "gemini-live-demo"}}]}}
[[auth_keys]]
name = "laptop"
key = "sk-proxy-laptop"
[[auth_keys]]
name = "narrow"
key = "sk-proxy-narrow"
allowed_models = ["gpt-realtime", "gemini-live-*"]
[[auth_keys]]
name = "single"
key = "sk-proxy-single"
concurrency = 1
"""
OPERATOR = """
import asyncio

def websocket_message(flow):
    message = flow.websocket.messages[-1]
    match message.text if message.is_text else None:
        case "edit me":
            message.text = "edited"
        case "drop me":
            message.drop()
        case "kill me":
            flow.kill()
        case "kill me later":
            asyncio.get_running_loop().call_later(0.05, flow.kill)
"""
"""An addon of the operator's own."""
LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
KEY = "sk-proxy-laptop"
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def provider() -> Iterator[LiveProvider]:
    with LiveProvider() as running:
        yield running


@pytest.fixture(scope="module")
def running(provider: LiveProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("live")
    script = folder / "operator.py"
    script.write_text(OPERATOR)
    options = ("-q", "-s", str(script))
    with Gateway(CONFIG.format(url=provider.url), folder, options=options) as one:
        yield one


@pytest.fixture
def gateway(running: Gateway, provider: LiveProvider) -> Gateway:
    provider.forget()
    return running


def trusting(gateway: Gateway) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=gateway.folder / "cert.pem")


def opened(gateway: Gateway, path: str, *protocols: str, **headers: str) -> connect:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return connect(
        gateway.url.replace("http", "ws") + path,
        subprotocols=protocols or None,  # type: ignore[arg-type]
        additional_headers=named,
        max_size=None,
        open_timeout=20,
        proxy=None,
        ssl=trusting(gateway) if gateway.url.startswith("https") else None,
    )


async def closed(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(connection.recv(), 10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def row(gateway: Gateway, path: str, timeout_s: float = 10.0) -> dict[str, Any]:
    """The latest exchange of the ledger on that path, once it is there."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        with closing(sqlite3.connect(gateway.folder / "llmitm.db")) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                "SELECT * FROM exchanges WHERE path = ? ORDER BY row DESC LIMIT 1", (path,)
            ).fetchone()
        if found is not None:
            return dict(found)
        time.sleep(0.05)
    raise AssertionError(f"no exchange of {path}:\n{gateway.output()}")


async def test_openais_client_speaks_and_its_tokens_are_taken_down(
    gateway: Gateway, provider: LiveProvider
) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/all/v1", api_key=KEY, max_retries=0) as client:
        async with client.realtime.connect(model="voice") as session:
            await session.session.update(session={"type": "realtime", "instructions": "be brief"})
            await session.response.create()
            kinds = []
            async for event in session:
                kinds.append(event.type)
                if event.type == "response.done":
                    break
            await session.response.create()
            async for event in session:
                if event.type == "response.done":
                    break
    assert kinds == ["session.created", "session.updated", "response.output_text.delta", "response.done"]
    (asked,) = provider.asked
    assert asked.path == "/v1/realtime?model=gpt-realtime"
    assert asked.headers["authorization"] == "Bearer sk-good-provider-key"
    found = row(gateway, "/all/v1/realtime")
    assert (found["input_tokens"], found["output_tokens"], found["audio_out_tokens"]) == (20, 40, 30)
    assert (found["status"], found["outcome"], found["code"]) == (101, "ok", "closed_1000")
    assert (found["model"], found["model_sent"]) == ("voice", "gpt-realtime")
    assert found["cost_usd_nano"] is not None


@pytest.mark.parametrize(
    ("path", "protocols", "headers", "arrives_at", "sent"),
    [
        # ours in a header, in the query, in a subprotocol: the provider's goes in the header
        (
            "/all/v1/realtime?model=gpt-a",
            (),
            BEARER,
            "/v1/realtime?model=gpt-a",
            {"authorization": "Bearer sk-good-provider-key"},
        ),
        (
            f"{LIVE}?key={KEY}",
            (),
            {},
            LIVE,
            {"x-goog-api-key": "AIza-good-provider-key", "authorization": None},
        ),
        (
            "/v1/realtime?intent=transcription&provider=openai",
            ("realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"),
            {},
            "/v1/realtime?intent=transcription",
            {
                "authorization": "Bearer sk-good-provider-key",
                "sec-websocket-protocol": "realtime, openai-beta.realtime-v1",
            },
        ),
        (
            "/own/v1/realtime?model=gpt-a&api_key=sk-of-the-client",
            ("realtime", "openai-insecure-api-key.sk-of-the-client"),
            {"x_llmitm_key": KEY},
            "/v1/realtime?model=gpt-a",
            {
                "authorization": "Bearer sk-good-provider-key",
                "sec-websocket-protocol": "realtime",
                "x-llmitm-key": None,
            },
        ),
        # the client's own key goes through, ours does not
        (
            "/any/thing?x=%2F",
            ("chat", f"llmitm-key.{KEY}", "openai-insecure-api-key.sk-of-the-client"),
            {"sec_websocket_extensions": "permessage-deflate"},
            "/base/thing?x=%2F",
            {
                "sec-websocket-protocol": "chat, openai-insecure-api-key.sk-of-the-client",
                "sec-websocket-extensions": None,
            },
        ),
        # Cloudflare has addresses of its own for sessions
        (
            "/cf/v1/realtime?model=openai/gpt-a",
            (),
            BEARER,
            "/v1/accountone/one/openai?model=gpt-a",
            {
                "authorization": "Bearer sk-good-provider-key",
                "cf-aig-authorization": "Bearer cf-token-secret",
            },
        ),
        (
            f"/cf{LIVE}?key={KEY}",
            (),
            {},
            "/v1/accountone/one/google?api_key=AIza-good-provider-key",
            {"cf-aig-authorization": "Bearer cf-token-secret", "x-goog-api-key": None},
        ),
        (
            "/cf/elevenlabs?voice=a",
            ("xi-api-key.of-the-client",),
            {"x_llmitm_key": KEY},
            "/v1/accountone/one/elevenlabs?voice=a",
            {"sec-websocket-protocol": "xi-api-key.of-the-client"},
        ),
    ],
)
async def test_where_a_handshake_goes_and_with_which_keys(
    gateway: Gateway,
    provider: LiveProvider,
    path: str,
    protocols: tuple[str, ...],
    headers: dict[str, str],
    arrives_at: str,
    sent: dict[str, str | None],
) -> None:
    async with opened(gateway, path, *protocols, **headers) as session:
        assert session.response.headers["x-llmitm-id"].startswith("llmitm-")
        await session.send("hello")
        while await session.recv() != "hello":
            pass
    (asked,) = provider.asked
    assert asked.path == arrives_at
    for name, value in sent.items():
        assert asked.headers.get(name) == value


@pytest.mark.parametrize(
    ("path", "protocols", "headers", "status", "code"),
    [
        ("/all/v1/realtime?model=gpt-a", (), {}, 401, "missing_key"),
        (
            "/all/v1/realtime?model=gpt-a",
            ("openai-insecure-api-key.sk-proxy-other",),
            {},
            401,
            "invalid_api_key",
        ),
        (
            "/all/v1/realtime?model=gpt-a",
            (f"openai-insecure-api-key.{KEY}",),
            {"api_key": "x"},
            400,
            "contradicting_keys",
        ),
        ("/any/thing", (), BEARER, 401, "missing_key"),
        ("/all/v1/chat/completions", (), BEARER, 404, "unknown_path"),
        ("/all/v1/realtime?model=nobodys", (), BEARER, 501, "not_supported"),
        (
            "/all/v1/realtime?model=gpt-a",
            ("openai-insecure-api-key.sk-proxy-narrow",),
            {},
            403,
            "model_not_allowed",
        ),
    ],
)
async def test_a_handshake_that_is_refused_opens_nothing(
    gateway: Gateway,
    provider: LiveProvider,
    path: str,
    protocols: tuple[str, ...],
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await opened(gateway, path, *protocols, **headers)
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body)["error"]["code"] == code
    assert not provider.asked


async def test_the_handshake_is_tried_with_the_next_credential(
    gateway: Gateway, provider: LiveProvider
) -> None:
    provider.refused = {"sk-unknown-key": 401, "sk-limited-key": 429}
    for _ in range(3):
        async with opened(gateway, "/all/v1/realtime?model=tired-a", **BEARER) as session:
            await session.recv()
    assert provider.asked[-1].headers["authorization"] == "Bearer sk-last-provider-key"
    provider.refused["sk-last-provider-key"] = 429
    with pytest.raises(InvalidStatus) as refused:
        await opened(gateway, "/all/v1/realtime?model=tired-a", **BEARER)
    assert refused.value.response.status_code == 429
    assert b"error" in refused.value.response.body


@pytest.mark.parametrize(
    ("said", "told", "outcome"),
    [
        ("close:1000:bye", (1000, "bye"), "ok"),
        ("close:4002:as asked", (4002, "as asked"), "upstream_error"),
        ("die", (1011, "The provider closed the connection."), "truncated"),
    ],
)
async def test_the_providers_end_is_told_to_the_client(
    gateway: Gateway, said: str, told: tuple[int, str], outcome: str
) -> None:
    path = f"/any/ends/{outcome}"
    async with opened(gateway, path, x_llmitm_key=KEY) as session:
        await session.send(said)
        assert await closed(session) == told
    found = row(gateway, path)
    assert (found["outcome"], found["code"]) == (outcome, f"closed_{told[0]}")


async def test_the_clients_end_is_told_to_the_provider(gateway: Gateway, provider: LiveProvider) -> None:
    async with opened(gateway, "/any/leaves", x_llmitm_key=KEY) as session:
        await session.close(4000, "enough")
    assert await asyncio.to_thread(provider.asked[-1].is_over.wait, 5)
    assert provider.asked[-1].close == (4000, "enough")
    assert row(gateway, "/any/leaves")["outcome"] == "ok"

    session = await opened(gateway, "/any/vanishes", x_llmitm_key=KEY)
    session.transport.abort()
    left_s = time.monotonic()
    assert await asyncio.to_thread(provider.asked[-1].is_over.wait, 5)
    assert provider.asked[-1].close == (1001, "")
    assert provider.asked[-1].closed_s - left_s < 1
    assert row(gateway, "/any/vanishes")["outcome"] == "client_gone"


async def test_messages_of_any_kind_pass_whole_and_a_quiet_session_stays_open(gateway: Gateway) -> None:
    async with opened(gateway, "/any/kinds", x_llmitm_key=KEY) as session:
        await (await session.ping(b"are you there"))
        for message in ("", "\u00e4 \U0001f600", b"", b"\x00\xff" * 400_000):
            await session.send(message)
            assert await session.recv() == message
        await session.send(["in ", "several ", "frames"])
        assert await session.recv() == "in several frames"
        with pytest.raises(TimeoutError):  # longer than [timeouts] idle_s and exchange_s
            await asyncio.wait_for(session.recv(), 1.5)
        await session.send("still here")
        assert await session.recv() == "still here"
        await session.send(b"x" * 1_048_577)  # more than [server] body_limit_mb
        assert (await closed(session))[0] == 1009


async def test_an_operators_addon_edits_drops_and_kills(gateway: Gateway, provider: LiveProvider) -> None:
    async with opened(gateway, "/any/operated", x_llmitm_key=KEY) as session:
        for message in ("edit me", "drop me", "as it is"):
            await session.send(message)
        assert [await session.recv() for _ in range(2)] == ["edited", "as it is"]
        await session.send("kill me")
        assert (await closed(session))[0] == 1011
    async with opened(gateway, "/any/killed", x_llmitm_key=KEY) as session:
        await session.send("kill me later")  # nothing more is said then
        assert await closed(session) == (1011, "The session was stopped by an operator.")
    provider.asked.pop()
    assert await asyncio.to_thread(provider.asked[-1].is_over.wait, 5)
    assert provider.asked[-1].messages[:2] == ["edited", "as it is"]
    assert row(gateway, "/any/operated")["outcome"] != "ok"


@pytest.mark.parametrize(
    ("path", "said", "is_allowed"),
    [
        (LIVE, '{"setup": {"model": "models/gemini-live-demo"}}', True),
        (LIVE, '{"setup": {"model": "models/gemini-other"}}', False),
        ("/all/v1/responses?provider=openai", '{"type": "response.create", "model": "gpt-realtime"}', True),
        ("/all/v1/responses?provider=openai", '{"type": "response.create", "model": "gpt-5"}', False),
        (
            "/all/v1/realtime?model=gpt-realtime",
            '{"type": "x", "session": {"audio": {"input": {"transcription": {"model": "gpt-x"}}}}}',
            False,
        ),
        ("/all/v1/realtime?model=gpt-realtime", "no JSON", False),
    ],
)
async def test_models_within_a_session_are_those_that_the_key_may_use(
    gateway: Gateway, provider: LiveProvider, path: str, said: str, is_allowed: bool
) -> None:
    async with opened(gateway, path, x_llmitm_key="sk-proxy-narrow") as session:
        await session.send(said)
        if is_allowed:
            assert await session.recv()
        else:
            assert (await closed(session))[0] == 1008
    if not is_allowed:
        assert await asyncio.to_thread(provider.asked[-1].is_over.wait, 5)
        assert provider.asked[-1].messages == []


UPDATE = '{"type": "session.update", "session": {"model":"MODEL", "instructions":"voice"}}'


@pytest.mark.parametrize(
    ("path", "said", "named", "spelled"),
    [
        ("/all/v1/realtime?model=voice", UPDATE, "voice", "gpt-realtime"),
        ("/all/v1/realtime?model=pool", UPDATE, "pool", "gpt-realtime"),
        ("/all/v1/realtime?model=gpt-realtime", UPDATE, "openai/voice", "gpt-realtime"),
        ("/all/v1/realtime?model=gpt-realtime", UPDATE, "gpt-unknown", "gpt-unknown"),
        ("/all/v1/responses?provider=openai", '{"model":"MODEL"}', "voice", "gpt-realtime"),
        (LIVE, '{"setup": {"model": "models/MODEL"}}', "live-pool", "gemini-live-demo"),
        ("/cf/v1/realtime?model=openai/gpt-realtime", UPDATE, "openai/gpt-realtime", "gpt-realtime"),
        ("/own/realtime?model=voice", UPDATE, "voice", "voice"),  # is passed on as it is
    ],
)
async def test_models_within_a_session_are_spelled_as_the_provider_does(
    gateway: Gateway, provider: LiveProvider, path: str, said: str, named: str, spelled: str
) -> None:
    """In one frame or in several, with a ping between them; all else of the message stays."""
    text = said.replace("MODEL", named)
    async with opened(gateway, path, x_llmitm_key=KEY) as session:
        await session.send(text)
        await session.send([text[:20], text[20:30], text[30:]])
        await session.send("x" * 900_000)
        await session.send(text)
        await (await session.ping())
        await session.send("over")
        while await session.recv() != "over":
            pass
    expected = said.replace("MODEL", spelled)
    assert provider.asked[-1].messages == [expected, expected, "x" * 900_000, expected, "over"]


RESPONSES = "/all/v1/responses"


@pytest.mark.parametrize(
    ("path", "refused_with", "status"),
    [
        (RESPONSES, None, 426),  # several providers: a session names its model only in messages
        (f"{RESPONSES}?provider=gemini", None, 400),
        (f"{RESPONSES}?provider=openai", 404, 426),
        (f"{RESPONSES}?provider=openai", 405, 426),
        (f"{RESPONSES}?provider=openai", 400, 400),
        ("/all/v1/realtime?provider=openai", 404, 404),
        ("/own/responses", 404, 404),
    ],
)
async def test_where_responses_has_no_sessions_its_clients_are_told_to_ask_over_http(
    gateway: Gateway, provider: LiveProvider, path: str, refused_with: int | None, status: int
) -> None:
    if refused_with is not None:
        provider.refused["sk-good-provider-key"] = refused_with
    with pytest.raises(InvalidStatus) as refused:
        await opened(gateway, path, x_llmitm_key=KEY)
    assert refused.value.response.status_code == status
    assert (b"POST" in refused.value.response.body) == (status == 426)
    assert bool(provider.asked) == (refused_with is not None)


async def test_a_session_holds_its_place_until_it_ends(gateway: Gateway) -> None:
    async with opened(gateway, "/any/one", x_llmitm_key="sk-proxy-single"):
        with pytest.raises(InvalidStatus) as refused:
            await opened(gateway, "/any/two", x_llmitm_key="sk-proxy-single")
        assert refused.value.response.status_code == 429
    async with asyncio.timeout(5):
        while True:
            try:
                await (await opened(gateway, "/any/three", x_llmitm_key="sk-proxy-single")).close()
                break
            except InvalidStatus:
                await asyncio.sleep(0.02)


def test_a_page_without_a_key_does_not_speak_with_ours(provider: LiveProvider, tmp_path: Path) -> None:
    provider.forget()
    config = (
        '[server]\nport = 0\nshutdown_timeout_s = 0.2\ncors_origins = ["https://mine.example"]\n'
        f'[providers.openai]\nbase_url = "{provider.url}/v1"\napi_keys = ["sk-good-provider-key"]\n'
    )

    async def told(gateway: Gateway) -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as refused:
            await opened(gateway, "/v1/realtime?model=gpt-a", origin="https://other.example")
        assert refused.value.response.status_code == 403
        assert not provider.asked
        session = await opened(gateway, "/v1/realtime?model=gpt-a", origin="https://mine.example")
        await session.recv()
        gateway.process.terminate()
        return await closed(session)

    # the session is open when the gateway is told to stop: it has its time, then it is closed
    with Gateway(config, tmp_path, host="serve") as gateway:
        assert asyncio.run(told(gateway)) == (1001, "The gateway is shutting down.")
    assert provider.asked[-1].is_over.wait(5)
    assert provider.asked[-1].close == (1001, "")


async def gemini_speaks(gateway: Gateway) -> None:
    genai, genai_types = pytest.importorskip("google.genai"), pytest.importorskip("google.genai.types")
    options = genai_types.HttpOptions(
        base_url=f"{gateway.url}/all", async_client_args={"ssl": trusting(gateway)}
    )
    client = genai.Client(api_key=KEY, http_options=options)
    config = genai_types.LiveConnectConfig(response_modalities=[genai_types.Modality.TEXT])
    async with client.aio.live.connect(model="gemini-live-demo", config=config) as session:
        said = genai_types.Content(role="user", parts=[genai_types.Part(text="sk-good-provider-key")])
        for _ in range(2):
            await session.send_client_content(turns=said, turn_complete=True)
            assert "".join([one.text or "" async for one in session.receive()]) == "aye"
    await client.aio.aclose()


def test_geminis_client_speaks_and_saved_flows_show_it_without_a_key(
    provider: LiveProvider, tmp_path: Path
) -> None:
    """That client opens sessions over TLS only."""
    provider.forget()
    flows = tmp_path / "flows"
    write_pair(tmp_path, ("127.0.0.1",), 1, force=False)
    tls = 'port = 0\ntls_cert = "cert.pem"\ntls_key = "key.pem"'
    config = CONFIG.format(url=provider.url).replace("port = 0", tls)

    async def speak(gateway: Gateway) -> None:
        protocols = ("realtime", f"openai-insecure-api-key.{KEY}")
        async with opened(gateway, "/all/v1/realtime?model=gpt-a", *protocols) as session:
            await session.recv()
        await gemini_speaks(gateway)

    with Gateway(config, tmp_path, options=("-q", "-w", str(flows))) as gateway:
        asyncio.run(speak(gateway))
        found = row(gateway, "/all" + LIVE.replace("v1beta", "v1"))
    assert (found["model"], found["input_tokens"], found["output_tokens"]) == ("gemini-live-demo", 22, 14)
    assert provider.asked[-1].headers["x-goog-api-key"] == "AIza-good-provider-key"
    assert "sk-good-provider-key" in str(provider.asked[-1].messages[1])
    for secret in (KEY, "sk-good-provider-key", "AIza-good-provider-key"):
        assert secret.encode() not in flows.read_bytes()
        assert secret not in gateway.output()
    with flows.open("rb") as file:
        saved = [one for one in FlowReader(file).stream() if isinstance(one, HTTPFlow)]
    legs = [one for one in saved if "Bidi" in one.request.path]
    assert {leg.metadata["llmitm.leg"] for leg in legs} == {"client", "upstream"}
    for leg in legs:
        assert leg.websocket is not None
        sides = [message.from_client for message in leg.websocket.messages]
        assert sides == [True, False] + [True, False, False] * 2
        assert b'"***"' in leg.websocket.messages[2].content
        assert (leg.websocket.close_code, leg.websocket.closed_by_client) == (1000, True)
    shown = [one.request.headers.get("sec-websocket-protocol") for one in saved]
    assert "realtime, openai-insecure-api-key.***" in shown
