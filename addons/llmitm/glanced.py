"""An answer that passes as it is, with its tokens counted by the way."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from llmitm.exchange import Attempt, Dialect, ResponseHead
from llmitm.record.entry import Entry
from llmitm.route.calls import Call
from llmitm.translate.glance import Glance
from llmitm.translated import is_events

log = logging.getLogger("llmitm")

type Steps = AsyncGenerator[ResponseHead | bytes]


def glanced(
    steps: Steps, kept: Entry, attempt: Attempt, call: Call | None, *, is_read: bool = False
) -> Steps:
    """The same steps; the tokens of their answer are noted when they are over.

    With `is_read` somebody reads event streams already.
    """
    if call is None or call.task in ("count", "other"):
        return steps
    return _glanced(steps, kept, attempt, call.dialect, is_read)


async def _glanced(steps: Steps, kept: Entry, attempt: Attempt, dialect: Dialect, is_read: bool) -> Steps:
    glance: Glance | None = None
    is_whole = False
    try:
        async with aclosing(steps):
            async for step in steps:
                if not isinstance(step, ResponseHead):
                    yield step
                    if glance is not None and not _fed(glance, step):
                        glance = None
                    continue
                if step.status == 200 and not (is_read and is_events(step)):
                    encoding = step.header(b"content-encoding")
                    glance = Glance(dialect, is_events=is_events(step), encoding=encoding)
                    if not _fed(glance, step.whole or b""):
                        glance = None
                yield step
            is_whole = True
    finally:
        if glance is not None:
            try:
                glance.finish(is_whole=is_whole)
            except Exception:
                log.exception("exchange %s: its tokens could not be counted", kept.id)
            _note(glance, kept, attempt)


def _fed(glance: Glance, piece: bytes) -> bool:
    """Whether it goes on. Counting fails open: the answer is the client's, whatever it is."""
    try:
        glance.feed(piece)
    except Exception:
        log.exception("an answer's tokens could not be counted")
        return False
    return True


def _note(glance: Glance, kept: Entry, attempt: Attempt) -> None:
    if glance.usage is not None:
        kept.used(attempt, glance.usage)
    if (noted := kept.of(attempt)) is not None and glance.answered is not None:
        noted.answered = glance.answered
