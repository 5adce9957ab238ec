"""Both legs in a real mitmweb: seen, linked, paused, edited, killed, saved and replayed."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

CONFIG = """
[server]
port = 0
[endpoints.dev]
target_base = "{url}"
[endpoints.cf]
kind = "cloudflare"
[[gateways]]
account_id = "accountone"
gateway_id = "one"
token = "cf-token-one-canary"
[cloudflare]
base_url = "{url}"
[providers.openai]
api_keys = ["sk-provider-key-canary"]
"""
CHAT = {"model": "openai/gpt-demo", "messages": [{"role": "user", "content": "one two three"}]}


class Web:
    """mitmweb's own API."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            timeout=10,
            headers={"authorization": "Bearer tok", "x-xsrftoken": "x"},
            cookies={"_mitmproxy_xsrf": "x"},
        )

    def flows(self) -> list[dict[str, Any]]:
        return list(self.client.get("/flows").json())

    def clear(self) -> None:
        self.client.post("/clear").raise_for_status()

    def options(self, **values: Any) -> None:
        self.client.put("/options", json=values).raise_for_status()

    def post(self, path: str) -> None:
        self.client.post(path).raise_for_status()

    def edit(self, flow: dict[str, Any], change: dict[str, Any]) -> None:
        self.client.put(f"/flows/{flow['id']}", json=change).raise_for_status()

    def content(self, flow: dict[str, Any], side: str) -> bytes:
        return self.client.get(f"/flows/{flow['id']}/{side}/content.data").content

    def until(self, check: Callable[[list[dict[str, Any]]], Any], timeout_s: float = 5.0) -> Any:
        """Asks until `check` of the flows is true, and returns what it said."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            flows = self.flows()
            if found := check(flows):
                return found
        raise AssertionError(json.dumps(flows, indent=1)[:4000])


def legs(flows: list[dict[str, Any]], port: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(client legs, upstream legs): the client's go to our own port."""
    client = [flow for flow in flows if flow["request"]["port"] != port]
    return client, [flow for flow in flows if flow["request"]["port"] == port]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def gateway(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("web")
    options = ("--web-port", str(free_port()), "--set", "web_password=tok", "--set", "web_open_browser=false")
    with Gateway(CONFIG.format(url=provider.url), folder, host="mitmweb", options=options) as running:
        yield running


@pytest.fixture
def web(gateway: Gateway) -> Iterator[Web]:
    port = int(gateway.wait_for(r"Web server listening at http://127\.0\.0\.1:(\d+)")[1])
    made = Web(port)
    made.options(intercept=None)
    made.clear()
    yield made
    made.options(intercept=None)
    made.client.close()


@pytest.fixture
def client(gateway: Gateway, provider: Backstage) -> Iterator[httpx.Client]:
    provider.forget()
    with httpx.Client(base_url=gateway.url, timeout=10) as made:
        yield made


class Asking:
    """A request under way in a thread of its own."""

    def __init__(self, client: httpx.Client, path: str = "/dev/v1/chat/completions", **options: Any) -> None:
        self.answer: httpx.Response | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(client, path, options), daemon=True)
        self._thread.start()

    def _run(self, client: httpx.Client, path: str, options: dict[str, Any]) -> None:
        try:
            self.answer = client.post(path, **({"json": CHAT} | options))
        except httpx.HTTPError as error:
            self.error = error

    def done(self) -> httpx.Response:
        self._thread.join(10)
        assert self.answer is not None, self.error
        return self.answer


def test_both_legs_are_there_linked_and_without_a_key(
    web: Web, client: httpx.Client, provider: Backstage
) -> None:
    answer = client.post(
        "/cf/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer sk-client-canary-1234"}
    )
    assert answer.status_code == 200
    flows = web.until(lambda flows: flows if len(flows) == 2 else None)
    (front,), (back,) = legs(flows, provider.port)
    assert front["request"]["path"] == "/cf/v1/chat/completions"
    assert back["request"]["path"] == "/v1/accountone/one/compat/chat/completions"
    assert web.content(back, "response") == web.content(front, "response") == answer.content
    assert json.loads(web.content(front, "request")) == CHAT
    assert "canary" not in json.dumps(flows)
    exchange, _, which = front["comment"].partition(": ")
    assert which == "client"
    assert back["comment"] == f"{exchange}: attempt 1, openai"
    authorization = [value for name, value in front["request"]["headers"] if name.lower() == "authorization"]
    assert authorization == ["Bearer ***"]


def test_a_streamed_body_grows_in_sight(web: Web, client: httpx.Client, provider: Backstage) -> None:
    with client.stream("GET", "/dev/sse?n=1000&interval_ms=20") as answer:
        pieces = answer.iter_raw()
        next(pieces)

        def growing(flows: list[dict[str, Any]]) -> Any:
            sizes = [flow["response"]["contentLength"] or 0 for flow in flows if flow.get("response")]
            return len(sizes) == 2 and all(size > 50 for size in sizes)

        web.until(growing)
        next(pieces)
    web.until(lambda flows: all(flow.get("error") for flow in flows))


def test_an_upstream_leg_is_paused_edited_and_resumed(
    web: Web, client: httpx.Client, provider: Backstage
) -> None:
    web.options(intercept=f"~q & ~u :{provider.port}/")
    asking = Asking(client)
    paused = web.until(lambda flows: next((flow for flow in flows if flow["intercepted"]), None))
    assert paused["request"]["port"] == provider.port
    assert provider.new == 0
    web.edit(paused, {"request": {"content": json.dumps({**CHAT, "model": "edited"})}})
    web.post(f"/flows/{paused['id']}/resume")
    assert asking.done().json()["model"] == "edited"
    assert json.loads(provider.received().body)["model"] == "edited"


def test_a_client_leg_is_paused_edited_and_resumed_with_its_key(
    web: Web, client: httpx.Client, provider: Backstage
) -> None:
    web.options(intercept="~q & ~u /dev/")
    asking = Asking(client, headers={"authorization": "Bearer sk-client-own"})
    paused = web.until(lambda flows: next((flow for flow in flows if flow["intercepted"]), None))
    assert provider.new == 0
    web.edit(paused, {"request": {"content": json.dumps({**CHAT, "model": "changed"})}})
    web.options(intercept=None)
    web.post(f"/flows/{paused['id']}/resume")
    assert asking.done().json()["model"] == "changed"
    assert provider.received().header(b"authorization") == b"Bearer sk-client-own"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_paused_and_edited_on_the_upstream_leg(
    web: Web, client: httpx.Client, provider: Backstage, stream: bool
) -> None:
    web.options(intercept=f"~s & ~u :{provider.port}/")
    asking = Asking(client, json={**CHAT, "stream": stream})
    paused = web.until(lambda flows: next((flow for flow in flows if flow["intercepted"]), None))
    assert b"three" in web.content(paused, "response")
    web.edit(paused, {"response": {"content": "edited by hand"}})
    web.options(intercept=None)
    web.post(f"/flows/{paused['id']}/resume")
    assert asking.done().text == "edited by hand"


@pytest.mark.parametrize("which", ["client", "upstream"])
def test_a_paused_leg_can_be_killed(web: Web, client: httpx.Client, provider: Backstage, which: str) -> None:
    web.options(intercept="~q & ~u /dev/" if which == "client" else f"~q & ~u :{provider.port}/")
    asking = Asking(client)
    paused = web.until(lambda flows: next((flow for flow in flows if flow["intercepted"]), None))
    web.post(f"/flows/{paused['id']}/kill")
    answer = asking.done()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "stopped"
    assert provider.new == 0


def test_a_client_that_leaves_while_its_upstream_leg_is_paused_sends_nothing(
    web: Web, gateway: Gateway, provider: Backstage
) -> None:
    provider.forget()
    web.options(intercept=f"~q & ~u :{provider.port}/")
    with httpx.Client(base_url=gateway.url, timeout=0.5) as leaving:
        with pytest.raises(httpx.ReadTimeout):
            leaving.post("/dev/v1/chat/completions", json=CHAT)
    paused = web.until(lambda flows: next((flow for flow in flows if flow["intercepted"]), None))
    gateway.wait_for(r'"status":499')
    web.post(f"/flows/{paused['id']}/resume")
    assert httpx.get(f"{gateway.url}/health").status_code == 200
    assert provider.new == 0


@pytest.mark.parametrize("which", ["client", "upstream"])
def test_a_leg_is_replayed(web: Web, client: httpx.Client, provider: Backstage, which: str) -> None:
    client.post(
        "/cf/v1/chat/completions" if which == "upstream" else "/dev/v1/chat/completions",
        json=CHAT,
        headers={"authorization": "Bearer sk-client-own"},
    )
    flows = web.until(lambda flows: flows if len(flows) == 2 else None)
    (front,), (back,) = legs(flows, provider.port)
    first = provider.received(1)
    chosen = front if which == "client" else back
    web.post(f"/flows/{chosen['id']}/replay")
    again = provider.received(2)
    assert (again.method, again.target, again.body) == (first.method, first.target, first.body)
    assert again.header(b"authorization") == first.header(b"authorization")
    assert again.header(b"cf-aig-authorization") == first.header(b"cf-aig-authorization")
    web.until(lambda flows: all(flow.get("response") for flow in flows))


def test_saved_legs_are_read_again_and_answer_in_the_providers_absence(
    provider: Backstage, tmp_path: Path
) -> None:
    provider.forget()
    saved = tmp_path / "saved.flow"
    config = CONFIG.format(url=provider.url)
    with Gateway(config, tmp_path, options=("-w", str(saved))) as recording:
        with httpx.Client(base_url=recording.url) as client:
            answer = client.post(
                "/dev/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer sk-client-canary"}
            )
    assert provider.new == 1
    assert b"canary" not in saved.read_bytes()
    options = (
        "-S",
        str(saved),
        "--set",
        "server_replay_extra=kill",
        "--set",
        "server_replay_ignore_port=true",
    )
    with Gateway(config, tmp_path, options=options) as playing:
        with httpx.Client(base_url=playing.url) as client:
            again = client.post("/dev/v1/chat/completions", json=CHAT)
    assert again.content == answer.content
    assert provider.new == 1


def test_saved_legs_are_played_again_from_a_file(provider: Backstage, tmp_path: Path) -> None:
    """The client leg takes the whole journey again, the upstream leg goes straight to the provider."""
    saved = tmp_path / "saved.flow"
    config = CONFIG.format(url=provider.url)
    with (
        Gateway(config, tmp_path, options=("-w", str(saved))) as recording,
        httpx.Client(base_url=recording.url) as client,
    ):
        client.post("/cf/v1/chat/completions", json=CHAT)
    provider.forget()
    with Gateway(config, tmp_path, options=("-C", str(saved), "--set", "keepserving=true")):
        first, second = provider.received(1), provider.received(2)
    for got in (first, second):
        assert got.target == "/v1/accountone/one/compat/chat/completions"
        assert got.header(b"cf-aig-authorization") == b"Bearer cf-token-one-canary"
        assert got.header(b"authorization") == b"Bearer sk-provider-key-canary"
        assert json.loads(got.body) == CHAT


def test_a_har_holds_both_legs_and_no_key(provider: Backstage, tmp_path: Path) -> None:
    har = tmp_path / "saved.har"
    with Gateway(CONFIG.format(url=provider.url), tmp_path, options=("--set", f"hardump={har}")) as running:
        with httpx.Client(base_url=running.url) as client:
            client.post(
                "/cf/v1/chat/completions",
                json={**CHAT, "stream": True},
                headers={"authorization": "Bearer sk-client-canary"},
            )
    entries = json.loads(har.read_text())["log"]["entries"]
    assert len(entries) == 2
    assert all("three" in entry["response"]["content"]["text"] for entry in entries)
    assert "canary" not in har.read_text()
