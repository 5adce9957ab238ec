"""One live session: messages of a WebSocket on their way in both directions, read as they go by.

Nothing is changed in them but names of models that the provider spells otherwise. What they tell of tokens is
taken down, models that the client may not use end the session, and so do a shutdown and a session's longest
time. Whoever's end it is, the other side is told in the protocol's own words: a close with a code and reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from llmitm.errors import ClientGone, LlmitmError, Refused, UpstreamFailed
from llmitm.exchange import Attempt, Killed, ResponseHead
from llmitm.send.frames import (
    BINARY,
    CLOSE,
    KEPT_BYTES,
    TEXT,
    Frames,
    Message,
    close_frame,
    controls,
    message_frame,
)
from llmitm.translate.live import Tally, models_in, read_object
from llmitm.trip import respelled
from llmitm.trip.respelled import Spell
from llmitm.trip.routed import Trip

type Steps = AsyncGenerator[ResponseHead | bytes]

GOING_AWAY: Final = 1001
NOT_ALLOWED: Final = 1008
FAILED: Final = 1011
_GOOD: Final = frozenset({1000, 1001, 1005})
"""Codes of sessions that came to a proper end."""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """An `exchange.Body`: what the client sends, once protocols are switched."""

    trip: Trip
    is_read: bool
    """Whether its messages are those of an API that is known."""
    is_checked: bool = False
    """Whether each model that the client names has to be allowed."""
    attempt: Attempt | None = None
    """That succeeded; None before."""
    spell: Spell | None = None
    """How its provider spells models; None: as the client does."""
    tally: Tally = field(default_factory=Tally)
    held: bytes | None = None
    length: int | None = None
    _sent: Frames = field(init=False)
    _got: Frames = field(init=False)
    _sent_bytes: int = 0
    _close: Message | None = None
    """The first one that was said."""
    _is_clients_close: bool = False
    _stopped: tuple[int, str] | None = None
    _waiting: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        is_seen = self.trip.watch.sees_messages
        is_asked = is_seen or self.is_checked or (self.is_read and self.trip.kept.model is None)
        kept_bytes = self.trip.config.server.body_limit_bytes if self.is_checked else KEPT_BYTES
        self._sent = Frames(kept_bytes if is_asked else 0)
        self._got = Frames(KEPT_BYTES if is_seen or self.is_read else 0)

    def begin(self, attempt: Attempt, spell: Spell | None) -> None:
        """Before each attempt; the last one is that which succeeds."""
        self.attempt, self.spell = attempt, spell
        if spell is not None:
            self._sent.kept_bytes = self._sent.kept_bytes or KEPT_BYTES

    def stop(self, code: int, reason: str) -> None:
        """Ends it as soon as can be."""
        self._stopped = self._stopped or (code, reason)
        if self._waiting is not None:
            self._waiting.reschedule(0)

    # -- what the client says

    async def whole(self, limit_bytes: int) -> bytes:
        raise NotImplementedError("a session has no end that could be waited for")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `Refused` where the client names a model that it may not use: that message is not sent."""
        if self.spell is not None:
            async for piece in self._respelled(self.spell):
                yield piece
            return
        held: list[bytes] = []
        async for piece in self.trip.request.body.pieces():
            self._sent_bytes += len(piece)
            for message in self._sent.feed(piece):
                self._said(message)
            if not self.is_checked:
                yield piece
                continue
            held.append(piece)
            if self._sent.is_whole:
                yield b"".join(held)
                held.clear()

    async def _respelled(self, spell: Spell) -> AsyncIterator[bytes]:
        """The same where messages may change, which are held until they are whole: those that are too long to
        be looked into pass as they are."""
        held = bytearray()
        is_begun = False  # the message's beginning has been sent
        async for piece in self.trip.request.body.pieces():
            self._sent_bytes += len(piece)
            before, at = len(held), 0  # where the piece begins, and the message
            held += piece
            out: list[bytes] = []
            for message in self._sent.feed(piece):
                self._said(message)
                end = before + message.end
                raw = bytes(held[at:end])
                if message.kind == TEXT and message.content is not None and not is_begun:
                    raw = _named(raw, message.content, spell)
                out.append(raw)
                at, is_begun = end, False
            is_too_long = not self.is_checked and (is_begun or len(held) - at > KEPT_BYTES)
            if self._sent.is_whole or is_too_long:
                out.append(bytes(held[at:]))
                at = len(held)
                is_begun = not self._sent.is_whole
            del held[:at]
            if made := b"".join(out):
                yield made

    def _said(self, message: Message) -> None:
        self._show(message, is_clients=True)
        if message.kind == CLOSE:
            self._closed(message, is_clients=True)
        if message.kind == CLOSE or not (self.is_checked or (self.is_read and self.trip.kept.model is None)):
            return
        read = read_object(message.content)
        if read is None:
            if self.is_checked:
                raise Refused(403, "model_not_allowed", "Only certain models may be used: send JSON objects.")
            return
        models = models_in(read)
        if self.is_checked:
            for model in models:
                if not self.trip.is_allowed(model):
                    raise Refused(403, "model_not_allowed", f"The model {model[:60]} may not be used here.")
        if models and self.trip.kept.model is None:
            self._asks_for(models[0])

    def _asks_for(self, model: str) -> None:
        kept = self.trip.kept
        kept.model = model
        if self.attempt is not None and (noted := kept.of(self.attempt)) is not None:
            noted.model = noted.model or model

    # -- what the provider says

    async def steps(self, steps: Steps) -> Steps:
        """Those of the attempts; of a session that was begun, up to its end and with a close in any case."""
        async with aclosing(steps):
            head = await anext(steps)
            yield head
            if not isinstance(head, ResponseHead) or head.status != 101:
                async for step in steps:
                    yield step
                return
            sessions = self.trip.world.sessions
            sessions.add(self)
            limit_s = self.trip.config.timeouts.session_s
            timer = asyncio.create_task(self._end_in(limit_s)) if limit_s else None
            try:
                async with aclosing(self._relayed(steps)) as relayed:
                    async for piece in relayed:
                        yield piece
            finally:
                if timer is not None:
                    timer.cancel()
                sessions.discard(self)
                self._note()

    async def _end_in(self, limit_s: float) -> None:
        await self.trip.world.clock.sleep(limit_s)
        self.stop(GOING_AWAY, "The session took as long as it may.")

    async def _relayed(self, steps: Steps) -> AsyncGenerator[bytes]:
        last: tuple[int, str] | None = None
        try:
            while (piece := await self._next(steps)) is not None:
                for message in self._got.feed(piece):
                    self._answered(message)
                yield piece
            if self._close is None:
                last = FAILED, "The provider closed the connection."
                self._failed(last[1], is_cut=True)
        except TimeoutError:
            assert self._stopped is not None
            last = self._stopped
        except ClientGone:
            raise
        except Killed:
            last = FAILED, "The session was stopped by an operator."
            raise
        except (Refused, UpstreamFailed) as error:
            last = _words(error)
            self._failed(error.message, is_cut=isinstance(error, UpstreamFailed))
        if last is not None:
            self._coded(last[0])
            if self._got.is_between:
                yield close_frame(*last, is_clients=False)

    async def _next(self, steps: Steps) -> bytes | None:
        """The next piece; None at the end. Raises TimeoutError where the session is to stop."""
        if self._stopped is not None:
            raise TimeoutError
        async with asyncio.timeout(None) as self._waiting:
            try:
                piece = await anext(steps)
            except StopAsyncIteration:
                return None
        assert isinstance(piece, bytes)
        return piece

    def _answered(self, message: Message) -> None:
        self._show(message, is_clients=False)
        if message.kind == CLOSE:
            self._closed(message, is_clients=False)
        if self.is_read and message.kind != CLOSE and self.tally.read(message.content):
            assert self.attempt is not None and self.tally.usage is not None
            self.trip.kept.used(self.attempt, self.tally.usage)

    def _closed(self, message: Message, *, is_clients: bool) -> None:
        if self._close is None and self.attempt is not None:
            self._close, self._is_clients_close = message, is_clients
            self.trip.watch.on_close(self.attempt, message.code, message.reason, is_clients=is_clients)

    def _show(self, message: Message, *, is_clients: bool) -> None:
        watch, attempt = self.trip.watch, self.attempt
        if attempt is None or message.kind == CLOSE or not watch.sees_messages:
            return
        content = message.content
        if content is None:
            content = b"(a message too long to be kept)"
        watch.on_message(attempt, content, is_text=message.kind == TEXT, is_clients=is_clients)

    # -- what is left of it

    def _failed(self, error: str, *, is_cut: bool) -> None:
        kept = self.trip.kept
        kept.error = kept.error or error
        kept.is_cut = kept.is_cut or is_cut

    def _coded(self, code: int) -> None:
        self.trip.kept.code = self.trip.kept.code or f"closed_{code}"

    def _note(self) -> None:
        kept, attempt = self.trip.kept, self.attempt
        kept.request_bytes = self._sent_bytes
        kept.messages = self._sent.messages, self._got.messages
        close = self._close
        if close is not None:
            self._coded(close.code)
            if close.code not in _GOOD and not self._is_clients_close:
                said = f"The provider closed the session with {close.code}: {close.reason}"
                self._failed(said, is_cut=False)
        noted = kept.of(attempt) if attempt is not None else None
        if noted is not None:
            noted.request_bytes = self._sent_bytes
            noted.answered = self.tally.model
            if kept.is_cut:
                noted.ending = "truncated"
            elif self._stopped is not None:
                noted.ending = "answered"


def _named(raw: bytes, content: bytes, spell: Spell) -> bytes:
    """The frames of a client's message; in one where names of models in it change."""
    made = respelled.message(content, spell)
    return raw if made is content else controls(raw) + message_frame(TEXT, made)


def _words(error: LlmitmError) -> tuple[int, str]:
    if isinstance(error, Refused):
        return NOT_ALLOWED, error.message
    assert isinstance(error, UpstreamFailed)
    return FAILED, error.message


__all__ = ["BINARY", "FAILED", "GOING_AWAY", "NOT_ALLOWED", "Session"]
