"""Which endpoint a request is for, where its path leads, and which dialect it speaks. Pure.

Paths are handled as the bytes that the client sent: nothing is decoded, normalised or collapsed, so that
what the provider gets is what the client meant. What could leave an endpoint's base is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llmitm.config.endpoints import Endpoint
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect, Headers

_VERSIONED: Final = re.compile(rb"/v1(?:beta)?(?=[/?]|\Z)")
_UPLOAD: Final = re.compile(rb"/upload/v1(?:beta|alpha)?/")
"""Gemini's files are uploaded beside its other paths."""
_LIVE: Final = b"/ws/"
"""Gemini's live sessions are too."""
_SEGMENT: Final = re.compile(rb"/([^/?]*)")
_MODEL_CALL: Final = re.compile(
    rb":(?:generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The endpoint of a request, and what is left of its target."""

    name: str
    endpoint: Endpoint
    rest: bytes
    """From the slash after the endpoint's name on, with the query."""


def find(target: bytes, config: Config) -> Match:
    """The endpoint that `target` (path and query as sent) names.

    Raises:
        Refused: 400 for a target that is no path, 404 where it names no endpoint.
    """
    if not target.startswith(b"/") or target.startswith(b"//"):
        raise Refused(400, "invalid_path", "The request target must be a path that begins with one slash.")
    if b"#" in target or any(sign <= 0x20 or sign == 0x7F for sign in target):
        raise Refused(400, "invalid_path", "The path holds characters that must be percent-encoded.")
    if (
        _VERSIONED.match(target)
        or target.startswith(_LIVE)
        or (_UPLOAD.match(target) and "upload" not in config.endpoints)
    ):
        name = config.default_endpoint
        if name is None:
            raise Refused(
                404,
                "unknown_endpoint",
                f"No default endpoint is configured. {_known(config)}",
            )
        return Match(name=name, endpoint=config.endpoints[name], rest=target)
    segment = _SEGMENT.match(target)
    assert segment is not None
    name = segment[1].decode("ascii", "replace")
    endpoint = config.endpoints.get(name)
    if endpoint is None:
        raise Refused(404, "unknown_endpoint", f"There is no such endpoint. {_known(config)}")
    rest = target[segment.end() :]
    return Match(name=name, endpoint=endpoint, rest=rest if rest.startswith(b"/") else b"/" + rest)


def _known(config: Config) -> str:
    names = [f"/{name}/" for name in config.endpoints]
    if not names:
        return "None is configured."
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"Possible are {shown}"


def dialect_of(path: bytes, headers: Headers) -> Dialect:
    """The dialect that a path speaks, else the one that its headers hint at, else openai-chat."""
    if path.endswith((b"/messages", b"/messages/count_tokens")) or b"/messages/batches" in path:
        return Dialect.ANTHROPIC_MESSAGES
    if path.endswith((b"/completions", b"/embeddings")) or b"/v1beta/openai/" in path:
        return Dialect.OPENAI_CHAT  # Gemini speaks it too, below /v1beta/openai/
    if path.endswith(b"/responses") or b"/responses/" in path:
        return Dialect.OPENAI_RESPONSES
    if b"/v1beta/" in path or b"/upload/v1" in path or _MODEL_CALL.search(path):
        return Dialect.GEMINI
    if path.startswith(_LIVE + b"google."):
        return Dialect.GEMINI
    names = {name.lower() for name, _ in headers}
    if b"anthropic-version" in names:
        return Dialect.ANTHROPIC_MESSAGES
    if b"x-goog-api-key" in names:
        return Dialect.GEMINI
    return Dialect.OPENAI_CHAT
