"""Which path is what: the APIs' own paths, bare, below a version, below a base path or behind Cloudflare."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from llmitm.demo import cloudflare
from llmitm.exchange import Dialect


class Task(StrEnum):
    """What is asked of the provider."""

    GENERATE = "generate"
    COMPLETE = "complete"
    """The old text completions."""
    COUNT = "count"
    EMBED = "embed"
    MODELS = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a path asks for."""

    task: Task
    dialect: Dialect
    method: str
    hop: cloudflare.Hop | None = None
    model: str | None = None
    """Where the path names it."""
    stream: bool = False
    """The path asks for a stream."""


# The base path may be anything that does not end in a version: a version that stands there twice is a
# mistake of the caller's, and must not be answered as if it were none.
_API = re.compile(
    r"(?P<base>(?:/[^/]+)*?)(?:/(?P<version>v1|v1beta|v1alpha))?/"
    r"(?P<call>chat/completions|completions|embeddings|responses/input_tokens|responses"
    r"|messages/count_tokens|messages|models(?:/.+)?)"
)
_ENDS_IN_VERSION = re.compile(r"/v1(?:beta|alpha)?$")
_VERB = re.compile(
    r"models/(?P<model>.+):"
    r"(?P<verb>generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)"
)
_VERBS = {"countTokens": Task.COUNT, "embedContent": Task.EMBED, "batchEmbedContents": Task.EMBED}
"""All others ask for an answer."""
_POSTS: dict[str, tuple[Task, Dialect]] = {
    "chat/completions": (Task.GENERATE, Dialect.OPENAI_CHAT),
    "completions": (Task.COMPLETE, Dialect.OPENAI_CHAT),
    "embeddings": (Task.EMBED, Dialect.OPENAI_CHAT),
    "responses": (Task.GENERATE, Dialect.OPENAI_RESPONSES),
    "messages": (Task.GENERATE, Dialect.ANTHROPIC_MESSAGES),
    "responses/input_tokens": (Task.COUNT, Dialect.OPENAI_RESPONSES),
    "messages/count_tokens": (Task.COUNT, Dialect.ANTHROPIC_MESSAGES),
}


def find(path: str, *, is_anthropic: bool = False) -> Route | None:
    """What `path` (as sent, without its query) is for, or None.

    `is_anthropic` tells whose model list is meant: two APIs have theirs in one place.
    """
    hop = cloudflare.find(path)
    found = _API.fullmatch(path if hop is None else hop.rest)
    if not found or _ENDS_IN_VERSION.search(found["base"]):
        return None
    call = found["call"]
    if verb := _VERB.fullmatch(call):
        return Route(
            task=_VERBS.get(verb["verb"], Task.GENERATE),
            dialect=Dialect.GEMINI,
            method="POST",
            hop=hop,
            model=unquote(verb["model"]),
            stream=verb["verb"] == "streamGenerateContent",
        )
    if call.startswith("models"):
        dialect = Dialect.ANTHROPIC_MESSAGES if is_anthropic else Dialect.OPENAI_CHAT
        if found["version"] not in ("v1", None):
            dialect = Dialect.GEMINI
        model = unquote(call.partition("/")[2]) or None
        return Route(task=Task.MODELS, dialect=dialect, method="GET", hop=hop, model=model)
    task, dialect = _POSTS[call]
    return Route(task=task, dialect=dialect, method="POST", hop=hop)


def dialect_of(path: str) -> Dialect:
    """Whose errors a path that is served by nobody gets."""
    if "/v1beta/" in path:
        return Dialect.GEMINI
    return Dialect.ANTHROPIC_MESSAGES if "/messages" in path else Dialect.OPENAI_CHAT
