"""What is written on standard error: one line a request, and what happens to the gateway itself.

Human lines on a terminal, JSON elsewhere. Everything passes the redaction filter last, after it was
formatted, so that no field and no traceback escapes it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import orjson

from llmitm.record.entry import Entry
from llmitm.record.log_file import LogFile, Rotation

LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


def fields_of(entry: Entry) -> dict[str, Any]:
    """The line of a request as JSON writes it. Durations are milliseconds."""

    def since_start_ms(moment_s: float | None) -> float | None:
        return None if moment_s is None else round((moment_s - entry.started_s) * 1000, 1)

    last = entry.answering
    return {
        "id": entry.id,
        "method": entry.method,
        "path": entry.path,
        "endpoint": entry.endpoint,
        "auth_key": entry.auth_key,
        "model": entry.model,
        "provider": last.provider if last else None,
        "credential": last.credential if last else None,
        "gateway": last.gateway if last else None,
        "status": entry.status,
        "attempts": len(entry.attempts),
        "first_byte_ms": since_start_ms(entry.first_byte_s),
        "total_ms": since_start_ms(entry.ended_s),
        "request_bytes": entry.request_bytes,
        "response_bytes": entry.response_bytes,
        "input_tokens": entry.usage.input_tokens,
        "output_tokens": entry.usage.output_tokens,
        "cost_usd": usd_of(entry.cost_usd_nano),
        "error": entry.error,
        **({"messages": entry.messages, "code": entry.code} if entry.messages is not None else {}),
        **({"trace_id": entry.trace.trace_id} if entry.trace is not None else {}),
    }


def usd_of(usd_nano: int | None) -> float | None:
    return None if usd_nano is None else usd_nano / 1_000_000_000


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def _human(entry: Entry) -> str:
    known = fields_of(entry)
    parts = [
        f"{entry.status or '---'} {entry.method} {entry.path}",
        f"[{entry.endpoint or '-'}]",
        known["gateway"] or known["provider"] or "-",
    ]
    if entry.model:
        parts.append(entry.model)
    parts.append(f"{len(entry.attempts)} attempt{'' if len(entry.attempts) == 1 else 's'}")
    if known["first_byte_ms"] is not None:
        parts.append(f"first byte {known['first_byte_ms']:g} ms")
    if known["total_ms"] is not None:
        parts.append(f"total {known['total_ms']:g} ms")
    parts.append(f"{_size(entry.request_bytes)} in, {_size(entry.response_bytes)} out")
    if entry.messages is not None:
        parts.append(f"{entry.messages[0]}+{entry.messages[1]} messages, {entry.code or 'not closed'}")
    if entry.usage.input_tokens is not None or entry.usage.output_tokens is not None:
        parts.append(f"{entry.usage.input_tokens or 0}+{entry.usage.output_tokens or 0} tokens")
    if known["cost_usd"] is not None:
        parts.append(f"${known['cost_usd']:.6f}")
    parts.append(entry.id)
    line = "  ".join(parts)
    return f"{line}  {entry.error}" if entry.error else line


def _level_of(entry: Entry) -> int:
    if entry.status is None or entry.status >= 500:
        return logging.ERROR
    return logging.WARNING if entry.error else logging.INFO


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._as_json = as_json
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        entry: Entry | None = getattr(record, "entry", None)
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self._as_json:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            line: dict[str, Any] = {
                "time": f"{moment}.{int(record.msecs):03d}Z",
                "level": record.levelname.lower(),
                "event": "request" if entry else record.getMessage(),
            }
            line |= fields_of(entry) if entry else {}
            if trace:
                line["trace"] = trace
            return self._redact(orjson.dumps(line).decode())
        text = _human(entry) if entry else record.getMessage()
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return self._redact("\n".join(filter(None, (f"{moment} {level}{text}", trace))))


def open_log(
    redact: Callable[[str], str],
    *,
    level: str = "info",
    form: str = "auto",
    file: Path | None = None,
    rotation: Rotation | None = None,
    keep: int = 14,
    stream: IO[str] | None = None,
) -> logging.Logger:
    """Sets up the logger `llmitm`, in place of what it had, and returns it.

    `form` is human, json, or auto: human where `stream` (standard error if None) is a terminal.
    `file`, where given, gets the lines instead of the stream; see `LogFile` for `rotation` and `keep`.
    """
    logger = logging.getLogger("llmitm")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    target = stream or sys.stderr
    handler: logging.Handler = LogFile(file, rotation, keep) if file else logging.StreamHandler(target)
    as_json = form == "json" or (form == "auto" and (file is not None or not target.isatty()))
    handler.setFormatter(_Formatter(as_json=as_json, redact=redact))
    logger.addHandler(handler)
    logger.setLevel(LEVELS.get(level.lower(), logging.INFO))
    logger.propagate = False
    return logger


def request_line(entry: Entry) -> None:
    """A sink: the line of one request."""
    logger = logging.getLogger("llmitm")
    level = _level_of(entry)
    if logger.isEnabledFor(level):
        logger.log(level, "request", extra={"entry": entry})
