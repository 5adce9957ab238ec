"""A stream of Anthropic events, written. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate import jsontext, seals
from llmitm.translate.failures import write_failure_event
from llmitm.translate.messages.reply_out import seal_block
from llmitm.translate.messages.stops import write_stop
from llmitm.translate.messages.usage import write_usage
from llmitm.translate.neutral import (
    Citation,
    End,
    ExtrasSeen,
    Failed,
    Hosted,
    Logprobs,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


class StreamWriter:
    """Writes one stream; see `stream.Writer`. Of several choices the first one: this API has but one."""

    __slots__ = (
        "_asked",
        "_citations",
        "_has_refusal",
        "_index",
        "_is_open",
        "_part",
        "_sealed",
        "_start",
        "_stop",
        "_subs",
        "_usage",
    )

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._start: Start | None = None
        self._index = 0
        """Of the open block, else of the next one."""
        self._is_open = False
        self._part: Part | None = None
        self._sealed: Sealed | None = None
        self._citations: list[Citation] = []
        self._subs = 0
        self._has_refusal = False
        self._usage: Usage | None = None
        self._stop: Stop | None = None

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case PartDelta(choice=0):
                return self._delta(event)
            case PartStart(choice=0):
                return self._open_part(event.part)
            case PartMeta(choice=0):
                return self._meta(event)
            case PartStop(choice=0):
                return self._close_part()
            case Start():
                return self._begin(event)
            case UsageSeen():
                self._usage = event.usage
            case StopSeen(choice=0):
                self._stop = event.stop
            case Failed():
                return write_failure_event(self._asked.dialect, event.error, "")
            case Ping():
                return PING if self._start is not None else b""
            case End():
                return self._end()
            case Logprobs() | ExtrasSeen():
                pass
        return b""

    def _begin(self, event: Start) -> bytes:
        self._start, self._usage = event, event.usage
        message: dict[str, Any] = {
            "id": event.id,
            "type": "message",
            "role": "assistant",
            "model": event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage),
        }
        return _event("message_start", message=message)

    def _end(self) -> bytes:
        usage = write_usage(self._usage)
        delta = write_stop(self._stop, has_refusal=self._has_refusal)
        return _event("message_delta", delta=delta, usage=usage) + _event("message_stop")

    # ---- blocks

    def _open_part(self, part: Part) -> bytes:
        self._part, self._sealed, self._citations, self._subs = part, None, [], 0
        match part:
            case ToolCall():
                before = self._whole(seal_block(part.sealed)) if part.sealed is not None else b""
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                return before + self._open(block)
            case Text() | Reasoning():
                self._sealed = part.sealed
            case Refusal():
                self._has_refusal = True
            case Hosted(text=str(text)) if text:
                opened = self._open({"type": "text", "text": ""})
                return opened + self._block_delta("text_delta", "text", text) + self._close()
        return b""

    def _open(self, block: dict[str, Any]) -> bytes:
        self._is_open = True
        return _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        self._is_open = False
        self._index += 1
        return _event("content_block_stop", index=self._index - 1)

    def _whole(self, block: dict[str, Any]) -> bytes:
        return self._open(block) + self._close()

    def _block_delta(self, kind: str, field: str, value: Any) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, field: value})

    def _delta(self, event: PartDelta) -> bytes:
        match self._part:
            case ToolCall():
                return self._block_delta("input_json_delta", "partial_json", event.text)
            case Reasoning():
                return self._thinking(event)
            case _:
                opened = b"" if self._is_open else self._open({"type": "text", "text": ""})
                return opened + self._block_delta("text_delta", "text", event.text)

    def _thinking(self, event: PartDelta) -> bytes:
        made = b""
        if not self._is_open:
            made = self._open({"type": "thinking", "thinking": "", "signature": ""})
            self._subs = event.sub
        text = event.text
        if event.sub != self._subs:  # summaries are told apart by an empty line
            self._subs = event.sub
            text = "\n\n" + text
        return made + self._block_delta("thinking_delta", "thinking", text)

    def _meta(self, event: PartMeta) -> bytes:
        if event.key == "sealed":
            self._sealed = event.value
        else:
            self._citations += event.value
        return b""

    def _close_part(self) -> bytes:
        """Citations and seals come last."""
        part, sealed, made = self._part, self._sealed, b""
        self._part = None
        if isinstance(part, Reasoning):
            return self._close_reasoning(sealed)
        if self._is_open:
            for one in self._citations:
                if one.vendor == "anthropic" and one.raw:
                    made += self._block_delta("citations_delta", "citation", jsontext.Raw(one.raw))
            made += self._close()
        if isinstance(part, Text | ToolCall) and sealed is not None:
            made += self._whole(seal_block(sealed))
        return made

    def _close_reasoning(self, sealed: Sealed | None) -> bytes:
        is_own = sealed is not None and sealed.vendor == "anthropic" and sealed.data is not None
        if self._is_open:
            if sealed is None:
                return self._close()
            signature = sealed.data if is_own else seals.envelope(sealed)
            return self._block_delta("signature_delta", "signature", signature) + self._close()
        if sealed is None or sealed.data is None:
            return b""
        if is_own and sealed.kind == "thinking":
            opened = self._open({"type": "thinking", "thinking": "", "signature": ""})
            return opened + self._block_delta("signature_delta", "signature", sealed.data) + self._close()
        data = sealed.data if is_own else seals.envelope(sealed)
        return self._whole({"type": "redacted_thinking", "data": data})


def _event(kind: str, **members: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + jsontext.dumps({"type": kind, **members}) + b"\n\n"
