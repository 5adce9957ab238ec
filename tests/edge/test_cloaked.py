"""Cloaked providers behind a running mitmweb, asked by the official clients: no word of the list arrives."""

from __future__ import annotations

import json
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.sdks import CLIENTS, Chat, Client, Gemini, Messages, Responses

CLOAK = """
[providers.{name}.cloak]
sensitive_words = ["Project Falcon", "falcon", 'the "A" Team', {{regex = "[a-z.]+@[a-z]+\\\\.example"}}]
system_prompt = "Speak of FALCON only."
cache_user_id = true
headers = {{"x-team" = "research"}}
"""
PROVIDERS = {
    "chat": ("/v1", "openai-chat", "gpt-4.1"),
    "responses": ("/v1", "openai-responses", "gpt-5.2"),
    "messages": ("", "anthropic-messages", "claude-sonnet-4-6"),
    "gemini": ("", "gemini", "gemini-3.8-flash"),
}
SAID = 'Write to eve.f@falcon.example of PROJECT Falcon,\n the "A" team and falconry'
ASKED = f"Use the tool: {SAID}"
RESULT = json.dumps({"status": "Project Falcon flies", "who": ['the "a" Team']})
HIDDEN = re.compile(r'falcon|the \\*"a\\*" team', re.IGNORECASE)
OWN: dict[type[Client], str] = {
    Chat: "via-chat",
    Responses: "via-responses",
    Messages: "via-messages",
    Gemini: "via-gemini",
}


def config(url: str) -> str:
    text = '[server]\nport = 0\n[endpoints.all]\nkind = "gateway"\n[endpoints.direct]\nprovider = "chat"\n'
    for name, (path, dialect, model) in PROVIDERS.items():
        text += (
            f'[providers.{name}]\nbase_url = "{url}{path}"\nformat = "{dialect}"\n'
            f'api_keys = ["sk-{name}-key"]\nmodels = [{{id = "{model}", alias = "via-{name}"}}]\n'
        )
        text += CLOAK.format(name=name)
    return text


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    options = ("--web-port", str(free_port()), "--set", "web_password=tok")
    folder = tmp_path_factory.mktemp("cloaked")
    with Gateway(config(provider.url), folder, host="mitmweb", options=options) as made:
        yield made


@pytest.fixture(scope="module")
def clients(running: Gateway) -> Iterator[dict[type[Client], Client]]:
    made = {kind: kind(running.url) for kind in CLIENTS}
    yield made
    for one in made.values():
        one.close()


def arrived(provider: Backstage) -> list[str]:
    """The bodies that the provider got since it was told to forget, none with a word of the list."""
    bodies = [provider.received(number + 1).body.decode() for number in range(provider.new)]
    assert "\n".join(body for body in bodies if HIDDEN.search(body)) == ""
    provider.forget()
    return bodies


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__.lower())
def test_clients_have_words_where_every_provider_has_marks(
    kind: type[Client], streams: bool, clients: dict[type[Client], Client], provider: Backstage
) -> None:
    """Through each pair of dialects: text, thoughts, a call's arguments, which come in pieces, its result."""
    client = clients[kind]
    provider.forget()
    for model in OWN.values():
        answer = client.ask(model, client.said(SAID), streams=streams)
        assert answer.text == f"The demo provider heard you say: {SAID}"
        thinks = model != "via-chat"
        called = client.ask(model, client.said(ASKED), streams=streams, tools=True, thinks=thinks)
        assert called.calls == (("weather", {"city": ASKED, "days": 7}),)
        if thinks:
            assert called.thought == f"The demo provider thinks about: {ASKED}"
        told = client.ask(model, called.again(RESULT), streams=streams, tools=True, thinks=thinks)
        assert HIDDEN.findall(told.text) == HIDDEN.findall(RESULT) or json.dumps(RESULT)[1:-1] in told.text
        heard, thought, read = arrived(provider)
        marks = set(re.findall("zmask_[a-y2-8]{10}", heard))
        assert len(marks) >= 4
        assert marks <= set(re.findall("zmask_[a-y2-8]{10}", thought)), "marks are the same in every turn"
        assert marks <= set(re.findall("zmask_[a-y2-8]{10}", read))


@pytest.mark.parametrize(
    ("model", "system", "user"),
    [
        ("via-chat", ("messages", 0, "content"), ("user",)),
        ("via-responses", ("instructions",), ("user",)),
        ("via-messages", ("system",), ("metadata", "user_id")),
        ("via-gemini", ("systemInstruction", "parts", 0, "text"), None),
    ],
)
def test_the_operators_text_pseudonym_and_headers_arrive(
    model: str, system: tuple[Any, ...], user: tuple[str, ...] | None, running: Gateway, provider: Backstage
) -> None:
    provider.forget()
    chat = {"model": model, "user": "eve", "messages": [{"role": "user", "content": "hello"}]}
    assert httpx.post(f"{running.url}/all/v1/chat/completions", json=chat).status_code == 200
    received = provider.received()
    said: Any = received.json()
    for step in system:
        said = said[step]
    assert re.fullmatch(r"Speak of zmask_[a-y2-8]{10} only\.", said)
    assert received.text(b"x-team") == "research"
    assert b'"eve"' not in received.body
    named: Any = received.json()
    for name in user or ():
        named = named[name]
    assert user is None or re.fullmatch("[0-9a-f]{32}", named)


def test_an_endpoint_that_passes_requests_masks_them_and_errors_are_restored(
    running: Gateway, provider: Backstage
) -> None:
    provider.forget()
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": SAID}], "stream": True}
    answer = httpx.post(f"{running.url}/direct/v1/chat/completions", json=body)
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    said = "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks if one["choices"])
    assert said == f"The demo provider heard you say: {SAID}"
    arrived(provider)


def test_a_request_that_cannot_be_read_is_not_sent(running: Gateway, provider: Backstage) -> None:
    provider.forget()
    for body in (b'{"model": "falcon"', b'{"a": ' + b"[" * 300 + b'"falcon"' + b"]" * 300 + b"}"):
        answer = httpx.post(
            f"{running.url}/direct/v1/chat/completions",
            content=body,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "cloak_unreadable"
    assert provider.new == 0


def test_mitmweb_shows_what_was_said_and_what_was_sent(running: Gateway, provider: Backstage) -> None:
    port = int(running.wait_for(r"Web server listening at http://127\.0\.0\.1:(\d+)")[1])
    headers = {"authorization": "Bearer tok", "x-xsrftoken": "x"}
    cookies = {"_mitmproxy_xsrf": "x"}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers=headers,
        cookies=cookies,
    ) as web:
        web.post("/clear").raise_for_status()
        chat = {"model": "via-messages", "messages": [{"role": "user", "content": SAID}]}
        httpx.post(f"{running.url}/all/v1/chat/completions", json=chat)
        flows = web.get("/flows").json()
        front, back = sorted(flows, key=lambda flow: flow["request"]["port"] == provider.port)
        shown = {
            (which, side): web.get(f"/flows/{flow['id']}/{side}/content.data").text
            for which, flow in (("front", front), ("back", back))
            for side in ("request", "response")
        }
    assert {place for place, text in shown.items() if HIDDEN.search(text)} == {
        ("front", "request"),
        ("front", "response"),
    }


def test_the_key_of_the_marks_is_kept_for_its_owner_alone(running: Gateway) -> None:
    kept: Path = running.folder / "cloak.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [one.name for one in running.folder.glob("cloak.key*")] == ["cloak.key"]


def test_files_are_passed_and_told_of_and_live_sessions_are_refused(
    running: Gateway, provider: Backstage
) -> None:
    """Nothing can be masked in either; a file is not read, and who asked for strictness is refused."""
    files = {"file": ("a.txt", b"of the falcon"), "purpose": (None, "user_data")}
    headers = {"x-llmitm-provider": "chat"}
    url = f"{running.url}/all/v1/files"
    answer = httpx.post(url, files=files, headers=headers)
    assert "lost:masking" in answer.headers["x-llmitm-warnings"]
    provider.forget()
    strict = httpx.post(url, files=files, headers=headers | {"x-llmitm-strict": "1"})
    assert strict.status_code == 400
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    live = httpx.get(f"{running.url}/direct/v1/realtime?model=gpt-4.1", headers=upgrade)
    assert (live.status_code, live.json()["error"]["code"]) == (501, "cloak_unreadable")
    assert provider.new == 0
