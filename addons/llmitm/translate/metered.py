"""What images, sound, rankings and batches used: read beside answers that pass as they are. Pure.

None of these is a reply of a model in one of the dialects; their counts stand at the end, after anything
that is long. What cannot be read is nobody's business but the client's: nothing here raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol

import orjson

from llmitm.exchange import Usage
from llmitm.translate.gemini import usage as gemini_usage
from llmitm.translate.messages import usage as messages_usage
from llmitm.translate.reading import count_in, text_if
from llmitm.translate.responses import facts

TAIL_BYTES: Final = 65_536
WHOLE_BYTES: Final = 8_388_608
"""Of an object or line that is read whole; what is longer is not read."""
_USAGE: Final = re.compile(r'(?<!\\)"usage"\s*:\s*(?=\{)')
_scanner: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What an answer told of."""

    usage: Usage
    model: str | None = None
    """As the answer names it; None where it names none, or several."""
    once: str | None = None
    """Others tell the same again: it is to be counted once by this name. None: nobody does."""


class Meter(Protocol):
    def feed(self, piece: bytes) -> None:
        """The next piece of the body."""

    def finish(self) -> Metered | None:
        """The body has ended. None: nothing was told."""


class Tail:
    """Of one answer that makes something: counts are looked for in its last bytes, JSON or events."""

    __slots__ = ("_is_image", "_kept")

    def __init__(self, *, is_image: bool = False) -> None:
        self._kept = b""
        self._is_image = is_image

    def feed(self, piece: bytes) -> None:
        self._kept = (self._kept + piece)[-TAIL_BYTES:]

    def finish(self) -> Metered | None:
        text = self._kept.decode("utf-8", "replace")
        starts = [found.end() for found in _USAGE.finditer(text)]
        for start in reversed(starts):
            try:
                counts, _ = _scanner.raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            usage = _usage_of(counts, is_image=self._is_image)
            if usage is not None:
                return Metered(usage=usage)
        return None


def _usage_of(counts: dict[str, Any], *, is_image: bool) -> Usage | None:
    if "input_token_details" in counts:  # sound
        counts = {"input_tokens_details": counts["input_token_details"], **counts}
    usage = facts.read_usage({"usage": counts})
    if usage is None:
        total = count_in(counts, "total_tokens")
        return None if total is None else Usage(input_tokens=total, output_tokens=0)
    if is_image and usage.image_out_tokens is None and usage.output_tokens is not None:
        text_tokens = count_in(counts.get("output_tokens_details"), "text_tokens") or 0
        usage = replace(usage, image_out_tokens=max(0, usage.output_tokens - text_tokens))
    return usage


class Batch:
    """Of what is said about a batch that is over, as OpenAI and Gemini do."""

    __slots__ = ("_held", "_size_bytes")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size_bytes = 0

    def feed(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes <= WHOLE_BYTES:
            self._held.append(piece)
        else:
            self._held.clear()

    def finish(self) -> Metered | None:
        try:
            told = orjson.loads(b"".join(self._held))
        except orjson.JSONDecodeError:
            return None
        match told:
            case {"id": str(name), "usage": dict(), "status": "completed" | "cancelled" | "expired"}:
                usage = facts.read_usage(told)
                model = text_if(told.get("model"))
            case {"name": str(name), "done": True, "response": dict(response)}:
                usage = total(_of_gemini(response))
                metadata = told.get("metadata")
                model = text_if(metadata.get("model")) if isinstance(metadata, dict) else None
            case _:
                return None
        if usage is None or not (usage.input_tokens or usage.output_tokens):
            return None
        return Metered(usage=replace(usage, tier="batch"), model=model, once=name)


def _of_gemini(response: dict[str, Any]) -> Iterator[Usage]:
    """Of each answer within, whatever it lies in."""
    waiting: list[Any] = [response]
    while waiting:
        match waiting.pop():
            case {"usageMetadata": dict(counts)}:
                if (usage := gemini_usage.read_usage(counts)) is not None:
                    yield usage
            case dict() as one:
                waiting += one.values()
            case list() as many:
                waiting += many


class Lines:
    """Of the results of a batch, a line each, as Anthropic sends them."""

    __slots__ = ("_every", "_models", "_name", "_open")

    def __init__(self, name: str) -> None:
        """`name`: of the batch."""
        self._name = name
        self._open = b""
        self._every: list[Usage] = []
        self._models: set[str] = set()

    def feed(self, piece: bytes) -> None:
        *whole, last = piece.split(b"\n")
        for line in whole:
            self._read(self._open + line)
            self._open = b""
        self._open = self._open + last if len(self._open) <= WHOLE_BYTES else b""

    def finish(self) -> Metered | None:
        self._read(self._open)
        usage = total(self._every)
        if usage is None:
            return None
        model = next(iter(self._models)) if len(self._models) == 1 else None
        return Metered(usage=replace(usage, tier="batch"), model=model, once=self._name)

    def _read(self, line: bytes) -> None:
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        match told:
            case {"result": {"message": {"model": str(model), "usage": dict(counts)}}}:
                if (usage := messages_usage.read_usage(counts)) is not None:
                    self._every.append(usage)
                    self._models.add(model)
                    if len(self._every) > 1_000:
                        self._every = [one for one in [total(self._every)] if one is not None]
            case _:
                pass


def total(every: Iterable[Usage]) -> Usage | None:
    """The sum; None where there is none to add. Unknown counts are left out of it."""
    found = list(every)
    if not found:
        return None
    made: dict[str, Any] = {}
    for one in fields(Usage):
        values = [getattr(usage, one.name) for usage in found]
        counts = [value for value in values if type(value) is int]
        if counts:
            made[one.name] = sum(counts)
    tools: dict[str, int] = {}
    for usage in found:
        for name, uses in usage.server_tools:
            tools[name] = tools.get(name, 0) + uses
    return Usage(**made, server_tools=tuple(tools.items()))
