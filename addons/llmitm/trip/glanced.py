"""An answer that passes as it is, with its tokens counted by the way."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from llmitm.aside import aside, in_portions, is_short
from llmitm.exchange import Attempt, Dialect, ResponseHead
from llmitm.record.entry import Entry
from llmitm.route import calls
from llmitm.route.calls import Call
from llmitm.translate.failures import read_failure
from llmitm.translate.glance import Glance
from llmitm.translate.neutral import Failure
from llmitm.translate.stream import TRUNCATED
from llmitm.trip import mapped
from llmitm.trip.translated import is_events

ERROR_BYTES: Final = 65_536
"""So much of an error is read."""

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]


def glanced(
    steps: Steps, kept: Entry, attempt: Attempt, call: Call | None, *, is_read: bool = False
) -> Steps:
    """The same steps; the tokens of their answer are noted when they are over, and what it says went wrong.

    With `is_read` somebody reads event streams already.
    """
    if call is None and kept.method == "POST":
        call = calls.at_end(attempt.url)
    if call is None or call.task in ("count", "other"):
        return steps
    return _glanced(steps, kept, attempt, call.dialect, is_read)


async def _glanced(steps: Steps, kept: Entry, attempt: Attempt, dialect: Dialect, is_read: bool) -> Steps:
    glance: Glance | None = None
    refused: ResponseHead | None = None
    said = b""
    is_whole = False
    try:
        async with aclosing(steps):
            async for step in steps:
                if not isinstance(step, ResponseHead):
                    try:
                        yield step
                    finally:  # also where the client leaves with it
                        if glance is not None and not await _fed(glance, step):
                            glance = None
                    if refused is not None and len(said) < ERROR_BYTES:
                        said += step
                    continue
                if step.status == 200 and not (is_read and is_events(step)):
                    encoding = step.header(b"content-encoding")
                    glance = Glance(dialect, is_events=is_events(step), encoding=encoding)
                    if not await _fed(glance, step.whole or b""):
                        glance = None
                elif step.status >= 400:
                    refused, said = step, step.whole or b""
                yield step
            is_whole = True
    finally:
        if refused is not None:
            _note_refusal(refused, said, kept, attempt)
        if glance is not None:
            try:
                if is_whole:
                    await aside(glance.left_bytes, glance.finish)
                else:
                    glance.finish(is_whole=False)
            except Exception:
                log.exception("exchange %s: its tokens could not be counted", kept.id)
            _note(glance, kept, attempt)


async def _fed(glance: Glance, piece: bytes) -> bool:
    """Whether it goes on. Counting fails open: the answer is the client's, whatever it is."""
    try:
        if is_short(piece):
            glance.feed(piece)
            return True
        async for portion in in_portions(piece):
            glance.feed(portion)
    except Exception:
        log.exception("an answer's tokens could not be counted")
        return False
    return True


def _note(glance: Glance, kept: Entry, attempt: Attempt) -> None:
    if glance.usage is not None:
        kept.used(attempt, glance.usage)
    if (noted := kept.of(attempt)) is not None and glance.answered is not None:
        noted.answered = glance.answered
    if glance.failure is not None:
        mapped.told_within(_sayable(glance.failure, attempt), kept, attempt)


def _note_refusal(head: ResponseHead, said: bytes, kept: Entry, attempt: Attempt) -> None:
    """Takes down why the upstream gave no answer. Of compressed errors the status has to do."""
    is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
    failure = read_failure(head.status, head.headers, said[:ERROR_BYTES] if is_plain else b"")
    failure = _sayable(failure, attempt)
    kept.error = kept.error or failure.message
    kept.code = kept.code or failure.code or failure.kind
    if (noted := kept.of(attempt)) is not None:
        noted.error = noted.error or failure.message


def _sayable(failure: Failure, attempt: Attempt) -> Failure:
    """Upstreams say back what they were sent: where that was a key of the client's own, nobody here knows it,
    and nobody could strike it out."""
    if attempt.credential is not None or failure.code == TRUNCATED:
        return failure
    message = f"The provider told of an error: {failure.status} {failure.kind}."
    return replace(failure, message=message, code=None)
