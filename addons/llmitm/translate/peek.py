"""A look into a JSON request, and edits of its top level that leave every other byte alone. Pure.

Parsing a body and writing it anew would reorder nothing but could change numbers, escapes and spacing,
and with them providers' prompt caches. So members are found by position and replaced in place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)


class NotAnObject(ValueError):
    """The body is not a JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """What routing needs of a request."""

    model: str | None = None
    stream: bool = False
    include_usage: bool = False


def peek(body: bytes) -> Peek | None:
    """None where the body is not a JSON object."""
    try:
        request: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(request, dict):
        return None
    model = request.get("model")
    options = request.get("stream_options")
    return Peek(
        model=model if isinstance(model, str) else None,
        stream=request.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the top-level object, as positions in the body."""

    name: str
    start: int
    """Of its name's opening quote."""
    value_start: int
    end: int
    """After its value."""


def members(body: bytes) -> list[Member]:
    """The members of the top-level object in order, doubled names included.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    try:
        if not isinstance(orjson.loads(body), dict):
            raise NotAnObject("the body is not a JSON object")
    except orjson.JSONDecodeError as error:
        raise NotAnObject(f"the body is not valid JSON: {error}") from None
    found: list[Member] = []
    depth = 0
    name: str | None = None
    name_at = value_at = last_end = -1
    expects_name = False
    for token in _TOKEN.finditer(body):
        sign = body[token.start()]
        if depth == 1 and sign in b",}":
            if name is not None:
                found.append(Member(name, name_at, value_at, last_end))
                name, value_at = None, -1
            expects_name = True
        elif depth == 1 and expects_name:
            name, name_at, expects_name = orjson.loads(token[0]), token.start(), False
        elif depth == 1 and sign in b":":
            pass
        elif depth == 1 and value_at < 0:
            value_at = token.start()
        if sign in b"{[":
            depth += 1
            expects_name = expects_name or depth == 1
        elif sign in b"}]":
            depth -= 1
        last_end = token.end()
    return found


def replace_member(body: bytes, name: str, value: Any) -> bytes:
    """The body with the value of a top-level member replaced, wherever it stands; added where it does not.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    new = orjson.dumps(value)
    all_members = members(body)
    there = [one for one in all_members if one.name == name]
    if not there:
        close = body.rindex(b"}")
        comma = b"," if all_members else b""
        return body[:close] + comma + orjson.dumps(name) + b":" + new + body[close:]
    for one in reversed(there):
        body = body[: one.value_start] + new + body[one.end :]
    return body


def remove_member(body: bytes, name: str) -> bytes:
    """The body without a top-level member.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    while True:
        all_members = members(body)
        at = next((at for at, one in enumerate(all_members) if one.name == name), None)
        if at is None:
            return body
        if at + 1 < len(all_members):
            body = body[: all_members[at].start] + body[all_members[at + 1].start :]
        elif at > 0:
            body = body[: all_members[at - 1].end] + body[all_members[at].end :]
        else:
            body = body[: all_members[at].start] + body[all_members[at].end :]


def unstream(body: bytes) -> bytes:
    """The same request, asking for its answer in one piece: `stream` false, `stream_options` gone."""
    return remove_member(replace_member(body, "stream", False), "stream_options")
