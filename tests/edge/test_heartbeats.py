"""Heartbeats over real sockets: the official clients read what comes around them, and errors after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.sdks import CLIENTS, FAILURES, Chat, Client, Gemini, Messages, Responses

CONFIG = """
retry = {{cooldowns = false}}
[server]
port = 0
[timeouts]
idle_s = 0.3
[streaming]
heartbeat_s = 0.015
heartbeat_after_s = 0.015
non_stream_keepalive_s = 0.015
[endpoints.all]
kind = "gateway"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat"]
models = [{{id = "gpt-4.1", alias = "via-chat"}}]
[providers.responses]
base_url = "{url}/v1"
format = "openai-responses"
api_keys = ["sk-responses"]
models = [{{id = "gpt-5.2", alias = "via-responses"}}]
[providers.messages]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-messages"]
models = [{{id = "claude-sonnet-4-6", alias = "via-messages"}}]
[providers.spare]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-first", "sk-second"]
models = ["via-spare"]
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-gemini"]
models = [{{id = "gemini-3.8-flash", alias = "via-gemini"}}]
"""
SAID = "hello"
HEARD = f"The demo provider heard you say: {SAID}"
COMMENT, PING = b": keepalive\n\n", b'event: ping\ndata: {"type":"ping"}\n\n'
PAIRS = [
    (Chat, "via-chat"),
    (Chat, "via-messages"),
    (Responses, "via-responses"),
    (Responses, "via-chat"),
    (Messages, "via-messages"),
    (Messages, "via-gemini"),
    (Gemini, "via-gemini"),
    (Gemini, "via-responses"),
]
SLOW, PACED = "slow:100", "pace:40"
"""Several heartbeats before the first event, and between any two."""


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("beating")
    with Gateway(CONFIG.format(url=provider.url), folder, host="serve") as made:
        yield made


@pytest.fixture(scope="module")
def clients(running: Gateway) -> Iterator[dict[type[Client], Client]]:
    made = {kind: kind(running.url) for kind in CLIENTS}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].__name__.lower()}-{pair[1]}")
def pair(
    request: pytest.FixtureRequest, clients: dict[type[Client], Client], provider: Backstage
) -> tuple[Client, str]:
    kind, model = request.param
    provider.forget()
    return clients[kind], model


def raw(running: Gateway, kind: type[Client], *, streams: bool) -> httpx.Response:
    """The same request as its bytes."""
    messages = [{"role": "user", "content": SAID}]
    asked: dict[str, Any] = {"stream": streams}
    if kind is Gemini:
        method = "streamGenerateContent?alt=sse" if streams else "generateContent"
        path = f"/all/v1beta/models/via-gemini:{method}"
        asked = {"contents": [{"role": "user", "parts": [{"text": SAID}]}]}
    elif kind is Messages:
        path = "/all/v1/messages"
        asked |= {"model": "via-messages", "max_tokens": 99, "messages": messages}
    elif kind is Responses:
        path = "/all/v1/responses"
        asked |= {"model": "via-responses", "input": SAID}
    else:
        path = "/all/v1/chat/completions"
        asked |= {"model": "via-chat", "messages": messages}
    return httpx.post(running.url + path, json=asked, timeout=10)


@pytest.mark.parametrize("fault", [SLOW, PACED])
def test_a_stream_is_read_with_heartbeats_before_and_within_it(
    pair: tuple[Client, str], provider: Backstage, fault: str
) -> None:
    client, model = pair
    provider.script([fault])
    answer = client.ask(model, client.said(SAID), streams=True)
    assert (answer.text, answer.finish) == (HEARD, client.finishes[0])
    assert provider.new == 1


@pytest.mark.parametrize(
    ("kind", "before", "within"),
    [
        (Chat, COMMENT, COMMENT),
        (Responses, COMMENT, COMMENT),
        (Messages, COMMENT, PING),
        (Gemini, None, None),  # its library takes every line for data
    ],
)
def test_heartbeats_are_those_of_the_clients_dialect(
    running: Gateway, provider: Backstage, kind: type[Client], before: bytes | None, within: bytes | None
) -> None:
    provider.script([f"{SLOW} | {PACED}"])
    body = raw(running, kind, streams=True).content
    first, _, rest = body.partition(b"data: {")
    if before is None or within is None:
        assert COMMENT not in body and PING not in body
        return
    assert first.removesuffix(b"event: message_start\n").count(before) >= 3
    assert set(first.replace(before, b"").split(b"\n")) <= {
        b"",
        b"event: message_start",
        b"event: response.created",
    }
    assert rest.count(within) >= 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status:400", "finds this request invalid"),
        ("status:429", "asked too often"),
        ("error-event:0", "verloaded"),
        ("malformed-http", "provider"),
    ],
)
def test_an_error_after_heartbeats_is_raised_with_its_words(
    pair: tuple[Client, str], provider: Backstage, fault: str, words: str
) -> None:
    """By what the library raises of its own, never by what stumbles over half an answer."""
    client, model = pair
    provider.script([f"{SLOW} | {fault}"])
    with pytest.raises(FAILURES) as caught:
        client.ask(model, client.said(SAID), streams=True)
    assert words in str(caught.value)
    assert provider.new == 1


@pytest.mark.parametrize("fault", ["truncate:3", "error-event:3", "stall-stream:3"])
def test_an_error_between_heartbeats_is_raised(
    pair: tuple[Client, str], provider: Backstage, fault: str
) -> None:
    client, model = pair
    provider.script([f"{PACED} | {fault}"])
    with pytest.raises((*FAILURES, RuntimeError)):  # the latter for `response.failed` in place of an end
        client.ask(model, client.said(SAID), streams=True)


def test_a_whole_answer_is_read_with_blanks_before_it(pair: tuple[Client, str], provider: Backstage) -> None:
    client, model = pair
    provider.script([SLOW])
    answer = client.ask(model, client.said(SAID), streams=False)
    assert (answer.text, answer.finish) == (HEARD, client.finishes[0])


@pytest.mark.parametrize(
    ("streams", "fault"),
    [
        (False, "status:429"),
        (False, "status:500"),
        (False, "reset-body:9"),
        (True, "status:429"),
        (True, "status:500"),
        (True, "error-event:0"),
    ],
)
@pytest.mark.parametrize("kind", CLIENTS)
def test_what_fails_after_heartbeats_is_tried_again(
    clients: dict[type[Client], Client],
    provider: Backstage,
    kind: type[Client],
    streams: bool,
    fault: str,
) -> None:
    """They spend the status line, not the chance of an answer."""
    provider.forget()
    provider.script([f"{SLOW} | {fault}"])
    client = clients[kind]
    answer = client.ask("via-spare", client.said(SAID), streams=streams)
    assert answer.text == HEARD
    assert provider.new == 2


@pytest.mark.parametrize("fault", [SLOW, f"{SLOW} | status:429", f"{SLOW} | malformed-http"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_blanks_spend_the_status_and_the_body_tells(
    running: Gateway, provider: Backstage, kind: type[Client], fault: str
) -> None:
    provider.script([fault])
    answer = raw(running, kind, streams=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content.startswith(b" ")
    assert bool(orjson.loads(answer.content).get("error")) == (fault != SLOW)


def test_an_error_in_time_keeps_its_status(provider: Backstage, tmp_path: Path) -> None:
    patient = CONFIG.format(url=provider.url).replace("0.015", "30")
    with Gateway(patient, tmp_path, host="serve") as made:
        for kind in CLIENTS:
            for streams in (False, True):
                provider.script(["status:429"])
                assert raw(made, kind, streams=streams).status_code == 429
