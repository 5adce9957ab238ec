"""How the demonstration provider is told to fail.

A fault is written `name`, `name:value` or `name:value;header=text;…`; several are joined by ` | `, as in
`slow:50 | status:429;retry-after=2`. A header given this way is added to the answer and replaces one
of its name; with an empty text it only takes that one away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What can go wrong. N counts events in a stream and bytes elsewhere."""

    STATUS = "status"
    """`status:429` or `status:429:insufficient_quota`: an error of the dialect, with a code of its own."""
    CLOUDFLARE = "cf"
    """`cf:2005`: an error that Cloudflare makes, by its code."""
    REDIRECT = "redirect"
    """`redirect` or `redirect:URL`: a 302."""
    RESET = "reset"
    """RST before any byte."""
    CLOSE = "close"
    """FIN before any byte."""
    RESET_HEADERS = "reset-headers"
    """RST in the middle of the headers."""
    RESET_BODY = "reset-body"
    """`reset-body:N`: RST after N."""
    STALL = "stall"
    """Never answers."""
    STALL_HEADERS = "stall-headers"
    """Falls silent in the middle of the headers."""
    STALL_STREAM = "stall-stream"
    """`stall-stream:N`: falls silent after N."""
    TRUNCATE = "truncate"
    """`truncate:N`: FIN after N, before HTTP's own end. Without N only the last piece is missing."""
    EARLY_END = "early-end"
    """`early-end:N`: a proper end in HTTP after N, without the dialect's terminator."""
    MALFORMED_SSE = "malformed-sse"
    """`malformed-sse:N`: the event after the first N (1) breaks off within its JSON."""
    INVALID_UTF8 = "invalid-utf8"
    """`invalid-utf8:N`: the event after the first N (1) holds bytes that are no UTF-8."""
    MALFORMED_HTTP = "malformed-http"
    """A status line that is none."""
    ERROR_EVENT = "error-event"
    """`error-event:N`: a 200 whose event after the first N (0) is an error, the last one."""
    SLOW = "slow"
    """`slow:MS`: waits so many milliseconds before the first byte."""
    PACE = "pace"
    """`pace:MS`: waits so many milliseconds before each piece of the body."""
    GZIP = "gzip"
    """The body is compressed, whatever the request accepts."""
    TRAILERS = "trailers"
    """A chunked body with trailers."""
    CLOSE_DELIMITED = "close-delimited"
    """A body that ends where the connection does, as in HTTP/1.0."""
    EARLY_HINTS = "early-hints"
    """103 before the answer."""
    BIG_HEADERS = "big-headers"
    """`big-headers:N`: one header of N bytes."""
    JSON_INSTEAD_OF_SSE = "json-instead-of-sse"
    """A stream that was asked for comes as one JSON body."""
    NONE = "none"
    """Nothing: only for the headers that it adds."""


_MUST_COUNT = frozenset(
    {
        Kind.STATUS,
        Kind.CLOUDFLARE,
        Kind.RESET_BODY,
        Kind.STALL_STREAM,
        Kind.SLOW,
        Kind.PACE,
        Kind.BIG_HEADERS,
    }
)
_MAY_COUNT = frozenset(
    {Kind.TRUNCATE, Kind.EARLY_END, Kind.MALFORMED_SSE, Kind.INVALID_UTF8, Kind.ERROR_EVENT}
)
_MAY_SAY = frozenset({Kind.REDIRECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: Kind
    number: int | None = None
    text: str = ""
    """URL of a redirect, code of a status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All that goes wrong with one answer."""

    by_kind: dict[Kind, Fault] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    """To add to the answer; an empty value takes the header away."""

    def __contains__(self, kind: Kind) -> bool:
        return kind in self.by_kind

    def number(self, kind: Kind, default: int = 0) -> int:
        """The fault's number, `default` where it has none or is not here."""
        fault = self.by_kind.get(kind)
        return default if fault is None or fault.number is None else fault.number

    def text(self, kind: Kind) -> str:
        fault = self.by_kind.get(kind)
        return "" if fault is None else fault.text

    def header(self, name: str) -> str | None:
        """What is to stand in this header; None where nothing was said of it."""
        return next((value for key, value in self.headers if key == name), None)

    def onto(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers as they are to be sent."""
        named = {name for name, _ in self.headers}
        kept = [(name, value) for name, value in headers if name.lower() not in named]
        return kept + [(name, value) for name, value in self.headers if value]


NO_FAULTS = Faults()


def parse(spec: str) -> Faults:
    """Reads the written form.

    Raises:
        ValueError: there is no such fault, or its value is not one; says which.
    """
    by_kind: dict[Kind, Fault] = {}
    headers: list[tuple[str, str]] = []
    for one in spec.split("|"):
        name_and_value, *extra = one.strip().split(";")
        name, _, value = name_and_value.strip().partition(":")
        try:
            kind = Kind(name)
        except ValueError:
            raise ValueError(f"no such fault: {name!r}; there are {', '.join(Kind)}") from None
        by_kind[kind] = _read(kind, value)
        for pair in extra:
            header, equals, text = pair.partition("=")
            if not equals:
                raise ValueError(f"{spec!r}: {pair!r} is not written header=text")
            headers.append((header.strip().lower(), text.strip()))
    return Faults(by_kind=by_kind, headers=tuple(headers))


def _read(kind: Kind, value: str) -> Fault:
    number, text = value, ""
    if kind is Kind.STATUS:
        number, _, text = value.partition(":")
    if kind in _MAY_SAY:
        return Fault(kind=kind, text=value)
    if kind in _MUST_COUNT or (kind in _MAY_COUNT and value):
        if not number.isascii() or not number.isdigit():
            raise ValueError(f"{kind}: {value!r} is not a number")
        return Fault(kind=kind, number=int(number), text=text)
    if value:
        raise ValueError(f"{kind} takes no value, not {value!r}")
    return Fault(kind=kind)
