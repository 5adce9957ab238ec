"""The recipes for nginx and HAProxy before two running gateways, with Debian's own programs."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from llmitm.demo.received import Received
from support.backstage import Backstage
from support.balancers import BINARIES, Balancer, absent
from support.gateway import Gateway
from support.live import LiveProvider

CONFIG = """
[server]
port = 0
default_endpoint = "all"
trusted_proxies = ["127.0.0.1/32"]
shutdown_timeout_s = 20
[endpoints.all]
kind = "gateway"
[endpoints.live]
target_base = "{live}/v1"
[providers.quick]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-{name}"]
models = ["quick"]
[providers.silent]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-{name}"]
models = ["silent"]
headers = {{x-demo-fault = "stall-stream:3"}}
[providers.paced]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-{name}"]
models = ["paced"]
headers = {{x-demo-fault = "pace:100"}}
"""
WORDS = "one two three four five six seven eight nine ten"


class Fleet:
    """Two gateways, what is behind them, and further ones for who stops them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.provider = stack.enter_context(Backstage())
        self.live = stack.enter_context(LiveProvider())
        self.one, self.other = self.gateway("one"), self.gateway("other")

    def gateway(self, name: str) -> Gateway:
        folder = self._folder / name
        folder.mkdir()
        config = CONFIG.format(url=self.provider.url, live=self.live.url, name=name)
        return self._stack.enter_context(Gateway(config, folder, host="serve"))

    def balancer(self, kind: str, *gateways: Gateway) -> Balancer:
        folder = self._folder / f"{kind}-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        return self._stack.enter_context(Balancer(kind, folder, [one.port for one in gateways]))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path_factory.mktemp("fleet"), stack)


def _present(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.skipif(BINARIES[name] is None, reason=absent(name)))


@pytest.fixture(scope="module", params=[_present(name) for name in BINARIES])
def balancer(request: pytest.FixtureRequest, fleet: Fleet) -> Balancer:
    return fleet.balancer(request.param, fleet.one, fleet.other)


@pytest.fixture(autouse=True)
def _forget(fleet: Fleet) -> None:
    fleet.provider.forget()


@contextmanager
def asked(
    port: int, model: str, *, said: str = WORDS, source: str = "127.0.0.1", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    """The answer's head is there, its body not yet. A stream, unless the model is `quick`."""
    messages = [{"role": "user", "content": said}]
    body = json.dumps({"model": model, "messages": messages, "stream": model != "quick"})
    kind = {"content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", body, kind | headers)
        with connection.getresponse() as answer:
            yield answer


def clients_of(gateway: Gateway, address: str) -> list[str]:
    """The clients with this address in the gateway's ledger, which it makes with its first rows."""
    try:
        with closing(sqlite3.connect(f"file:{gateway.folder / 'llmitm.db'}?mode=ro", uri=True)) as ledger:
            rows = ledger.execute("SELECT client FROM exchanges WHERE client LIKE ?", (f"{address}%",))
            return [client for (client,) in rows]
    except sqlite3.OperationalError:
        return []


def status_of(port: int) -> int:
    with asked(port, "quick") as answer:
        return answer.status


def who(received: Received) -> str:
    """The gateway that sent it."""
    return received.text(b"authorization").removeprefix("Bearer sk-")


def test_the_program_accepts_its_recipe(balancer: Balancer) -> None:
    assert "warn" not in balancer.checked().lower()


def test_a_stream_arrives_piece_by_piece_and_who_leaves_cancels_it(fleet: Fleet, balancer: Balancer) -> None:
    """The provider says three events and nothing more: they are there all the same."""
    with asked(balancer.port, "silent") as answer:
        assert answer.status == 200
        seen = b""
        while seen.count(b"\n\n") < 3:
            seen += answer.read1(65_536)
        received = fleet.provider.received()
        assert not received.ended.is_set()
    fleet.provider.wait_gone(received, timeout_s=10)


def test_who_leaves_before_the_answer_cancels_it_too(fleet: Fleet, balancer: Balancer) -> None:
    with socket.create_connection(("127.0.0.1", balancer.port)) as client:
        body = json.dumps({"model": "silent", "messages": [{"role": "user", "content": "hello"}]}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        received = fleet.provider.received()
    fleet.provider.wait_gone(received, timeout_s=10)


def test_a_websocket_session_passes(fleet: Fleet, balancer: Balancer) -> None:
    async def talk() -> list[str | bytes]:
        url = f"ws://127.0.0.1:{balancer.port}/live/v1/realtime?model=gpt-realtime"
        async with connect(url, additional_headers={"authorization": "Bearer sk-of-the-client"}) as session:
            told = [await session.recv()]
            for said in ("aye", b"\x00\x01"):
                await session.send(said)
                told.append(await session.recv())
            await session.send("close:4001:enough")
            await session.wait_closed()
            assert session.close_code == 4001
        return told

    told = asyncio.run(talk())
    assert json.loads(told[0])["type"] == "session.created" and told[1:] == ["aye", b"\x00\x01"]


def test_the_clients_address_arrives_and_is_not_made_up(fleet: Fleet, balancer: Balancer) -> None:
    with asked(balancer.port, "quick", source="127.0.0.7", **{"x-forwarded-for": "203.0.113.9"}) as answer:
        assert answer.status == 200
    gateway = {"one": fleet.one, "other": fleet.other}[who(fleet.provider.received())]
    until_s = time.monotonic() + 10
    while not (found := clients_of(gateway, "127.0.0.7")):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert len(found) == 1 and not clients_of(gateway, "203.0.113.9")


def test_the_metrics_of_one_gateway_are_not_taken_for_those_of_all(balancer: Balancer) -> None:
    assert httpx.get(f"{balancer.url}/metrics").status_code == 404
    assert httpx.get(f"{balancer.url}/health").status_code == 200


def test_both_gateways_are_asked(fleet: Fleet, balancer: Balancer) -> None:
    for number in range(1, 9):
        with asked(balancer.port, "quick") as answer:
            assert answer.status == 200
        fleet.provider.received(number)
    assert {who(fleet.provider.received(number)) for number in range(1, 9)} == {"one", "other"}


def test_a_gateway_that_drains_ends_what_it_has_and_gets_nothing_new(
    fleet: Fleet, balancer: Balancer
) -> None:
    name = f"leaving-{balancer.name}"
    leaving = fleet.gateway(name)
    port = fleet.balancer(balancer.name, leaving, fleet.other).port
    with ExitStack() as open_ones:
        streams = [open_ones.enter_context(asked(port, "paced")) for _ in range(4)]
        assert name in [who(fleet.provider.received(number)) for number in range(1, 5)]
        leaving.process.send_signal(signal.SIGTERM)
        leaving.wait_for("stopping")
        with ThreadPoolExecutor(8) as clients:
            statuses = list(clients.map(lambda _: status_of(port), range(40)))
        assert statuses == [200] * 40
        assert {who(fleet.provider.received(number)) for number in range(5, 45)} == {"other"}
        for stream in streams:
            whole = stream.read()
            assert whole.endswith(b"data: [DONE]\n\n") and b"ten" in whole
    assert leaving.process.wait(20) == 0
