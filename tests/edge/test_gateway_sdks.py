"""The official clients through a running gateway, each against an upstream of each dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

genai = pytest.importorskip("google.genai")
from google.genai import errors as genai_errors  # noqa: E402
from google.genai import types as genai_types  # noqa: E402

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
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ARGUMENTS = {"city": ASKED, "days": 7}
RESULT = "Regen 🌧 in 東京"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client's own library makes of an answer."""

    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    finish: str
    input_tokens: int | None
    output_tokens: int | None
    again: Callable[[str], Any]
    """The conversation so far, and the result of the call: what is sent next."""
    thought: str = ""


class Chat:
    finishes = ("stop", "tool_calls")
    errors = {400: openai.BadRequestError, 429: openai.RateLimitError, 500: openai.InternalServerError}

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/all/v1", api_key="none", max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def ask(
        self, model: str, messages: Any, *, streams: bool, tools: bool = False, thinks: bool = False
    ) -> Answer:
        options: dict[str, Any] = {"model": model, "messages": messages}
        if tools:
            function = {"name": "weather", "description": "The weather", "parameters": SCHEMA}
            options["tools"] = [{"type": "function", "function": function}]
        if thinks:
            options |= {"reasoning_effort": "low", "extra_body": {"include_reasoning": True}}
        answer: Any
        if streams:
            with self.sdk.chat.completions.stream(
                **options, stream_options={"include_usage": True}
            ) as stream:
                for _ in stream:
                    pass
                answer = stream.get_final_completion()
        else:
            answer = self.sdk.chat.completions.create(**options)
        choice = answer.choices[0]
        message = choice.message.to_dict()
        calls = choice.message.tool_calls or ()

        def again(result: str) -> Any:
            told = {"role": "tool", "tool_call_id": calls[0].id, "content": result}
            return [*messages, message, told]

        return Answer(
            text=choice.message.content or "",
            calls=tuple((call.function.name, json.loads(call.function.arguments)) for call in calls),
            finish=choice.finish_reason,
            input_tokens=answer.usage.prompt_tokens,
            output_tokens=answer.usage.completion_tokens,
            again=again,
            thought=message.get("reasoning_content", ""),
        )


class Responses:
    finishes = ("completed", "completed")
    errors = Chat.errors

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/all/v1", api_key="none", max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def ask(
        self, model: str, items: Any, *, streams: bool, tools: bool = False, thinks: bool = False
    ) -> Answer:
        options: dict[str, Any] = {"model": model, "input": items, "store": False}
        if tools:
            options["tools"] = [
                {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
            ]
        if thinks:
            options["reasoning"] = {"effort": "low", "summary": "auto"}
            options["include"] = ["reasoning.encrypted_content"]
        answer: Any
        if streams:
            with self.sdk.responses.stream(**options) as stream:
                for _ in stream:
                    pass
                answer = stream.get_final_response()
        else:
            answer = self.sdk.responses.create(**options)
        calls = [item for item in answer.output if item.type == "function_call"]

        def again(result: str) -> Any:
            said = [item.to_dict() for item in answer.output]
            told = {"type": "function_call_output", "call_id": calls[0].call_id, "output": result}
            return [*items, *said, told]

        thoughts = [item for item in answer.output if item.type == "reasoning"]
        parts = [part.text for item in thoughts for part in (*item.summary, *(item.content or ()))]
        return Answer(
            text=answer.output_text,
            calls=tuple((call.name, json.loads(call.arguments)) for call in calls),
            finish=answer.status,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            again=again,
            thought="".join(parts),
        )


class Messages:
    finishes = ("end_turn", "tool_use")
    errors = {
        400: anthropic.BadRequestError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
    }

    def __init__(self, url: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=f"{url}/all", api_key="none", max_retries=0)

    def close(self) -> None:
        self.sdk.close()

    def said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def ask(
        self, model: str, messages: Any, *, streams: bool, tools: bool = False, thinks: bool = False
    ) -> Answer:
        options: dict[str, Any] = {"model": model, "max_tokens": 2000, "messages": messages}
        if tools:
            options["tools"] = [{"name": "weather", "description": "The weather", "input_schema": SCHEMA}]
        if thinks:
            options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        answer: Any
        if streams:
            with self.sdk.messages.stream(**options) as stream:
                for _ in stream:
                    pass
                answer = stream.get_final_message()
        else:
            answer = self.sdk.messages.create(**options)
        calls = [block for block in answer.content if block.type == "tool_use"]

        def again(result: str) -> Any:
            said = [block.to_dict() for block in answer.content]
            told = {"type": "tool_result", "tool_use_id": calls[0].id, "content": result}
            return [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": [told]}]

        return Answer(
            text="".join(block.text for block in answer.content if block.type == "text"),
            calls=tuple((call.name, call.input) for call in calls),
            finish=answer.stop_reason,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            again=again,
            thought="".join(block.thinking for block in answer.content if block.type == "thinking"),
        )


class Gemini:
    finishes = ("STOP", "STOP")
    errors = dict.fromkeys((400, 429), genai_errors.ClientError) | {500: genai_errors.ServerError}

    def __init__(self, url: str) -> None:
        options = genai_types.HttpOptions(base_url=f"{url}/all")
        self.sdk = genai.Client(api_key="none", http_options=options)

    def close(self) -> None:
        self.sdk.close()

    def said(self, text: str) -> Any:
        return [genai_types.Content(role="user", parts=[genai_types.Part(text=text)])]

    def ask(
        self, model: str, contents: Any, *, streams: bool, tools: bool = False, thinks: bool = False
    ) -> Answer:
        options: dict[str, Any] = {}
        if tools:
            function = {"name": "weather", "description": "The weather", "parameters_json_schema": SCHEMA}
            options["tools"] = [{"function_declarations": [function]}]
            options["automatic_function_calling"] = {"disable": True}
        if thinks:
            options["thinking_config"] = {"include_thoughts": True, "thinking_level": "low"}
        asked: Any = {"model": model, "contents": contents, "config": options or None}
        parts: list[Any] = []
        finish = usage = None
        chunks = (
            self.sdk.models.generate_content_stream(**asked)
            if streams
            else [self.sdk.models.generate_content(**asked)]
        )
        for chunk in chunks:
            candidate = chunk.candidates[0]
            parts += (candidate.content and candidate.content.parts) or []
            finish, usage = candidate.finish_reason or finish, chunk.usage_metadata or usage
        calls = [part.function_call for part in parts if part.function_call]

        def again(result: str) -> Any:
            said = genai_types.Content(role="model", parts=[part for part in parts if part.text != ""])
            told = genai_types.FunctionResponse(
                id=calls[0].id, name=calls[0].name, response={"result": result}
            )
            answered = genai_types.Content(role="user", parts=[genai_types.Part(function_response=told)])
            return [*contents, said, answered]

        assert usage is not None and finish is not None
        return Answer(
            text="".join(part.text or "" for part in parts if not part.thought),
            calls=tuple((call.name, call.args) for call in calls),
            finish=finish.value,
            input_tokens=usage.prompt_token_count,
            output_tokens=(usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            again=again,
            thought="".join(part.text or "" for part in parts if part.thought),
        )


type Client = Chat | Responses | Messages | Gemini
CLIENTS: tuple[type[Client], ...] = (Chat, Responses, Messages, Gemini)
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
    except (openai.OpenAIError, anthropic.AnthropicError, genai_errors.APIError, httpx.HTTPError):
        return
    except (RuntimeError, ValueError):
        return  # of their accumulators: no end was seen, or what is no JSON, as the client's own API sent it
    raise AssertionError("half an answer was taken for a whole one")
