"""The official clients through a running gateway, each against an upstream of each dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage
from support.gateway import Gateway
from support.sdks import CLIENTS, FAILURES, Answer, Chat, Client, Gemini, Messages, Responses

CONFIG = """
retry = {{cooldowns = false}}
[server]
port = 0
[endpoints.all]
kind = "gateway"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat"]
models = [{{id = "gpt-4.1", alias = "via-chat"}}, {{id = "deepseek-chat", alias = "thinking-chat"}}]
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
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-gemini"]
models = [{{id = "gemini-3.8-flash", alias = "via-gemini"}}]
"""
UPSTREAMS = ("via-chat", "via-responses", "via-messages", "via-gemini")
SAID = "Grüße,\n\n  schöne 🎈 Welt\u2028und  zwei  Leerzeichen "
HEARD = f"The demo provider heard you say: {SAID}"
ASKED = "Use the tool für 東京, please"
ARGUMENTS = {"city": ASKED, "days": 7}
RESULT = "Regen 🌧 in 東京"


OWN = {Chat: "via-chat", Responses: "via-responses", Messages: "via-messages", Gemini: "via-gemini"}


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("router")
    with Gateway(CONFIG.format(url=provider.url), folder, host="serve") as made:
        yield made


@pytest.fixture(scope="module")
def clients(running: Gateway) -> Iterator[dict[type[Client], Client]]:
    made = {kind: kind(running.url) for kind in CLIENTS}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.__name__.lower())
def client(
    request: pytest.FixtureRequest, clients: dict[type[Client], Client], provider: Backstage
) -> Client:
    provider.forget()
    return clients[request.param]


def read(answer: Answer) -> str:
    """The tool's result as the upstream read it; Gemini's clients and models have it in an object."""
    told = answer.text.removeprefix("The demo provider read this result: ")
    return str(next(iter(json.loads(told).values()))) if told.startswith("{") else told


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_text_is_the_same_text_through_any_pair(client: Client, model: str, streams: bool) -> None:
    answer = client.ask(model, client.said(SAID), streams=streams)
    assert answer.text == HEARD
    assert answer.calls == ()
    assert answer.finish == client.finishes[0]
    assert (answer.input_tokens, answer.output_tokens) == (len(SAID.split()), len(HEARD.split()))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_tool_is_called_and_its_result_read(client: Client, model: str, streams: bool) -> None:
    called = client.ask(model, client.said(ASKED), streams=streams, tools=True)
    assert called.calls == (("weather", ARGUMENTS),)
    assert called.finish == client.finishes[1]
    answer = client.ask(model, called.again(RESULT), streams=streams, tools=True)
    assert read(answer) == RESULT
    assert answer.finish == client.finishes[0]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", [*UPSTREAMS[1:], "thinking-chat"])
def test_reasoning_is_shown_and_goes_back(client: Client, model: str, streams: bool) -> None:
    called = client.ask(model, client.said(ASKED), streams=streams, tools=True, thinks=True)
    assert called.thought == f"The demo provider thinks about: {ASKED}"
    assert called.calls == (("weather", ARGUMENTS),)
    answer = client.ask(model, called.again(RESULT), streams=streams, tools=True, thinks=True)
    assert read(answer) == RESULT


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_errors_are_those_of_the_clients_library(
    client: Client, provider: Backstage, model: str, status: int, streams: bool
) -> None:
    provider.script([f"status:{status}"])
    with pytest.raises(client.errors[status]):
        client.ask(model, client.said(SAID), streams=streams)


@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_credential_of_ours_that_is_refused_is_not_the_clients_fault(
    client: Client, provider: Backstage, model: str
) -> None:
    provider.script(["status:401"])
    with pytest.raises(client.errors[500]) as caught:
        client.ask(model, client.said(SAID), streams=False)
    assert "credential" in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    ["error-event:0", "error-event:3", "truncate:3", "early-end:3", "malformed-sse:4", "reset-body:3"],
)
@pytest.mark.parametrize("model", UPSTREAMS)
def test_a_stream_that_fails_is_never_taken_for_whole(
    client: Client, provider: Backstage, model: str, fault: str
) -> None:
    provider.script([fault])
    try:
        client.ask(model, client.said(SAID), streams=True)
    except FAILURES:
        return
    except (RuntimeError, ValueError):
        return  # of their accumulators: no end was seen, or what is no JSON, as the client's own API sent it
    raise AssertionError("half an answer was taken for a whole one")
