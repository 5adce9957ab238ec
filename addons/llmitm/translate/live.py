"""What the messages of live sessions say, read as they go by: models, tokens, errors. Pure.

Three kinds of sessions: OpenAI's Realtime, its Responses over a WebSocket, and Gemini's Live. What cannot be
read is nobody's business but client and provider's: nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from llmitm.exchange import Usage
from llmitm.translate.gemini import usage as gemini_usage
from llmitm.translate.metered import total
from llmitm.translate.reading import text_if
from llmitm.translate.responses import facts

_TELLING: Final = (b'"usage"', b'"usageMetadata"', b'"model"', b'"turnComplete"', b'"setupComplete"')
"""What a provider's message has that says anything of use here; most are pieces of sound or text."""


def read_object(content: bytes | None) -> dict[str, Any] | None:
    """A message as JSON object; None where it is none, or was not kept."""
    if not content:
        return None
    try:
        read = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None


def models_in(message: dict[str, Any]) -> tuple[str, ...]:
    """All models that a client's message asks for, the session's own first."""
    return tuple(dict.fromkeys(name.removeprefix("models/") for name in _models(message)))


def _models(message: dict[str, Any]) -> Iterator[str]:
    """They may stand in the message itself, or in the settings of the session and of what it hears."""
    waiting: list[Any] = [message]
    while waiting:
        one = waiting.pop(0)
        if name := text_if(one.get("model")):
            yield name
        waiting += (inner for name, inner in one.items() if name in HOLDERS and isinstance(inner, dict))


HOLDERS: Final = frozenset(
    {"setup", "session", "response", "audio", "input", "transcription", "input_audio_transcription"}
)
"""Members of messages whose objects may name models."""


@dataclass(slots=True)
class Tally:
    """What the provider of one session has told so far."""

    usage: Usage | None = None
    """Of all turns that are told of; None: of none."""
    model: str | None = None
    """As the provider names it."""
    _turn: Usage | None = None
    """Gemini's counts of the turn that goes on: they grow with it."""
    _past: Usage | None = None
    _is_over: bool = field(default=False)

    def read(self, content: bytes | None) -> bool:
        """Takes one message of the provider's. True where it told of tokens."""
        if not content or not any(word in content for word in _TELLING):
            return False
        message = read_object(content)
        if message is None:
            return False
        before = self.usage
        if "type" in message:
            self._openai(message)
        else:
            self._gemini(message)
        return self.usage is not before

    def _openai(self, message: dict[str, Any]) -> None:
        for name in ("session", "response"):
            inner = message.get(name)
            if isinstance(inner, dict) and (model := text_if(inner.get("model"))):
                self.model = model
        match message:
            case {
                "type": "response.done" | "response.completed" | "response.incomplete" | "response.failed",
                "response": dict(told),
            }:
                self._add(_of_openai(told))
            case {"type": "conversation.item.input_audio_transcription.completed", "usage": dict()}:
                self._add(_of_openai(message))
            case _:
                pass

    def _gemini(self, message: dict[str, Any]) -> None:
        counts = message.get("usageMetadata")
        if isinstance(counts, dict) and (usage := _of_gemini(counts)) is not None:
            turn = self._turn
            if turn is None or self._is_over or turn.input_tokens != usage.input_tokens:
                self._past = self.usage
                self._is_over = False
            self._turn = usage
            self.usage = total(one for one in (self._past, usage) if one is not None)
        content = message.get("serverContent")
        if isinstance(content, dict) and content.get("turnComplete"):
            self._is_over = self._turn is not None

    def _add(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = total(one for one in (self.usage, usage) if one is not None)


def _of_openai(told: dict[str, Any]) -> Usage | None:
    counts = told.get("usage")
    if not isinstance(counts, dict):
        return None
    # Realtime's counts name their details in the singular
    renamed = {name.replace("_token_details", "_tokens_details"): value for name, value in counts.items()}
    return facts.read_usage({**told, "usage": renamed})


def _of_gemini(counts: dict[str, Any]) -> Usage | None:
    """A live session counts a response where others count candidates."""
    renamed = dict(counts)
    for live, other in (
        ("responseTokenCount", "candidatesTokenCount"),
        ("responseTokensDetails", "candidatesTokensDetails"),
    ):
        if live in renamed:
            renamed.setdefault(other, renamed[live])
    return gemini_usage.read_usage(renamed)
