"""A client and an upstream of the same dialect: the answer passes as it is, and is read beside.

It is read for its tokens, for errors that come with a good status, and for ends that come too early. What
is wrong before anything meaningful was said is no answer: something else may still be tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from llmitm.aside import aside, in_portions, is_short
from llmitm.clock import Clock
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, Headers, ResponseHead
from llmitm.record.entry import Entry
from llmitm.translate.beside import WHOLE_LIMIT_BYTES, Beside
from llmitm.translate.failures import read_failure
from llmitm.translate.inflate import Broken, Inflate, inflater
from llmitm.translate.unasked import Without
from llmitm.trip import mapped
from llmitm.trip.missed import Missed
from llmitm.trip.translated import body_of, decoded, is_events

type Steps = AsyncGenerator[ResponseHead | bytes]

_LENGTH: Final = (b"content-length",)
HOLD_BYTES: Final = 1_048_576
"""So much of an answer is held back until it is known to be one."""


@dataclass(slots=True, kw_only=True)
class Untouched:
    """The way back of one attempt."""

    dialect: Dialect
    attempt: Attempt
    request_id: str
    kept: Entry
    clock: Clock
    is_read: bool
    """Whether the answer is a reply or a stream of this dialect."""
    reader: type[Beside] = Beside
    """Who reads it."""
    is_events_only: bool = False
    """Whether what is no event stream is not read: Gemini's streams for those that ask for no events, and
    answers that need be no replies."""
    is_held: bool = True
    """Whether it is held back until something meaningful was said."""
    headers: Headers = ()
    """What the client is told beside the upstream's own headers."""
    warnings: tuple[str, ...] = ()
    """What was changed of the request, for the record."""
    learn_id: Callable[[str], Awaitable[None]] | None = None
    """Told the reply's id before the client is."""
    without: Without | None = None
    """Takes out of a stream what the client did not ask for."""
    _beside: Beside | None = None
    _inflate: Inflate | None = None
    """None: the answer is not compressed."""
    _is_told: bool = False
    """The client has the head, or will have it."""

    async def steps(self, steps: Steps) -> Steps:
        """What the client is told. Pieces may be empty.

        Raises:
            Missed: nothing meaningful came, so nothing was yielded.
            UpstreamFailed: the answer broke off later, or came to an end before it was complete.
        """
        try:
            try:
                head, held = await self._begun(steps)
            except UpstreamFailed as error:
                missed = mapped.broken(error, self.dialect, self.request_id, self.headers)
                self._ended(missed.ending, str(error))
                raise missed from error
            except Missed as missed:
                self._ended(missed.ending, str(missed))
                raise
            self._is_told = True
            if self.learn_id is not None and self._beside is not None and self._beside.reply_id:
                await self.learn_id(self._beside.reply_id)
            yield head
            if shown := await self._shown(held):
                yield shown
            if head.whole is None:
                async for piece in steps:
                    assert isinstance(piece, bytes)
                    try:
                        yield piece if self.without is None else await self._shown(piece)
                    finally:  # also where the client leaves with it
                        await self._read(piece)
                if self.without is not None and (shown := self.without.finish()):
                    yield shown
                if self._beside is not None and await aside(self._beside.left_bytes, self._beside.finish):
                    raise _cut()
        except BaseException as error:
            if self._beside is not None and not _is_whole(error):
                self._beside.broken_off()
            if isinstance(error, UpstreamFailed):
                self._ended("truncated", str(error))
            raise
        finally:
            self._note()
            await steps.aclose()

    async def _begun(self, steps: Steps) -> tuple[ResponseHead, bytes]:
        """The head, and what of the body had to be read to know that this is an answer."""
        head = await anext(steps)
        assert isinstance(head, ResponseHead)
        if head.status >= (300 if self.is_read else 400):
            raise await self._error(head, steps)
        gone = _LENGTH if is_events(head) else ()  # something may be taken out of it, or told at its end
        kept = (pair for pair in head.headers if pair[0].lower() not in gone)
        head = replace(head, headers=(*kept, *self.headers))
        beside = self._beside = self._reader(head)
        if beside is None or not self.is_held:
            await self._read(head.whole or b"")
            return head, b""
        held = bytearray()
        async for piece in body_of(head, steps):
            await self._read(piece)
            held += piece
            self._check(beside)
            if head.whole is None and (beside.has_begun or len(held) > HOLD_BYTES):
                return head, bytes(held)
        is_cut = await aside(beside.left_bytes, beside.finish)
        self._check(beside)
        if is_cut:
            raise _cut()
        whole = bytes(held)
        if self.without is not None:
            whole = await self._shown(whole) + self.without.finish()
        return replace(head, whole=whole), b""

    def _reader(self, head: ResponseHead) -> Beside | None:
        is_stream = is_events(head)
        try:
            self._inflate, is_known = inflater(head.header(b"content-encoding")), True
        except LookupError:
            is_known = False
        if not is_known or self._inflate is not None or not is_stream:
            self.without = None
        is_good = 200 <= head.status < 300
        if not is_good or not is_known or not self.is_read or (self.is_events_only and not is_stream):
            return None
        return self.reader(self.dialect, is_events=is_stream)

    async def _shown(self, piece: bytes) -> bytes:
        if (without := self.without) is None:
            return piece
        if is_short(piece):
            return without.feed(piece)
        return b"".join([without.feed(portion) async for portion in in_portions(piece)])

    async def _read(self, piece: bytes) -> None:
        beside = self._beside
        if beside is None or not piece:
            return
        if self._inflate is None:
            if is_short(piece, beside.event_bytes):
                return beside.feed(piece)
            async for portion in in_portions(piece):
                await aside(beside.event_bytes + len(portion), beside.feed, portion)
        elif not beside.is_blind:
            await self._read_unpacked(beside, self._inflate(piece))

    async def _read_unpacked(self, beside: Beside, unpacked: Iterable[bytes]) -> None:
        """Some compress what they were not asked to."""
        size_bytes = 0
        try:
            for piece in unpacked:
                async for portion in in_portions(piece):
                    await aside(beside.event_bytes + len(portion), beside.feed, portion)
                await asyncio.sleep(0)
                size_bytes += len(piece)
                if size_bytes > WHOLE_LIMIT_BYTES:  # no answer is packed so well
                    return beside.give_up()
        except Broken:
            beside.give_up()

    def _check(self, beside: Beside) -> None:
        if beside.failure is not None and not beside.has_begun:
            raise mapped.failed(beside.failure, self.attempt, self.dialect, self.request_id, self.headers)

    async def _error(self, head: ResponseHead, steps: Steps) -> Missed:
        body = bytearray()
        encoding = head.header(b"content-encoding")
        async for piece in decoded(body_of(head, steps), encoding):
            body += piece
            if len(body) > mapped.ERROR_LIMIT_BYTES:
                break
        if head.status < 400:  # a client of ours is not sent elsewhere, with its key and its prompt
            failure = read_failure(head.status, head.headers, bytes(body))
            return mapped.failed(failure, self.attempt, self.dialect, self.request_id, self.headers)
        gone = (b"content-encoding", *_LENGTH)
        kept = tuple(pair for pair in head.headers if pair[0].lower() not in gone)
        head = replace(head, headers=(*kept, *self.headers))
        return mapped.missed(
            head, bytes(body), self.attempt, self.dialect, self.request_id, self.clock.now_s()
        )

    def _note(self) -> None:
        if self.warnings and (noted := self.kept.of(self.attempt)) is not None:
            noted.warnings = self.warnings
        beside = self._beside
        if beside is None:
            return
        if beside.usage is not None:
            self.kept.used(self.attempt, beside.usage)
        if (noted := self.kept.of(self.attempt)) is not None:
            noted.answered, noted.finishes = beside.answered, beside.finishes
            noted.reply_id = beside.reply_id or None
        if beside.failure is not None and self._is_told:  # else something else may be tried
            mapped.told_within(beside.failure, self.kept, self.attempt)

    def _ended(self, ending: str, error: str) -> None:
        if (noted := self.kept.of(self.attempt)) is not None:
            noted.ending, noted.error = ending, error


def _is_whole(error: BaseException) -> bool:
    """Whether the answer came to its end, though it is none."""
    return isinstance(error, Missed) and not isinstance(error.__cause__, UpstreamFailed)


def _cut() -> UpstreamFailed:
    return UpstreamFailed(Failure.TRUNCATED, "the stream has no terminator")
