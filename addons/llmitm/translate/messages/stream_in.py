"""A stream of Anthropic events, read. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmitm.translate import jsontext, stream
from llmitm.translate.failures import failure_of
from llmitm.translate.messages.blocks import read_citation, read_other
from llmitm.translate.messages.reply_in import tier_of
from llmitm.translate.messages.stops import read_stop
from llmitm.translate.messages.usage import Counted
from llmitm.translate.neutral import (
    End,
    ExtrasSeen,
    Failed,
    Ping,
    Reasoning,
    Sealed,
    Start,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UsageSeen,
)
from llmitm.translate.reading import count_in, text_if
from llmitm.translate.sse import Event


class StreamReader:
    """Reads one stream; see `stream.Reader`."""

    __slots__ = (
        "_counted",
        "_has_args",
        "_has_block",
        "_has_calls",
        "_is_begun_only",
        "_is_over",
        "_parts",
        "_stop",
        "_waiting_args",
    )

    def __init__(self) -> None:
        self._parts = stream.Parts()
        self._counted = Counted()
        self._is_begun_only = False
        """How much was made is known of the start alone."""
        self._has_block = False
        """A block is open, and not one that is left out."""
        self._waiting_args = ""
        """The input that stood in a call's start: it counts where no delta follows."""
        self._has_args = False
        self._has_calls = False
        self._stop = False
        self._is_over = False

    def read(self, event: Event) -> list[StreamEvent]:
        if self._is_over:
            return []
        if event.data is None:
            return [Ping()] if event.comment is not None else []
        if event.data.strip() in (b"", b"[DONE]"):
            return []
        try:
            told = stream.parsed(event)
        except ValueError:
            return self._fail(stream.malformed())
        if told is None:
            return []
        out: list[StreamEvent] = []
        match told.get("type"):
            case "content_block_delta" if not self._stop:
                self._delta(told.get("delta"), out)
            case "content_block_start" if not self._stop:
                self._open(told, event.data, out)
            case "content_block_stop":
                self._close(out)
            case "message_start":
                self._start(told.get("message"), out)
            case "message_delta":
                self._message_delta(told, out)
            case "message_stop":
                out += self._end()
            case "ping":
                out.append(Ping())
            case kind if kind == "error" or told.get("error"):
                failed = failure_of(told, 200)
                return self._fail(Failed(failed) if failed else stream.malformed())
        return out

    def _fail(self, failed: Failed) -> list[StreamEvent]:
        self._is_over = True
        return [failed]

    def finish(self) -> list[StreamEvent]:
        return [] if self._is_over else self._end()

    def _end(self) -> list[StreamEvent]:
        """A stop reason is the last fact: a missing `message_stop` harms nothing."""
        self._is_over = True
        if not self._stop:
            return [stream.truncated()]
        if not self._is_begun_only:
            return [End()]
        return [UsageSeen(replace(self._counted.add({}), is_final=False)), End()]

    def _start(self, message: Any, out: list[StreamEvent]) -> None:
        message = message if isinstance(message, dict) else {}
        counts = message.get("usage")
        usage = self._counted.add(counts) if isinstance(counts, dict) else None
        self._is_begun_only = usage is not None and usage.output_tokens is not None
        out.append(
            Start(
                text_if(message.get("id")) or None,
                text_if(message.get("model")),
                None,
                usage,
                tier_of(counts),
            )
        )

    def _open(self, told: dict[str, Any], data: bytes, out: list[StreamEvent]) -> None:
        self._close(out)
        block = told.get("content_block")
        if not isinstance(block, dict):
            return
        self._has_block = True
        match block.get("type"):
            case "text":
                text = text_if(block.get("text")) or ""
                if text:
                    self._parts.text(text, out)
            case "thinking":
                self._parts.open(Reasoning(), out)
                self._parts.summary(text_if(block.get("thinking")) or "", out)
                self._seal(text_if(block.get("signature")), out)
            case "redacted_thinking":
                sealed = Sealed(vendor="anthropic", kind="redacted", data=text_if(block.get("data")))
                self._parts.open(Reasoning(sealed=sealed), out)
            case "tool_use":
                self._call(block, data, out)
            case kind:
                slices = jsontext.Slices(data)
                self._parts.open(read_other(text_if(kind) or "", "", slices, "content_block"), out)

    def _call(self, block: dict[str, Any], data: bytes, out: list[StreamEvent]) -> None:
        self._has_calls, self._has_args = True, False
        self._waiting_args = ""
        if block.get("input"):
            wrapped = jsontext.unwrapped(block["input"])
            spelled = jsontext.Slices(data).at("content_block", "input")
            self._waiting_args = spelled if wrapped is None else wrapped
        call = ToolCall(id=text_if(block.get("id")) or "", name=text_if(block.get("name")) or "", args="")
        self._parts.open(call, out)

    def _delta(self, delta: Any, out: list[StreamEvent]) -> None:
        if not isinstance(delta, dict) or not self._has_block:
            return
        parts = self._parts
        match delta.get("type"):
            case "text_delta" if parts.kind in (None, Text):
                parts.text(text_if(delta.get("text")) or "", out)
            case "input_json_delta" if parts.kind is ToolCall:
                text = text_if(delta.get("partial_json")) or ""
                self._has_args = self._has_args or bool(text)
                parts.args(text, out)
            case "thinking_delta" if parts.kind is Reasoning:
                parts.summary(text_if(delta.get("thinking")) or "", out)
            case "signature_delta":
                self._seal(text_if(delta.get("signature")), out)
            case "citations_delta" if isinstance(delta.get("citation"), dict) and parts.kind in (None, Text):
                if parts.kind is None:
                    parts.open(Text(text=""), out)
                parts.meta("citations", (read_citation(delta["citation"]),), out)

    def _seal(self, signature: str | None, out: list[StreamEvent]) -> None:
        if signature and self._parts.kind is Reasoning:
            sealed = Sealed(vendor="anthropic", kind="thinking", data=signature)
            self._parts.meta("sealed", sealed, out)

    def _close(self, out: list[StreamEvent]) -> None:
        if self._parts.kind is ToolCall and not self._has_args:
            args = self._waiting_args or "{}"
            self._parts.args(args, out)
        self._parts.close(out)
        self._has_block = False

    def _message_delta(self, told: dict[str, Any], out: list[StreamEvent]) -> None:
        self._close(out)
        delta = told.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        counts = told.get("usage")
        if isinstance(counts, dict):
            out.append(UsageSeen(self._counted.add(counts)))
            if count_in(counts, "output_tokens") is not None:
                self._is_begun_only = False
            tier = tier_of(counts)
            if tier is not None:
                out.append(ExtrasSeen({}, tier))
        if isinstance(delta.get("stop_reason"), str) and not self._stop:
            self._stop = True
            out.append(StopSeen(read_stop(delta, has_calls=self._has_calls)))


__all__ = ["StreamReader"]
