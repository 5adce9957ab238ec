"""One exchange between a client of one dialect and an upstream of another. Pure.

    request bytes -> read -> fit -> write -> upstream's bytes
    client's bytes <- write <- name <- read <- reply bytes, or stream

What the upstream calls by other names (tools, ids of calls) is called by the client's on its way back.
"""

from __future__ import annotations

from llmitm.exchange import Dialect, Usage
from llmitm.translate.neutral import Failure, Request, UpstreamError
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target


def read_request(
    dialect: Dialect,
    body: bytes,
    *,
    model: str | None = None,
    is_stream: bool | None = None,
    is_json_array: bool = False,
) -> Request:
    """What a client asks for.

    `model`, `is_stream` and `is_json_array` are what a Gemini client's path and query say; None elsewhere.

    Raises:
        Refused: 400, it cannot be read as a request of this dialect.
    """
    raise NotImplementedError


class Translation:
    """One request on its way to one upstream, and the way back. One instance an attempt.

    `body` is what the upstream is sent. `notes` grows while replies are translated.
    """

    def __init__(self, asked: Request, target: Target) -> None:
        """Raises `Refused`, 400: the request cannot be said to this upstream."""
        self.asked = asked
        self.target = target
        self.notes = Notes()
        self.body: bytes = b""
        self.usage: Usage | None = None

    def reply(self, body: bytes) -> bytes:
        """A whole answer with status 200 in the client's dialect.

        Raises:
            UpstreamError: it is no reply.
        """
        raise NotImplementedError

    def stream(self) -> StreamTranslation:
        """For an answer that comes as a stream and goes on as one."""
        raise NotImplementedError

    def collector(self) -> Collected:
        """For an answer that comes as a stream, while the client waits for one whole."""
        raise NotImplementedError

    def simulated(self, body: bytes) -> bytes:
        """A whole answer as the stream that the client asked for.

        Raises:
            UpstreamError: it is no reply.
        """
        raise NotImplementedError


class StreamTranslation:
    """The upstream's stream in, the client's stream out, for any cut of the bytes."""

    has_begun: bool
    """Whether the upstream has said anything meaningful: before that a failure can still have a status."""
    failure: Failure | None
    """Why the stream failed, else None. Where `has_begun` is False nothing was written of it."""
    usage: Usage | None

    def feed(self, piece: bytes) -> bytes:
        """The client's bytes that this piece makes; empty where none."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """The body has ended; what is left to say. Sets `failure` where it ended too early."""
        raise NotImplementedError

    def fail(self, failure: Failure) -> bytes:
        """The connection broke: how this client is told, within its stream."""
        raise NotImplementedError


class Collected:
    """A stream that is added up."""

    usage: Usage | None

    def feed(self, piece: bytes) -> None:
        raise NotImplementedError

    def finish(self) -> bytes:
        """The whole reply in the client's dialect.

        Raises:
            UpstreamError: the stream broke off, or told of an error.
        """
        raise NotImplementedError


__all__ = [
    "Collected",
    "Failure",
    "StreamTranslation",
    "Translation",
    "UpstreamError",
    "read_request",
]
