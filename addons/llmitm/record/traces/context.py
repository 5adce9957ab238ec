"""Where an exchange stands in its trace, as W3C's trace context tells it. Pure, but for the chance in ids."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from llmitm.exchange import Headers

_HEX: Final = frozenset(b"0123456789abcdef")
_MOST_STATE_BYTES: Final = 512
_CHANCE: Final = random.Random()
"""Ids need not be secret: this is quick, and nobody else seeds it."""
NAMES: Final = (b"traceparent", b"tracestate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One exchange's place in a trace. Ids are lower-case hex."""

    trace_id: str
    span_id: str
    """Of the exchange."""
    parent_id: str | None
    """Of the client's span; None: the trace begins here."""
    is_sampled: bool
    """Whether its spans are kept."""
    state: bytes = b""
    """The client's `tracestate`, handed on as it came."""
    is_told: bool = True
    """Whether upstreams are told of it."""

    def headers(self, span_id: str) -> Headers:
        """What an upstream is told, whose call is that span."""
        flags = "01" if self.is_sampled else "00"
        parent = (b"traceparent", f"00-{self.trace_id}-{span_id}-{flags}".encode())
        return (parent, (b"tracestate", self.state)) if self.state else (parent,)

    def onto(self, headers: Headers, span_id: str) -> Headers:
        """The headers of an upstream request with those of this trace in place of the client's."""
        return (*(pair for pair in headers if pair[0].lower() not in NAMES), *self.headers(span_id))


@dataclass(frozen=True, slots=True)
class Parent:
    """What a client's `traceparent` says."""

    trace_id: str
    span_id: str
    is_sampled: bool


def begin(headers: Headers, *, ratio: float = 1.0, follows_parent: bool = True) -> Trace:
    """The trace of an exchange: the client's, where its headers name one, else a new one.

    `ratio` of the traces are kept, chosen by their ids, so that others who keep the same share keep the same
    ones; where `follows_parent`, a client's trace is kept if the client keeps it.
    """
    parent, state = _parent_of(headers)
    trace_id = parent.trace_id if parent is not None else new_trace_id()
    if parent is not None and follows_parent:
        is_sampled = parent.is_sampled
    else:
        is_sampled = ratio >= 1 or int(trace_id[16:], 16) < ratio * 2**64
    return Trace(
        trace_id=trace_id,
        span_id=new_span_id(),
        parent_id=parent.span_id if parent is not None else None,
        is_sampled=is_sampled,
        state=state,
    )


def new_trace_id() -> str:
    return f"{_CHANCE.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    return f"{_CHANCE.getrandbits(64) or 1:016x}"


def _parent_of(headers: Headers) -> tuple[Parent | None, bytes]:
    """Without a parent that can be used there is no state either."""
    parents: list[bytes] = []
    states: list[bytes] = []
    for name, value in headers:
        if len(name) == 11 and name.lower() == b"traceparent":
            parents.append(value)
        elif len(name) == 10 and name.lower() == b"tracestate":
            states.append(value)
    parent = read_parent(parents[0]) if len(parents) == 1 else None
    if parent is None or not states:
        return parent, b""
    state = b",".join(one.strip() for one in states)
    return parent, state if len(state) <= _MOST_STATE_BYTES else b""


def read_parent(value: bytes) -> Parent | None:
    """A `traceparent`; None where it is none, or has ids of nothing but zeros."""
    value = value.strip()
    version, trace_id, span_id, flags = value[:2], value[3:35], value[36:52], value[53:55]
    is_whole = len(value) == 55 or (len(value) > 55 and version != b"00" and value[55:56] == b"-")
    if not is_whole or version == b"ff" or not (value[2:3] == value[35:36] == value[52:53] == b"-"):
        return None
    if not _HEX.issuperset(version + trace_id + span_id + flags):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return Parent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & 1))
