"""The official clients find nothing wrong with the provider's answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from llmitm.demo.provider import Provider

SAID = "Grüße,\n\n  schöne 🎈 Welt\u2028und  zwei  Leerzeichen "
HEARD = f"The demo provider heard you say: {SAID}"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
    "required": ["city"],
}
ASKED = "Use the tool für 東京, please"
ARGUMENTS = {"city": ASKED, "days": 7, "unit": "C"}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("weather", "tides")
]
RESPONSES_TOOLS: Any = [
    {"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in ("weather", "tides")
]
ANTHROPIC_TOOLS: Any = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "tides")]


@pytest_asyncio.fixture
async def gpt(provider: Provider) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=False)  # to read all authorities takes each client 30 ms
    async with openai.AsyncOpenAI(
        api_key="k", base_url=f"{provider.url}/v1", max_retries=0, http_client=http
    ) as client:
        yield client


@pytest_asyncio.fixture
async def claude(provider: Provider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    http = anthropic.DefaultAsyncHttpxClient(verify=False)
    async with anthropic.AsyncAnthropic(
        api_key="k", base_url=provider.url, max_retries=0, http_client=http
    ) as client:
        yield client


async def test_chat_says_back_what_was_said(gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.chat.completions.create(
        model="gpt-6-sol",
        messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": SAID}],
    )
    assert answer.choices[0].message.content == HEARD
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-6-sol"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2 + len(SAID.split())
    assert answer.usage.completion_tokens == len(HEARD.split())


async def test_a_chat_stream_is_the_same_text_in_many_pieces(gpt: openai.AsyncOpenAI) -> None:
    stream = await gpt.chat.completions.create(
        model="gpt-6-sol", messages=[{"role": "user", "content": SAID}], stream=True
    )
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert "".join(pieces) == HEARD
    assert len(pieces) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk.usage for chunk in chunks} == {None}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


async def test_a_chat_stream_ends_with_its_usage_where_that_was_asked(gpt: openai.AsyncOpenAI) -> None:
    stream = await gpt.chat.completions.create(
        model="gpt-6-sol",
        messages=[{"role": "user", "content": SAID}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None and last.usage.completion_tokens == len(HEARD.split())
    assert {chunk.usage for chunk in others} == {None}
    assert all("usage" in chunk.model_fields_set for chunk in others)


@pytest.mark.parametrize("streams", [False, True])
async def test_several_choices_differ_and_do_not_mix(gpt: openai.AsyncOpenAI, streams: bool) -> None:
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": SAID}], "n": 3}
    texts = {0: "", 1: "", 2: ""}
    if streams:
        order = []
        async for chunk in await gpt.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                order.append(choice.index)
        assert order[:6] == [0, 1, 2, 0, 1, 2]
    else:
        for choice in (await gpt.chat.completions.create(**asked)).choices:
            texts[choice.index] = choice.message.content or ""
    assert texts == {0: HEARD, 1: f"{HEARD} (choice 2)", 2: f"{HEARD} (choice 3)"}


@pytest.mark.parametrize("streams", [False, True])
async def test_chat_calls_the_first_tool(gpt: openai.AsyncOpenAI, streams: bool) -> None:
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": ASKED}], "tools": CHAT_TOOLS}
    if streams:
        async with gpt.chat.completions.stream(**asked) as stream:
            events = [event async for event in stream]
            answer = await stream.get_final_completion()
        deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
        assert len(deltas) > 2
    else:
        answer = await gpt.chat.completions.create(**asked)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls: Any = choice.message.tool_calls
    assert [(call.type, call.function.name) for call in calls] == [("function", "weather")]
    assert calls[0].id.startswith("call_")
    assert json.loads(calls[0].function.arguments) == ARGUMENTS


async def test_a_tools_result_is_answered_in_words(gpt: openai.AsyncOpenAI) -> None:
    """Else an agent's loop would never end."""
    messages: Any = [
        {"role": "user", "content": ASKED},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    answer = await gpt.chat.completions.create(model="m", messages=messages, tools=CHAT_TOOLS)
    assert answer.choices[0].message.content == "The demo provider read this result: rain"


async def test_responses_says_back_what_was_said(gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.responses.create(model="gpt-6-sol", input=SAID, instructions="be brief")
    assert answer.output_text == HEARD
    assert answer.status == "completed"
    assert answer.usage is not None and answer.usage.input_tokens == 2 + len(SAID.split())


async def test_a_responses_stream_has_every_event_in_its_order(gpt: openai.AsyncOpenAI) -> None:
    async with gpt.responses.stream(model="gpt-6-sol", input=SAID) as stream:
        events = [event async for event in stream]
        answer = await stream.get_final_response()
    assert answer.output_text == HEARD
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert deltas > 5
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * deltas,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


@pytest.mark.parametrize("streams", [False, True])
async def test_responses_calls_every_tool_when_told(gpt: openai.AsyncOpenAI, streams: bool) -> None:
    asked: Any = {"model": "m", "input": "call every tool", "tools": RESPONSES_TOOLS}
    if streams:
        async with gpt.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            answer: Any = await stream.get_final_response()
        assert kinds.count("response.function_call_arguments.delta") > 4
        assert kinds.count("response.function_call_arguments.done") == 2
    else:
        answer = await gpt.responses.create(**asked)
    assert [item.type for item in answer.output] == ["function_call"] * 2
    assert [item.name for item in answer.output] == ["weather", "tides"]
    assert json.loads(answer.output[1].arguments)["city"] == "call every tool"
    assert len({item.call_id for item in answer.output}) == 2


async def test_messages_says_back_what_was_said(claude: anthropic.AsyncAnthropic) -> None:
    answer = await claude.messages.create(
        model="claude-opus-5-5", max_tokens=99, messages=[{"role": "user", "content": SAID}]
    )
    assert [(block.type, getattr(block, "text", "")) for block in answer.content] == [("text", HEARD)]
    assert (answer.stop_reason, answer.model) == ("end_turn", "claude-opus-5-5")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (len(SAID.split()), len(HEARD.split()))


async def test_a_messages_stream_adds_up_to_the_message(claude: anthropic.AsyncAnthropic) -> None:
    async with claude.messages.stream(
        model="claude-opus-5-5", max_tokens=99, messages=[{"role": "user", "content": SAID}]
    ) as stream:
        kinds = [event.type async for event in stream]
        answer = await stream.get_final_message()
    assert [getattr(block, "text", "") for block in answer.content] == [HEARD]
    assert answer.usage.output_tokens == len(HEARD.split())
    assert kinds.count("content_block_delta") > 5
    assert kinds[-2:] == ["message_delta", "message_stop"]


@pytest.mark.parametrize("streams", [False, True])
async def test_messages_calls_tools(claude: anthropic.AsyncAnthropic, streams: bool) -> None:
    asked: Any = {
        "model": "claude-opus-5-5",
        "max_tokens": 99,
        "tools": ANTHROPIC_TOOLS,
        "messages": [{"role": "user", "content": ASKED}],
    }
    if streams:
        async with claude.messages.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            answer = await stream.get_final_message()
        assert kinds.count("input_json") > 2
    else:
        answer = await claude.messages.create(**asked)
    (block,) = answer.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("weather", ARGUMENTS)
    assert answer.stop_reason == "tool_use"


async def test_messages_reads_a_tools_result(claude: anthropic.AsyncAnthropic) -> None:
    messages: Any = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "rain"}]},
    ]
    answer = await claude.messages.create(model="m", max_tokens=9, messages=messages, tools=ANTHROPIC_TOOLS)
    assert getattr(answer.content[0], "text", "") == "The demo provider read this result: rain"


async def test_tokens_are_counted(claude: anthropic.AsyncAnthropic) -> None:
    counted = await claude.messages.count_tokens(
        model="m", system="be brief", messages=[{"role": "user", "content": "one two three"}]
    )
    assert counted.input_tokens == 5


async def test_embeddings_are_the_same_in_both_encodings(gpt: openai.AsyncOpenAI) -> None:
    """The client asks for base64 unless told otherwise."""
    packed = await gpt.embeddings.create(model="e", input=["a", "b c"], dimensions=5)
    plain = await gpt.embeddings.create(model="e", input=["a", "b c"], dimensions=5, encoding_format="float")
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
    assert len(packed.data[1].embedding) == 5
    assert packed.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens == 3


async def test_each_client_sees_its_own_models(
    gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    assert "gpt-6-sol" in [model.id async for model in gpt.models.list()]
    assert "claude-opus-5-5" in [model.id async for model in claude.models.list()]
    assert (await gpt.models.retrieve("x")).id == (await claude.models.retrieve("x")).id == "x"


async def test_the_old_completions_work(gpt: openai.AsyncOpenAI) -> None:
    answer = await gpt.completions.create(model="m", prompt="hi you")
    stream = await gpt.completions.create(model="m", prompt="hi you", stream=True)
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert answer.choices[0].text == text == "The demo provider heard you say: hi you"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("status:400", openai.BadRequestError),
        ("status:401", openai.AuthenticationError),
        ("status:429", openai.RateLimitError),
        ("status:500", openai.InternalServerError),
        ("status:503", openai.InternalServerError),
    ],
)
async def test_openais_client_knows_the_errors(
    provider: Provider, gpt: openai.AsyncOpenAI, spec: str, expected: type[openai.APIStatusError]
) -> None:
    provider.script([spec, spec])
    with pytest.raises(expected) as chat:
        await gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(expected):
        await gpt.responses.create(model="m", input="x")
    assert chat.value.type
    assert chat.value.response.headers.get("retry-after") == ("1" if "429" in spec else None)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("status:400", "invalid_request_error"),
        ("status:401", "authentication_error"),
        ("status:429", "rate_limit_error"),
        ("status:500", "api_error"),
        ("status:529", "overloaded_error"),
    ],
)
async def test_anthropics_client_knows_the_errors(
    provider: Provider, claude: anthropic.AsyncAnthropic, spec: str, kind: str
) -> None:
    provider.script([spec])
    with pytest.raises(anthropic.APIStatusError) as error:
        await claude.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert error.value.type == kind


@pytest.mark.parametrize("after", [0, 3])
async def test_an_error_in_a_stream_reaches_the_client(
    provider: Provider, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, after: int
) -> None:
    provider.script([f"error-event:{after}"] * 3)
    with pytest.raises(openai.APIError, match="overloaded"):
        async for _ in await gpt.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            pass
    kinds = []
    with pytest.raises(openai.APIError, match="overloaded"):
        async for event in await gpt.responses.create(model="m", input="x", stream=True):
            kinds.append(event.type)
            if event.type == "error":
                raise openai.APIError(event.message, request=None, body=None)  # type: ignore[arg-type]
    assert len(kinds) in (after, after + 1)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async for _ in await claude.messages.create(
            model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], stream=True
        ):
            pass


async def test_anthropics_version_rules_hold(claude: anthropic.AsyncAnthropic, provider: Provider) -> None:
    """What the version of today took away is refused; the version of old still has it."""
    sampling: Any = {"extra_body": {"temperature": 1.0}}
    asked: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        await claude.messages.create(**asked, **sampling)
    assert provider.requests[-1].header(b"anthropic-version") == b"2026-10-21"
    old = {"anthropic-version": "2023-06-01"}
    await claude.messages.create(**asked, **sampling, extra_headers=old)
