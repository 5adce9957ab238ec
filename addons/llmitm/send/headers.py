"""Which headers travel from one hop to the next. Pure.

Names keep their case and order, duplicates stay. Source: RFC 9110 section 7.6.1.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from llmitm.errors import Refused
from llmitm.exchange import EXCHANGE_ID, Headers
from llmitm.secret import Secret

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
UPGRADE: Final = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
"""The hop's own part of a WebSocket's handshake."""
_REQUEST_ONLY: Final = HOP_BY_HOP | {b"host", b"expect", b"http2-settings"}
_ANSWER_ONLY: Final = HOP_BY_HOP | {EXCHANGE_ID}
"""A gateway behind this one names its own exchange."""
_FRAMING: Final = _REQUEST_ONLY | {b"content-length"}
_NOT_DROPPABLE: Final = frozenset({b"", b"close", b"keep-alive", b"content-length"})
"""What a Connection header cannot take away: without its length a body would be cut wrongly."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    named = [
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    ]
    return frozenset(named) - _NOT_DROPPABLE if named else frozenset()


def forwardable_request(headers: Headers, drop: frozenset[bytes]) -> Headers:
    """What goes on to the upstream: without hop-by-hop headers, those that Connection names, and `drop`."""
    stay = _REQUEST_ONLY | drop | _named_by_connection(headers)
    return tuple(pair for pair in headers if pair[0].lower() not in stay)


def forwardable_response(headers: Headers) -> Headers:
    """What goes back to the client."""
    stay = _ANSWER_ONLY | _named_by_connection(headers)
    return tuple(pair for pair in headers if pair[0].lower() not in stay)


def framed(headers: Headers, length: int | None, *, is_body_less: bool) -> list[tuple[str, str]]:
    """The headers as text, with the Content-Length of this hop, as the upstream client wants them.

    `length` is that of the body in bytes; None for a body that is sent in chunks. A Content-Length stays
    where the client put it, but says `length`; a request without a body is given none that it did not have.

    Raises:
        Refused: 400 for a name that is no token, or a value that is not UTF-8 or holds control characters.
            The text names the header alone.
    """
    pairs: list[tuple[str, str]] = []
    has_length = length is None
    for name, value in headers:
        low = name.lower()
        if low in _FRAMING:
            if low == b"content-length" and not has_length:
                pairs.append((name.decode("ascii"), str(length)))
                has_length = True
            continue
        pairs.append(as_text(name, value))
    if not has_length and not is_body_less:
        pairs.append(("Content-Length", str(length)))
    return pairs


def as_text(name: bytes, value: bytes) -> tuple[str, str]:
    """One header as text.

    Raises:
        Refused: see `framed`.
    """
    if _TOKEN.fullmatch(name) is None:
        raise _unsendable(name, "The name", "is not valid")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _unsendable(name, "The value", "is not UTF-8") from None
    if _CONTROL.search(text) is not None:
        raise _unsendable(name, "The value", "holds control characters")
    return name.decode("ascii"), text


def with_keys(url: str, keys: tuple[tuple[bytes, Secret], ...]) -> str:
    """The URL with parameters that hold keys at the end of its query."""
    if not keys:
        return url
    added = "&".join(f"{name.decode()}={quote(key.reveal(), safe='')}" for name, key in keys)
    if "?" not in url:
        return f"{url}?{added}"
    return url + added if url.endswith(("?", "&")) else f"{url}&{added}"


def _unsendable(name: bytes, what: str, why: str) -> Refused:
    # a name may hold anything: what a terminal or a header would act on is escaped
    shown = name[:64].decode("ascii", "backslashreplace").encode("unicode_escape").decode("ascii")
    return Refused(400, "invalid_header", f"{what} of header {shown} {why} and cannot be sent on.")
