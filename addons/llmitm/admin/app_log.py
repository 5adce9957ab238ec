"""The newest lines of the gateway's own log, for who reads them in a page. Bounded, and redacted.

Lines of requests are no part of it: those stand in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_LINES: Final = 2_000
MOST_SIGNS: Final = 8_000
"""Of one line."""
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """Counted from 1 since the start."""
    at: str
    level: str
    message: str


class AppLog(logging.Handler):
    """Hangs on the logger `llmitm`."""

    def __init__(self, redact: Callable[[str], str], most: int = MOST_LINES) -> None:
        super().__init__()
        self._redact = redact
        self._lines: deque[Line] = deque(maxlen=most)
        self._count = 0
        self._tracer = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "entry", None) is not None:
            return
        try:
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{self._tracer.formatException(record.exc_info)}"
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            self._count += 1
            self._lines.append(
                Line(
                    number=self._count,
                    at=f"{moment}.{int(record.msecs):03d}Z",
                    level=record.levelname.lower(),
                    message=self._redact(text)[:MOST_SIGNS],
                )
            )
        except Exception:
            self.handleError(record)

    @property
    def count(self) -> int:
        """How many there have been."""
        return self._count

    def since(self, number: int) -> list[Line]:
        """Those after `number` that are still here, the oldest first."""
        fresh = min(len(self._lines), self._count - number)
        return [self._lines[at] for at in range(len(self._lines) - fresh, len(self._lines))] if fresh else []

    def find(
        self,
        *,
        level: str | None = None,
        text: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Line]:
        """The newest first: of this level or worse, with `text` in them, numbered below `before`."""
        least = LEVELS.get(level or "debug", 0)
        wanted = (text or "").casefold()
        found: list[Line] = []
        for line in reversed(self._lines):
            if len(found) == limit:
                break
            if before is not None and line.number >= before:
                continue
            if LEVELS.get(line.level, 50) >= least and wanted in line.message.casefold():
                found.append(line)
        return found

    def hang(self) -> None:
        """On the logger, where it does not hang there: setting the log up anew takes everything off."""
        logger = logging.getLogger("llmitm")
        if self not in logger.handlers:
            logger.addHandler(self)

    def take_off(self) -> None:
        logging.getLogger("llmitm").removeHandler(self)
