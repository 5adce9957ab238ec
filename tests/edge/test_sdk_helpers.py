"""What people call of the official clients beside plain requests, against an upstream of each dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from support.backstage import Backstage
from support.gateway import Gateway

genai = pytest.importorskip("google.genai")
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
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-gemini"]
models = [{{id = "gemini-3.8-flash", alias = "via-gemini"}}]
"""
UPSTREAMS = ("via-chat", "via-responses", "via-messages", "via-gemini")


class Trip(BaseModel):
    city: str
    days: int


class weather(BaseModel):  # the tool's name
    """The weather"""

    city: str


def script(*steps: Any) -> str:
    return f"demo-script: {json.dumps(steps)}"


OSLO = Trip(city="Oslo", days=3)
SAYS_JSON = script({"say": OSLO.model_dump_json()})
CITIES = ["Oslo", "Bergen"]
CALLS = script([{"call": "weather", "arguments": {"city": one}} for one in CITIES], {"say": "It rains."})


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("helpers")
    with Gateway(CONFIG.format(url=provider.url), folder, host="serve") as made:
        yield made


@pytest.fixture(scope="module")
def gpt(running: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/all/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def claude(running: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{running.url}/all", api_key="none", max_retries=0) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def gemini(running: Gateway) -> Iterator[Any]:
    options = genai_types.HttpOptions(base_url=f"{running.url}/all")
    sdk = genai.Client(api_key="none", http_options=options)
    yield sdk
    sdk.close()


@pytest.fixture(params=UPSTREAMS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---- answers by a schema


def test_chat_parses(gpt: openai.OpenAI, model: str) -> None:
    answer = gpt.chat.completions.parse(model=model, messages=said(SAYS_JSON), response_format=Trip)
    assert answer.choices[0].message.parsed == OSLO


def test_chat_parses_a_stream(gpt: openai.OpenAI, model: str) -> None:
    with gpt.chat.completions.stream(model=model, messages=said(SAYS_JSON), response_format=Trip) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert answer.choices[0].message.parsed == OSLO
    assert {"content.delta", "content.done"} <= kinds


def test_responses_parse(gpt: openai.OpenAI, model: str) -> None:
    assert gpt.responses.parse(model=model, input=SAYS_JSON, text_format=Trip).output_parsed == OSLO


def test_responses_parse_a_stream(gpt: openai.OpenAI, model: str) -> None:
    with gpt.responses.stream(model=model, input=SAYS_JSON, text_format=Trip) as stream:
        events: list[Any] = list(stream)
        assert stream.get_final_response().output_parsed == OSLO
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert Trip.model_validate_json(snapshots[-1]) == OSLO
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert numbers == sorted(numbers)


def test_messages_parse(claude: anthropic.Anthropic, model: str) -> None:
    asked: Any = {"model": model, "max_tokens": 900, "messages": said(SAYS_JSON), "output_format": Trip}
    assert claude.messages.parse(**asked).parsed_output == OSLO
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().parsed_output == OSLO


def test_gemini_parses(gemini: Any, model: str) -> None:
    config = {"response_mime_type": "application/json", "response_schema": Trip}
    assert gemini.models.generate_content(model=model, contents=SAYS_JSON, config=config).parsed == OSLO
    config = {"response_mime_type": "application/json", "response_json_schema": Trip.model_json_schema()}
    told = gemini.models.generate_content(model=model, contents=SAYS_JSON, config=config)
    assert told.parsed == OSLO.model_dump()


# ---- conversations that are packed


@pytest.mark.parametrize("model", ["via-chat", "via-messages", "via-gemini"])
def test_a_conversation_is_packed_and_goes_on(gpt: openai.OpenAI, model: str) -> None:
    items: Any = [*said("My name is Ada."), {"role": "assistant", "content": "Hello."}]
    made: Any = gpt.responses.compact(model=model, input=items)
    assert [one.type for one in made.output] == ["message", "compaction"]
    assert (made.object, made.output[0].content[0].text) == ("response.compaction", "My name is Ada.")
    assert made.usage.input_tokens > 4
    again = [*(one.to_dict(warnings=False) for one in made.output), *said("Who am I?")]
    for other in UPSTREAMS:
        assert "Who am I?" in gpt.responses.create(model=other, input=again).output_text


@pytest.mark.parametrize("streams", [False, True])
def test_it_is_packed_within_an_answer(
    gpt: openai.OpenAI, provider: Backstage, model: str, streams: bool
) -> None:
    items: Any = [*said("My name is Ada."), {"type": "compaction_trigger"}]
    if streams:
        with gpt.responses.stream(model=model, input=items) as stream:
            (item,) = stream.get_final_response().output
    else:
        (item,) = gpt.responses.create(model=model, input=items).output
    assert item.type == "compaction"


# ---- tools that the client runs


def test_chat_adds_calls_up(gpt: openai.OpenAI, model: str) -> None:
    tools = [openai.pydantic_function_tool(weather)]
    with gpt.chat.completions.stream(model=model, messages=said(CALLS), tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        answer = stream.get_final_completion()
    calls: Any = answer.choices[0].message.tool_calls
    assert [one.name for one in done] == ["weather", "weather"]
    assert [one.function.parsed_arguments.city for one in calls] == CITIES


def test_responses_go_on_from_their_own_items(gpt: openai.OpenAI, model: str) -> None:
    tools: Any = [
        {"type": "function", "name": "weather", "parameters": weather.model_json_schema(), "strict": False}
    ]
    with gpt.responses.stream(model=model, input=CALLS, tools=tools) as stream:
        snapshots = [one.snapshot for one in stream if one.type == "response.function_call_arguments.delta"]
        output = stream.get_final_response().output
    calls = [item for item in output if item.type == "function_call"]
    assert json.loads(snapshots[-1]) == {"city": CITIES[-1]}
    results = [{"type": "function_call_output", "call_id": one.call_id, "output": "rain"} for one in calls]
    items: Any = [*said(CALLS), *(item.to_dict() for item in output), *results]
    assert gpt.responses.create(model=model, input=items, tools=tools).output_text == "It rains."


def test_messages_run_tools(claude: anthropic.Anthropic, model: str) -> None:
    @anthropic.beta_tool(name="weather")
    def of_city(city: str) -> str:
        """The weather"""
        return f"rain in {city}"

    asked: Any = {"model": model, "max_tokens": 900, "tools": [of_city], "messages": said(CALLS)}
    last: Any = claude.beta.messages.tool_runner(**asked).until_done().content[-1]
    assert last.text == "It rains."
    texts = []
    for stream in claude.beta.messages.tool_runner(**asked, stream=True):
        for _ in stream:
            pass
        texts.append(stream.get_final_text() if len(texts) else "")
    assert texts == ["", "It rains."]


def test_gemini_runs_tools(gemini: Any, model: str) -> None:
    def weather(city: str) -> str:
        """The weather"""
        return f"rain in {city}"

    chat = gemini.chats.create(model=model, config=genai_types.GenerateContentConfig(tools=[weather]))
    assert chat.send_message(CALLS).text == "It rains."
    told = "".join(chunk.text or "" for chunk in chat.send_message_stream(CALLS))
    assert told == "It rains."
