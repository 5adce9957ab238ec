"""No secret reaches a log, an error, a saved leg, a page, a metric or the ledger.

They are planted in every place that a request, an answer or a configuration has for them, every way to fail
is gone, and then everything that was written is searched for each of them, however it is written.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner

from llmitm.cli.main import app
from support.canaries import Telltale, canary, found_in, written
from support.gateway import Gateway, times_over

CONFIGURED: Final = (
    *("provider key", "provider key of the environment", "provider key of a file", "credential key"),
    *("provider header", "credential header", "proxy password", "endpoint proxy password"),
    *("gateway token", "other gateway token", "auth key", "auth key of the environment", "expired auth key"),
    *("ledger password", "state password", "jwt secret", "password hash"),
    "telemetry header",
)
"""Known to the gateway. They have no shape that would give them away."""
ASKED: Final = (
    *("bearer", "x-api-key", "x-goog-api-key", "api-key", "basic", "cookie", "proxy-authorization"),
    *("query key", "query token", "unknown header", "header of a shape", "wrong gateway key"),
    *("prompt chat", "prompt messages", "prompt gemini", "prompt responses", "broken body", "model", "path"),
    *("wrong bearer", "refused path", "url in a prompt", "upload"),
)
"""Of clients."""
TOLD: Final = ("cookie told", "location told", "header told", "message told", "event told")
"""Of upstreams."""
MISPLACED: Final = (
    "unknown name",
    "wrong type",
    "wrong proxy",
    "wrong state",
    "wrong syntax",
    "wrong ledger",
)
"""In configurations that cannot be used."""

SHAPED: Final = frozenset(
    {
        *("header of a shape", "prompt chat", "prompt messages", "prompt gemini", "prompt responses"),
        *("broken body", "model", "path", "refused path", "wrong bearer", "wrong gateway key", "upload"),
        *("message told", "event told", "unknown name"),
    }
)
"""What stands where anything may stand is known by its shape alone."""

ALLOWED: Final = (
    {
        (
            "own answers",
            name,
        ): "an answer of a forward endpoint is the upstream's, byte for byte, and tells a client "
        "nothing but what it sent itself or what its own provider says"
        for name in (
            *(
                "bearer",
                "x-api-key",
                "x-goog-api-key",
                "api-key",
                "basic",
                "path",
                "query key",
                "query token",
            ),
            *("cookie told", "header told", "location told", "message told", "event told", "refused path"),
        )
    }
    | {
        ("answers", name): "an upstream may give what it likes to who asks; it is no secret of the gateway's"
        for name in ("cookie told", "header told")
    }
    | {("answers", "model"): "who asked for x-debug reads the model's name as it was asked for"}
)
"""(sink, canary) to the reason why it may be there."""


PLANTED: Final = {
    name: canary(name, has_shape=name in SHAPED) for name in (*CONFIGURED, *ASKED, *TOLD, *MISPLACED)
}
PLANTED["password hash"] = "$2b$12$" + "cn4ry/passwordhash7f3kQ9z".ljust(53, "x")  # a hash has its form
PROMPT: Final = "a sentence that nobody else shall read"


def url_of(name: str) -> str:
    """As it must be written in a URL."""
    return quote(PLANTED[name], safe="")


CONFIG: Final = """
[server]
port = 0
body_limit_mb = 1
[retry]
cooldowns = false
max_attempts = 2
base_ms = 0
[timeouts]
first_byte_s = 2
connect_s = 1
[endpoints.dev]
target_base = "{url}"
[endpoints.proxied]
target_base = "{url}"
proxy_url = "http://user:{endpoint_proxy}@127.0.0.1:{closed}"
[endpoints.socks]
target_base = "{url}"
proxy_url = "socks5://user:{endpoint_proxy}@127.0.0.1:{closed}"
[endpoints.secure]
target_base = "https://127.0.0.1:{port}"
[endpoints.ours]
provider = "up"
[endpoints.all]
kind = "gateway"
[endpoints.cf]
kind = "cloudflare"
[[gateways]]
account_id = "accountone"
gateway_id = "one"
token = "{gateway}"
[[gateways]]
account_id = "accounttwo"
gateway_id = "two"
token = "{other_gateway}"
[cloudflare]
base_url = "{url}"
[providers.up]
base_url = "{url}/v1"
format = "openai-chat"
models = ["gpt-*"]
api_keys = ["{key}", "env:CANARY_KEY", "file:{folder}/key"]
headers = {{"x-team" = "{header}"}}
[[providers.up.credentials]]
api_key = "{credential}"
headers = {{"x-team" = "{credential_header}"}}
[providers.beyond]
base_url = "{url}/v1"
format = "openai-chat"
models = ["beyond-*"]
api_keys = ["{key}"]
proxy_url = "http://user:{proxy}@127.0.0.1:{closed}"
[[auth_keys]]
name = "one"
key = "{auth}"
[[auth_keys]]
name = "two"
key = "env:CANARY_AUTH"
[[auth_keys]]
name = "late"
key = "{expired}"
expires_at = 2020-01-01
[state]
url = "{state}"
[dashboard]
password_hash = "{hash}"
jwt_secret = "{jwt}"
[telemetry]
enabled = true
endpoint = "{collector}"
headers = {{authorization = "{telemetry}"}}
content = true
flush_ms = 50
[ledger]
bodies = true
flush_ms = 50
{ledger}
[log]
level = "debug"
{log}
"""


def config_of(
    folder: Path,
    upstream: Telltale,
    closed: int,
    *,
    ledger: str = "",
    state: str,
    log: str = "",
    collector: str = "",
) -> str:
    (folder / "key").write_text(PLANTED["provider key of a file"])
    return CONFIG.format(
        url=upstream.url,
        port=upstream.port,
        closed=closed,
        folder=folder,
        ledger=ledger,
        state=state,
        log=log,
        endpoint_proxy=url_of("endpoint proxy password"),
        proxy=url_of("proxy password"),
        gateway=PLANTED["gateway token"],
        other_gateway=PLANTED["other gateway token"],
        key=PLANTED["provider key"],
        credential=PLANTED["credential key"],
        header=PLANTED["provider header"],
        credential_header=PLANTED["credential header"],
        auth=PLANTED["auth key"],
        expired=PLANTED["expired auth key"],
        hash=PLANTED["password hash"],
        jwt=PLANTED["jwt secret"],
        telemetry=PLANTED["telemetry header"],
        collector=collector or upstream.url,
    )


ENVIRONMENT: Final = {
    "CANARY_KEY": PLANTED["provider key of the environment"],
    "CANARY_AUTH": PLANTED["auth key of the environment"],
}
ACTS: Final = (
    *("ok", "stream", "400", "401", "403", "404", "413", "429", "500", "529", "reset", "garbage", "gzip"),
    *("html", "redirect", "event"),
)
"""What an upstream may do."""


@dataclass(slots=True)
class Client:
    """Sends everything once, and keeps what comes back."""

    gateway: Gateway
    wire: httpx.Client
    own: list[bytes] = field(default_factory=list)
    """From endpoints that pass the client's own keys."""
    others: list[bytes] = field(default_factory=list)

    def everything(self) -> None:
        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(*one) for one in self._all()]:
                done.result()
        self._leave()

    def _all(self) -> Iterator[tuple[Any, ...]]:
        keys = {
            "authorization": f"Bearer {PLANTED['bearer']}",
            "x-api-key": PLANTED["x-api-key"],
            "x-goog-api-key": PLANTED["x-goog-api-key"],
            "api-key": PLANTED["api-key"],
            "cookie": f"session={PLANTED['cookie']}",
            "proxy-authorization": f"Basic {PLANTED['proxy-authorization']}",
            "x-my-secret": PLANTED["unknown header"],
            "x-llmitm-key": PLANTED["auth key"],
            "x-note": f"about {PLANTED['header of a shape']}, see there",
        }
        query = {"key": PLANTED["query key"], "access_token": PLANTED["query token"], "n": "1"}
        ours = {"x-llmitm-key": PLANTED["auth key"]}
        for act in ACTS:
            for endpoint in ("dev", "proxied", "socks", "secure") if act in ("ok", "401") else ("dev",):
                path = f"/{endpoint}/v1/chat/completions"
                yield self._own, path, chat("gpt-x"), {**keys, "x-act": act}, query
            if act != "garbage":  # with a good status it is an answer, and its bytes pass
                yield self._ask, "/ours/v1/chat/completions", chat("gpt-x"), {**ours, "x-act": act}
            yield self._ask, "/cf/v1/chat/completions", chat(f"openai/gpt-{act}"), ours
            for path, body in dialects(act):
                yield self._ask, path, body, {"x-llmitm-key": PLANTED["auth key of the environment"]}
        yield self._own, "/dev/v1/x", b"{", {**keys, "authorization": f"Basic {PLANTED['basic']}"}, query
        yield self._own, "/dev/v1/x", chat("gpt-x"), {"authorization": f"Bearer {PLANTED['bearer']}"}, query
        yield self._own, f"/dev/v1/{PLANTED['path']}/x", chat("gpt-x"), {**ours, "x-act": "404"}, {}
        yield self._own, f"/nowhere/v1/{PLANTED['refused path']}", chat("gpt-x"), {}, query
        form = {"content-type": "multipart/form-data; boundary=b"}
        part = f'content-disposition: form-data; name="file"; filename="a"\r\n\r\n{PLANTED["upload"]}'
        yield self._ask, "/all/v1/files", f"--b\r\n{part}\r\n--b--\r\n".encode(), {**form, **ours}
        for path in ("/all/v1/chat/completions", "/all/v1/messages", "/v1beta/models/gpt-x:generateContent"):
            wrong = {"x-note": PLANTED["header of a shape"], "cookie": PLANTED["cookie"]}
            yield (
                self._ask,
                path,
                chat("gpt-x"),
                {"authorization": f"Bearer {PLANTED['wrong bearer']}", **wrong},
            )
            yield self._ask, path, chat("gpt-x"), {"x-llmitm-key": PLANTED["wrong gateway key"], **wrong}
            yield self._ask, path, chat("gpt-x"), {"x-llmitm-key": PLANTED["expired auth key"], **wrong}
            yield self._ask, path, f'{{"model": "gpt-x", "a": "{PLANTED["broken body"]}'.encode(), ours
            yield self._ask, path, chat("beyond-x"), ours
            yield self._ask, path, chat(PLANTED["model"]), ours
            yield self._ask, path, chat("nobody-has-it"), ours
        yield self._ask, "/all/v1/chat/completions", chat("gpt-x", padding="x" * 1_100_000), ours
        yield self._raw, b"GET /dev/" + PLANTED["path"].encode() + b" HTTP/1.1\r\nbad head: " + form_bytes()
        yield self._raw, b"POST /dev/v1/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + form_bytes()

    def _own(self, path: str, body: bytes, headers: dict[str, str], query: dict[str, str]) -> None:
        self._send(self.own, path, body, headers, query)

    def _ask(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        self._send(self.others, path, body, headers, {})

    def _send(
        self, kept: list[bytes], path: str, body: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> None:
        known = {"content-type": "application/json", "x-debug": "true", **headers}
        try:
            answer = self.wire.post(path, content=body, headers=known, params=query)
        except httpx.TransportError:
            return
        kept.append(repr(answer.headers.raw).encode() + answer.content)

    def _raw(self, head: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.gateway.port), 5) as wire:
            wire.sendall(head + b"\r\n\r\n")
            wire.settimeout(5)
            try:
                self.own.append(wire.recv(65_536))
            except TimeoutError:
                pass

    def _leave(self) -> None:
        """In the middle of an answer, and of a request."""
        keys = f"{PLANTED['bearer']}\r\nx-llmitm-key: {PLANTED['auth key']}"
        with socket.create_connection(("127.0.0.1", self.gateway.port), 5) as wire:
            wire.sendall(b"POST /dev/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ")
            wire.sendall(f"{keys}\r\ncontent-length: 100\r\n\r\n{{".encode())

    def get(self, path: str, **headers: str) -> bytes:
        return self.wire.get(path, headers=headers).content


@contextmanager
def client_of(gateway: Gateway) -> Iterator[Client]:
    with httpx.Client(base_url=gateway.url, timeout=20) as wire:
        yield Client(gateway, wire)


def form_bytes() -> bytes:
    return PLANTED["bearer"].encode()


def chat(model: str, **more: str) -> bytes:
    said = f"{PROMPT}: {PLANTED['prompt chat']} at https://u:{url_of('url in a prompt')}@x.example"
    return json.dumps({"model": model, "messages": [{"role": "user", "content": said}], **more}).encode()


def dialects(act: str) -> Iterator[tuple[str, bytes]]:
    model, is_stream = f"gpt-{act}", act in ("stream", "event")
    yield "/all/v1/chat/completions", chat(model, stream=is_stream)  # type: ignore[arg-type]
    said = f"{PROMPT}: {PLANTED['prompt messages']}"
    asked = {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": said}],
        "stream": is_stream,
    }
    yield "/all/v1/messages", json.dumps(asked).encode()
    said = f"{PROMPT}: {PLANTED['prompt responses']}"
    yield "/all/v1/responses", json.dumps({"model": model, "input": said, "stream": is_stream}).encode()
    said = f"{PROMPT}: {PLANTED['prompt gemini']}"
    verb = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
    turns = {"contents": [{"role": "user", "parts": [{"text": said}]}]}
    yield f"/all/v1beta/models/{model}:{verb}", json.dumps(turns).encode()


@dataclass(frozen=True, slots=True)
class Sink:
    name: str
    content: bytes
    keeps_prompts: bool = False
    """Whether it is one that shows bodies."""


def check(sinks: list[Sink]) -> None:
    found = [
        f"{sink.name}: {name}: {around(sink.content, name)!r}"
        for sink in sinks
        for name in sorted(found_in(sink.content, PLANTED))
        if (sink.name, name) not in ALLOWED
    ]
    assert not found, "\n".join(found)
    told = [sink.name for sink in sinks if not sink.keeps_prompts and PROMPT.encode() in sink.content]
    assert not told, "prompts are told there"
    assert all(sink.content for sink in sinks), [sink.name for sink in sinks if not sink.content]


def around(content: bytes, name: str) -> bytes:
    for form in written(PLANTED[name]):
        if (at := content.find(form)) >= 0:
            return content[max(0, at - 60) : at + 60]
    return b"compressed"


def commands(gateway: Gateway, *chosen: str) -> Iterator[Sink]:
    """What the command line prints, of the configuration that is there now."""
    for words in chosen:
        asked = CliRunner().invoke(
            app,
            ["-c", str(gateway.config_path), *words.split()],
            env={**gateway.environment, "COLUMNS": "1000"},
        )
        yield Sink(f"llmitm {words}", asked.output.encode(), "--bodies" in words)


def reload_broken(gateway: Gateway) -> None:
    """Configurations that cannot be used, for five reasons at once, and for one; then the one that can."""
    good = broken = gateway.config_path.read_text()
    for place, wrong in (
        ("[providers.up]", f'[providers.up]\napi_keyz = "{PLANTED["unknown name"]}"'),
        ("body_limit_mb = 1", f'body_limit_mb = "{PLANTED["wrong type"]}"'),
        ("[endpoints.ours]", f'[endpoints.ours]\nproxy_url = "ftp://u:{url_of("wrong proxy")}@x:1"'),
        ("[state]\nurl = ", f'[state]\nurl = "odd://u:{url_of("wrong state")}@x:1"\n#'),
        ("bodies = true", f'bodies = true\nurl = "odd://u:{url_of("wrong ledger")}@x:1"\n#'),
    ):
        assert place in broken
        broken = broken.replace(place, wrong, 1)
    unread = good.replace(
        "[[auth_keys]]", f'[[auth_keys]]\nkey = "{PLANTED["wrong syntax"]}\n[[auth_keys]]', 1
    )
    gateway.config_path.write_text(broken)
    gateway.wait_for("cannot be used")
    for name in ("api_keyz", "body_limit_mb", "proxy_url", "state.url", "ledger.url"):
        assert f"{name}: " in gateway.output()
    gateway.config_path.write_text(unread)
    gateway.wait_for(times_over("cannot be used", 2))
    gateway.config_path.write_text(good)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Telltale]:
    told = {name.removesuffix(" told"): PLANTED[name] for name in TOLD}
    with Telltale(told) as running:
        yield running


@pytest.fixture(scope="module")
def closed() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def wait_until(check: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not check():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def files(folder: Path, pattern: str) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.glob(pattern)))


def test_the_search_finds_what_it_looks_for() -> None:
    for name, value in PLANTED.items():
        for form in written(value):
            assert name in found_in(b"x" + form + b"y", PLANTED)
    assert len(PLANTED) >= 40


CRASH: Final = """
def request(flow):
    raise RuntimeError(f"{flow.request.headers} {flow.request.url} {flow.request.content}")
"""


def test_mitmdump(upstream: Telltale, closed: int, tmp_path: Path) -> None:
    config = config_of(tmp_path, upstream, closed, state="memory://")
    (tmp_path / "crash.py").write_text(CRASH)
    options = ("-w", "legs", "--set", "hardump=legs.har", "-s", "crash.py", "--flow-detail", "3", "-v")
    with Gateway(config, tmp_path, options=options, env=ENVIRONMENT) as gateway:
        with client_of(gateway) as client:
            client.everything()
            metrics = [client.get("/metrics"), client.get("/metrics", accept="application/json")]
            upstream_had = found_in(b"\n".join(client.own), PLANTED)
        assert {"bearer", "x-api-key", "api-key"} <= upstream_had, "what is masked for show is sent as it is"
        reload_broken(gateway)
    check(
        [
            Sink("own answers", b"\n".join(client.own), True),
            Sink("answers", b"\n".join(client.others), True),
            Sink("output", gateway.output().encode(), True),  # the dumper shows bodies at that detail
            Sink("saved legs", files(tmp_path, "legs"), True),
            Sink("HAR", files(tmp_path, "legs.har"), True),
            Sink("ledger", files(tmp_path, "llmitm.db*"), True),
            Sink("traces", b"\n".join(upstream.exported), True),  # of what was said, as was asked for
            Sink("metrics", metrics[0]),
            Sink("metrics as JSON", metrics[1]),
            *commands(gateway, "config check", "logs -n 1000", "logs -n 1000 --json --attempts --bodies"),
            *commands(gateway, "usage --by model --json", "route explain gpt-x", "keys list"),
        ]
    )


def test_serve(upstream: Telltale, closed: int, tmp_path: Path) -> None:
    """Its log is a file, its ledger and its store are away."""
    config = config_of(
        tmp_path,
        upstream,
        closed,
        ledger=f'url = "postgresql://u:{url_of("ledger password")}@127.0.0.1:{closed}/x"',
        state=f"redis://u:{url_of('state password')}@127.0.0.1:{closed}/0",
        collector=f"http://127.0.0.1:{closed}",
        log='file = "gateway.log"\nformat = "human"',
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway = Gateway(config, tmp_path, host="serve", env={**ENVIRONMENT, "PORT": str(port)})
    try:
        wait_until(lambda: b"listening on" in files(tmp_path, "gateway.log"))
        gateway.port, gateway.url = port, f"http://127.0.0.1:{port}"
        with client_of(gateway) as client:
            client.everything()
    finally:
        gateway.stop()
    check(
        [
            Sink("own answers", b"\n".join(client.own), True),
            Sink("answers", b"\n".join(client.others), True),
            Sink("log", gateway.output().encode() + files(tmp_path, "gateway.log")),
            Sink("spilled", files(tmp_path, "*.spill"), True),
            *commands(gateway, "config check", "ledger verify"),
        ]
    )


def test_mitmweb(upstream: Telltale, closed: int, tmp_path: Path) -> None:
    config = config_of(tmp_path, upstream, closed, state="memory://")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--web-port", str(port), "--set", "web_password=tok", "--set", "view_filter=~all")
    with Gateway(config, tmp_path, host="mitmweb", options=options, env=ENVIRONMENT) as gateway:
        with client_of(gateway) as client:
            client.everything()
        shown = list(pages(port, upstream))
    check([*shown, Sink("output", gateway.output().encode())])


def pages(port: int, upstream: Telltale) -> Iterator[Sink]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"authorization": "Bearer tok", "x-xsrftoken": "x"},
        cookies={"_mitmproxy_xsrf": "x"},
        timeout=20,
    ) as web:
        flows = web.get("/flows").json()
        for path in ("/dev/v1/chat", "/v1/accountone"):  # of either kind of leg
            played = next(one["id"] for one in flows if one["request"]["path"].startswith(path))
            before = upstream.count
            web.post(f"/flows/{played}/replay").raise_for_status()
            wait_until(lambda before=before: upstream.count > before)  # type: ignore[misc]
        yield Sink("flows.json", web.get("/flows").content)
        contents = [
            web.get(f"/flows/{flow['id']}/{side}/content{form}").content
            for flow in flows[:40]  # the dump has all of them
            for side in ("request", "response")
            for form in (".data", "/auto.json")
        ]
        yield Sink("contents", b"\n".join(contents), True)
        yield Sink("dump", web.get("/flows/dump").content, True)
        yield Sink("events", web.get("/events").content)
        yield Sink("options", web.get("/options").content)
