"""The vendors' official clients, answered from memory: replies, streams and errors as they read them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import anthropic
import httpx2  # the official clients bring it
import openai
from google import genai
from google.genai import types as google_types
from openai.lib.streaming.chat import ChatCompletionStreamState

from llmitm.exchange import Dialect
from support.normal.form import Form, arguments
from support.normal.partial import joined
from support.normal.replies import chat_content, form_of

_ASK: Final[list[Any]] = [{"role": "user", "content": "x"}]


class Unreadable(Exception):
    """The vendor's own client makes nothing of it."""


class Failure(Exception):
    """The vendor's own client tells of an error within a reply or a stream."""


@dataclass
class Clients:
    """One client of each vendor; `answer` is what the next call gets."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    openai: openai.OpenAI = field(init=False)
    anthropic: anthropic.Anthropic = field(init=False)
    google: genai.Client = field(init=False)

    def __post_init__(self) -> None:
        http = httpx2.Client(transport=httpx2.MockTransport(self._answered))
        self.openai = openai.OpenAI(
            api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0
        )
        self.anthropic = anthropic.Anthropic(
            api_key="k", base_url="http://gateway", http_client=http, max_retries=0
        )
        self.google = genai.Client(
            api_key="k",
            http_options=google_types.HttpOptions(base_url="http://gateway", httpx_client=http),
        )

    def _answered(self, _: httpx2.Request) -> httpx2.Response:
        status, headers, body = self.answer
        return httpx2.Response(status, headers=headers, content=body)


@cache
def clients() -> Clients:
    return Clients()


def ask(dialect: Dialect, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The answer as the client reads it, with the names of the API. Raises what the client raises."""
    on = clients()
    on.answer = (status, {"content-type": "application/json", **headers}, body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clients warn of models and of fields that they do not know
        match dialect:
            case Dialect.OPENAI_CHAT:
                chat = on.openai.chat.completions.create(model="m", messages=_ASK)
                return chat.to_dict(warnings=False)
            case Dialect.OPENAI_RESPONSES:
                response = on.openai.responses.create(model="m", input="x")
                return response.to_dict(warnings=False)
            case Dialect.ANTHROPIC_MESSAGES:
                message = on.anthropic.messages.create(model="m", max_tokens=1, messages=_ASK)
                return message.to_dict(warnings=False)
            case Dialect.GEMINI:
                google = on.google.models.generate_content(model="m", contents="x")
                return google_dict(google)


def google_dict(reply: Any) -> dict[str, Any]:
    made: dict[str, Any] = reply.model_dump(
        by_alias=True, exclude_none=True, mode="json", exclude={"sdk_http_response", "parsed"}, warnings=False
    )
    return made


def reply_form(dialect: Dialect, body: bytes) -> Form:
    """What the dialect's client reads in a whole reply.

    Raises:
        Unreadable: it cannot read it.
    """
    try:
        return form_of(dialect, ask(dialect, 200, {}, body))
    except (Unreadable, Failure):
        raise
    except Exception as failure:  # whatever the client trips over
        raise Unreadable(f"{type(failure).__name__}: {failure!s:.300}") from failure


def stream_form(dialect: Dialect, body: bytes) -> Form:
    """What the dialect's client reads in a stream, added up by its own accumulator.

    Raises:
        Unreadable: it cannot read it.
        Failure: the stream tells of an error, or ends too early.
    """
    on = clients()
    on.answer = (200, {"content-type": "text/event-stream"}, body)
    read = {
        Dialect.OPENAI_CHAT: _chat_stream,
        Dialect.OPENAI_RESPONSES: _responses_stream,
        Dialect.ANTHROPIC_MESSAGES: _messages_stream,
        Dialect.GEMINI: _gemini_stream,
    }[dialect]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(on)
    except (Unreadable, Failure):
        raise
    except (openai.APIError, anthropic.APIError, genai.errors.APIError) as told:
        raise Failure(str(told)[:300]) from told
    except Exception as failure:
        raise Unreadable(f"{type(failure).__name__}: {failure!s:.300}") from failure


def _chat_stream(on: Clients) -> Form:
    """Hosts that send content in parts get it added up here: the accumulator takes texts only."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    usage: Any = None
    beside = Form()
    said: dict[tuple[int, int], tuple[str, str]] = {}
    is_begun = in_parts = False
    for chunk in on.openai.chat.completions.create(model="m", messages=_ASK, stream=True):
        is_begun = True
        if chunk.usage is not None:
            usage = chunk.usage
        for choice in chunk.choices:
            content: Any = choice.delta.content if choice.delta and not choice.index else None
            _tell_once(choice, said)
            chat_content(content, beside)
            if isinstance(content, list):
                in_parts = True
                choice.delta.content = None
        state.handle_chunk(chunk)
    if not is_begun:
        raise Failure("no chunk")
    whole = state.current_completion_snapshot.to_dict(warnings=False)
    if usage is not None:
        whole["usage"] = usage.to_dict(warnings=False)
    form = form_of(Dialect.OPENAI_CHAT, whole)
    if in_parts:
        form.texts, form.reasoning = beside.texts, form.reasoning + beside.reasoning
    if form.finish == "none" and b"[DONE]" not in on.answer[2]:
        raise Failure("no finish_reason")
    return form


def _tell_once(choice: Any, said: dict[tuple[int, int], tuple[str, str]]) -> None:
    """Hosts say id and name of a call again, or the whole of it: the accumulator would say them twice."""
    for call in (choice.delta.tool_calls if choice.delta else None) or []:
        if call.function is None:
            continue
        key, text = (choice.index, call.index), call.function.arguments or ""
        known, before = said.get(key, ("", ""))
        if call.id and call.id == known:
            call.id = call.function.name = None
            if text == before:
                call.function.arguments = text = ""
        said[key] = (known or call.id or "", before + text)


def _responses_stream(on: Clients) -> Form:
    final: Any = None
    done: dict[int, Any] = {}
    with on.openai.responses.stream(model="m", input="x") as stream:
        for event in stream:
            if event.type == "error":
                raise Failure(event.message)
            if event.type == "response.output_item.done":
                done[event.output_index] = event.item
            if event.type in ("response.completed", "response.incomplete"):
                final = event.response  # type: ignore[union-attr]
            elif event.type == "response.failed":
                raise Failure(str(getattr(event.response.error, "message", "failed")))
    if final is None:
        raise Failure("no terminal event")
    whole = final.to_dict(warnings=False)
    if not whole.get("output"):  # some hosts tell of items in their own events alone
        whole["output"] = [item.to_dict(warnings=False) for _, item in sorted(done.items())]
    return form_of(Dialect.OPENAI_RESPONSES, whole)


def _messages_stream(on: Clients) -> Form:
    spelled: dict[int, str] = {}
    is_over = False
    with on.anthropic.messages.stream(model="m", max_tokens=1, messages=_ASK) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                spelled[event.index] = spelled.get(event.index, "") + event.delta.partial_json
            is_over = is_over or (event.type == "message_delta" and event.delta.stop_reason is not None)
        whole = stream.get_final_message().to_dict(warnings=False)
    if not is_over:
        raise Failure("no stop_reason")
    form = form_of(Dialect.ANTHROPIC_MESSAGES, whole)
    places = [n for n, block in enumerate(whole["content"]) if block["type"] == "tool_use"]  # type: ignore[index,arg-type]
    for call, place in zip(form.calls, places, strict=True):
        if spelled.get(place, "").strip():  # the client guesses the end of arguments that are cut off
            call.arguments = arguments(spelled[place])
    return form


def _gemini_stream(on: Clients) -> Form:
    whole: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for chunk in on.google.models.generate_content_stream(model="m", contents="x"):
        said = google_dict(chunk)
        for name in ("usageMetadata", "promptFeedback"):
            if said.get(name):
                whole[name] = said[name]
        for candidate in said.get("candidates") or []:
            if candidate.get("index", 0) == 0:
                parts += (candidate.get("content") or {}).get("parts") or []
                first |= {name: value for name, value in candidate.items() if value is not None}
    if first:
        whole["candidates"] = [first | {"content": {"parts": joined(parts)}}]
    form = form_of(Dialect.GEMINI, whole)
    if form.finish == "none":
        raise Failure("no finishReason")
    return form


__all__ = ["Failure", "Unreadable", "ask", "clients", "reply_form", "stream_form"]
