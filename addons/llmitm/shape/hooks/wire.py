"""Between what travels and what functions are shown: headers without keys, and bodies as they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from llmitm.exchange import Headers
from llmitm.shape.hooks.calling import RefusedByHook

_HIDDEN: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "x-llmitm-key",
        "cookie",
        "set-cookie",
        "cf-aig-authorization",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-protocol",
    }
)
"""Headers that hold keys, or say how a message is framed."""


def shown(headers: Headers, holds_secret: Callable[[bytes], bool] | None = None) -> Mapping[str, str]:
    """What functions see. `holds_secret` tells values that they must not."""
    return {
        name: value.decode("latin-1")
        for raw, value in headers
        if (name := raw.decode("latin-1").lower()) not in _HIDDEN
        and (holds_secret is None or not holds_secret(value))
    }


def merged(headers: Headers, before: Mapping[str, str], after: Mapping[str, str]) -> Headers:
    """`headers` with what differs between `before` and `after`.

    Raises:
        RefusedByHook: 500, what differs is no header.
    """
    if before == after:
        return headers
    try:
        changed = {name.lower(): value for name, value in after.items() if before.get(name) != value}
        added = [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in changed.items()
            if name not in _HIDDEN
        ]
    except (AttributeError, UnicodeEncodeError):
        raise nonsense() from None
    if any(sign in b"".join(pair) for pair in added for sign in (b"\r", b"\n", b"\0")):
        raise nonsense()
    gone = set(before).difference(name.lower() for name in after) | {name for name, _ in changed.items()}
    gone -= _HIDDEN
    return (*(pair for pair in headers if pair[0].decode("latin-1").lower() not in gone), *added)


def with_length(headers: Headers, body: bytes) -> Headers:
    """With the new length, where one is told."""
    return tuple(
        (name, b"%d" % len(body)) if name.lower() == b"content-length" else (name, value)
        for name, value in headers
    )


def written(value: Any) -> bytes:
    """Raises `RefusedByHook`, 500, where it is nothing that JSON can say."""
    try:
        return orjson.dumps(value)
    except (TypeError, RecursionError):
        raise nonsense() from None


def changes(before: Mapping[str, Any], after: object) -> dict[str, bytes | None]:
    """Members of an object that are to be written anew, as JSON; None for those that are gone.

    Raises:
        RefusedByHook: 500, it is no object any more, or nothing that JSON can say.
    """
    if not isinstance(after, dict):
        raise nonsense()
    found: dict[str, bytes | None] = {name: None for name in before if name not in after}
    for name, value in after.items():
        if not isinstance(name, str):
            raise nonsense()
        try:
            new = orjson.dumps(value)
        except (TypeError, RecursionError):
            if name in before and before[name] == value:
                continue  # it can be read, but is too deep to be written
            raise nonsense() from None
        if name not in before or orjson.dumps(before[name]) != new:
            found[name] = new
    return found


def nonsense() -> RefusedByHook:
    return RefusedByHook(
        500, "hook_failed", "A rule of this gateway's operator gave back what cannot be sent."
    )
