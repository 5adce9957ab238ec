"""A stream on its way to the client, event by event, past the operator's functions.

What they leave alone keeps every byte. Heartbeats, comments and the end's mark are not shown to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.hooks import Delta
from llmitm.shape.hooks import wire
from llmitm.shape.hooks.calling import call, call_plain, failed
from llmitm.shape.hooks.modules import Hook
from llmitm.translate.dialects import CODECS
from llmitm.translate.elements import ArrayReader, Element
from llmitm.translate.neutral import Request, StreamEvent
from llmitm.translate.sse import Event, SseReader
from llmitm.translate.stream import Collector, Reader
from llmitm.trip.hooked import Hooked

_NAMED: Final = frozenset({Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES})
"""Dialects whose events are called as their bodies' `type`."""
_OVER: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Events that hold the whole reply."""


_TAKES: Final = (Delta, list, tuple)


class Going(Protocol):
    """One stream."""

    async def feed(self, piece: bytes) -> bytes:
        """What the client is told of this piece."""

    async def finish(self) -> bytes:
        """What is left at the end, whether it is a proper one or not."""


@dataclass(slots=True)
class Seen:
    """What was told of a stream, for functions that want the reply once it is over."""

    dialect: Dialect
    whole: dict[str, Any] | None = None
    """Where an event held it."""
    is_cut: bool = False
    _collector: Collector = field(default_factory=Collector)
    _reader: Reader | None = None
    _is_lost: bool = False

    def add(self, event: Event) -> None:
        if event.data is None:
            return
        if self.dialect is Dialect.OPENAI_RESPONSES and (event.name is None or event.name in _OVER):
            self._keep(event.data)
        if not self._is_lost:
            self._reader = self._reader or CODECS[self.dialect].reader()
            self._collect(self._reader.read, event)

    def _collect(self, read: Callable[..., list[StreamEvent]], *event: Event) -> None:
        try:
            for one in read(*event):
                self._collector.add(one)
        except Exception:  # a stream that cannot be read still goes to the client
            self._is_lost = True

    def _keep(self, data: bytes) -> None:
        read = _read(data)
        if read is not None and read.get("type") in _OVER and isinstance(read.get("response"), dict):
            self.whole = read["response"]

    def reply(self) -> dict[str, Any] | None:
        """The whole reply, as far as it was told; None where nothing can be made of it."""
        if self._reader is not None:
            self._collect(self._reader.finish)
        self.is_cut = self._collector.failure is not None
        if self.whole is not None:
            return self.whole
        reply = self._collector.reply()
        if self._is_lost or not reply.choices:
            return None
        asked = Request(model=reply.model or "", turns=(), dialect=self.dialect)
        try:
            read = orjson.loads(CODECS[self.dialect].write_reply(reply, asked))
        except Exception:
            return None
        return read if isinstance(read, dict) else None


@dataclass(slots=True)
class Shown:
    """Events before the functions that look at each."""

    hooked: Hooked
    hooks: tuple[Hook, ...]
    dialect: Dialect
    seen: Seen | None
    """None: nobody wants to know what was told."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing may pass that could not be shown."""
        return any(hook.is_closed for hook in self.hooks)

    async def made(self, data: bytes, name: str | None) -> list[dict[str, Any]] | None:
        """The bodies in an event's place; None: it goes on as it is.

        Raises:
            Refused: a function refuses to go on, or failed; 502, an event that nobody could check.
        """
        read = _read(data)
        if read is None:
            if self.is_closed:
                raise Refused(502, "hook_failed", "The stream has an event that this gateway cannot check.")
            return None
        hooked, is_changed = self.hooked, False
        deltas = [
            Delta(
                id=hooked.id,
                endpoint=hooked.asked.endpoint,
                key=hooked.key,
                dialect=self.dialect.value,
                name=name,
                body=read,
                notes=hooked.notes,
            )
        ]
        for hook in self.hooks:
            after: list[Delta] = []
            for delta in deltas:
                if hook.is_async:
                    given = await call(hook, delta, _TAKES, hooked.world.clock)
                else:
                    given = call_plain(hook, delta, _TAKES, hooked.world.clock)
                if given is None:
                    after.append(delta)
                    continue
                more = _several(hook, given, hooked)
                is_changed = is_changed or more is not None
                after += [delta] if more is None else more
            deltas = after
        return [one.body for one in deltas] if is_changed else None

    def add(self, event: Event) -> None:
        if self.seen is not None:
            self.seen.add(event)


def _several(hook: Hook, given: Delta | Sequence[object], hooked: Hooked) -> list[Delta] | None:
    if isinstance(given, Delta):
        return [given]
    found = [one for one in given if isinstance(one, Delta)]
    if len(found) < len(given):
        failed(hook, "gave back a list of something else than deltas", hooked.world.clock)
        return None
    return found


@dataclass(slots=True)
class Events:
    """A stream of server-sent events."""

    shown: Shown
    _reader: SseReader = field(default_factory=SseReader)

    async def feed(self, piece: bytes) -> bytes:
        events = self._reader.feed(piece)
        if len(events) == 1:
            return await self._told(events[0])
        return b"".join([await self._told(event) for event in events])

    async def finish(self) -> bytes:
        return b"".join([await self._told(event) for event in self._reader.finish()])

    async def _told(self, event: Event) -> bytes:
        data = event.data
        if data is None or event.name == "ping" or data.strip() in (b"[DONE]", b""):
            self.shown.add(event)
            return event.raw
        if not event.is_complete and self.shown.is_closed and _read(data) is None:
            return b""  # it broke off
        bodies = await self.shown.made(data, event.name) if self.shown.hooks else None
        if bodies is None:
            self.shown.add(event)
            return event.raw
        return b"".join(self._written(event, body, at) for at, body in enumerate(bodies))

    def _written(self, event: Event, body: object, at: int) -> bytes:
        """An event with this body; the first has the other lines of the one in whose place it stands."""
        if not isinstance(body, dict):
            raise wire.nonsense()
        name = event.name
        if name is not None and self.shown.dialect in _NAMED and isinstance(body.get("type"), str):
            name = body["type"]
            if "\n" in name or "\r" in name:
                raise wire.nonsense()
        data = wire.written(body)
        if self.shown.seen is not None:
            self.shown.seen.add(replace(event, name=name, data=data))
        lines = (
            [] if at else [line for line in event.raw.splitlines() if line.startswith((b"id:", b"retry:"))]
        )
        if name is not None:
            lines.append(b"event: " + name.encode())
        end = b"\r\n" if event.raw.endswith(b"\r\n") else b"\n"
        return end.join((*lines, b"data: " + data, b"", b""))


@dataclass(slots=True)
class Array:
    """A stream that is one JSON array: Gemini's, for those that ask for no events."""

    shown: Shown
    _reader: ArrayReader = field(default_factory=ArrayReader)
    _opening: bytes = b""
    """What stood before elements that nobody was told of."""
    _is_open: bool = False

    async def feed(self, piece: bytes) -> bytes:
        return b"".join([await self._told(one) for one in self._reader.feed(piece)])

    async def finish(self) -> bytes:
        if self._reader.is_within and self.shown.is_closed:
            return b""  # it broke off
        left = self._reader.finish()
        return left if self._is_open else self._opening + left

    async def _told(self, element: Element) -> bytes:
        bodies = await self.shown.made(element.raw, None) if self.shown.hooks else None
        texts = [element.raw] if bodies is None else [wire.written(body) for body in bodies]
        if not self._is_open:
            self._opening = self._opening or element.lead
        out: list[bytes] = []
        for at, text in enumerate(texts):
            self.shown.add(Event(data=text))
            lead = b"," if at or b"," not in element.lead else element.lead
            out += (lead if self._is_open else self._opening, text)
            self._is_open = True
        return b"".join(out)


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None
