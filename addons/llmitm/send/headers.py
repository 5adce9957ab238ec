"""Which headers travel from one hop to the next. Pure.

Names keep their case and order. Source: RFC 9110 section 7.6.1.
"""

from __future__ import annotations

from typing import Final

from llmitm.errors import Refused
from llmitm.exchange import Headers

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REQUEST_ONLY: Final = HOP_BY_HOP | {b"host", b"expect", b"http2-settings"}


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    named = [
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    ]
    return frozenset(named) - {b"", b"close", b"keep-alive"}


def forwardable_request(headers: Headers, drop: frozenset[bytes]) -> Headers:
    """What goes on to the upstream: without hop-by-hop headers, those that Connection names, and `drop`."""
    stay = _REQUEST_ONLY | drop | _named_by_connection(headers)
    return tuple(pair for pair in headers if pair[0].lower() not in stay)


def forwardable_response(headers: Headers) -> Headers:
    """What goes back to the client."""
    stay = HOP_BY_HOP | _named_by_connection(headers)
    return tuple(pair for pair in headers if pair[0].lower() not in stay)


def as_text(headers: Headers) -> list[tuple[str, str]]:
    """The same as text, as the upstream client wants it.

    Raises:
        Refused: 400 for a value that is not UTF-8 or holds control characters, naming the header alone.
    """
    pairs = []
    for name, value in headers:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise _unsendable(name, "is not UTF-8") from None
        if any(sign < " " and sign != "\t" or sign == "\x7f" for sign in text):
            raise _unsendable(name, "holds control characters")
        pairs.append((name.decode("ascii", "replace"), text))
    return pairs


def _unsendable(name: bytes, why: str) -> Refused:
    shown = name.decode("ascii", "replace")
    return Refused(400, "invalid_header", f"The value of header {shown} {why} and cannot be sent on.")
