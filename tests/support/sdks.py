"""The official clients, each asked in one way, so that tests go over all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest

genai = pytest.importorskip("google.genai")
from google.genai import errors as genai_errors  # noqa: E402
from google.genai import types as genai_types  # noqa: E402

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
"""Of the tool `weather`."""
FAILURES = (openai.OpenAIError, anthropic.AnthropicError, genai_errors.APIError, httpx.HTTPError)
"""What they raise of their own."""


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
    """Each of these has its key where its library puts it."""

    finishes = ("stop", "tool_calls")
    errors = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
    }

    def __init__(self, url: str, key: str = "none") -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/all/v1", api_key=key, max_retries=0)

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

    def __init__(self, url: str, key: str = "none") -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/all/v1", api_key=key, max_retries=0)

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
        401: anthropic.AuthenticationError,
        403: anthropic.PermissionDeniedError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
    }

    def __init__(self, url: str, key: str = "none") -> None:
        self.sdk = anthropic.Anthropic(base_url=f"{url}/all", api_key=key, max_retries=0)

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
    errors = dict.fromkeys((400, 401, 403, 429), genai_errors.ClientError) | {500: genai_errors.ServerError}

    def __init__(self, url: str, key: str = "none") -> None:
        options = genai_types.HttpOptions(base_url=f"{url}/all")
        self.sdk = genai.Client(api_key=key, http_options=options)

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
