"""What a path below a gateway endpoint asks for, and where the same is asked of a provider. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

from llmitm.errors import Refused, wrong_method
from llmitm.exchange import Dialect
from llmitm.route.join import join

type Task = Literal["generate", "complete", "embed", "count", "compact", "other"]
"""An answer, the rest of a text, vectors of texts, how many tokens a request has, a conversation packed."""

_PATHS: Final[dict[bytes, tuple[Dialect, Task]]] = {
    b"/chat/completions": (Dialect.OPENAI_CHAT, "generate"),
    b"/responses": (Dialect.OPENAI_RESPONSES, "generate"),
    b"/messages": (Dialect.ANTHROPIC_MESSAGES, "generate"),
    b"/messages/count_tokens": (Dialect.ANTHROPIC_MESSAGES, "count"),
    b"/responses/input_tokens": (Dialect.OPENAI_RESPONSES, "count"),
    b"/responses/compact": (Dialect.OPENAI_RESPONSES, "compact"),
    b"/completions": (Dialect.OPENAI_CHAT, "complete"),
    b"/embeddings": (Dialect.OPENAI_CHAT, "embed"),
}
_GEMINI: Final = re.compile(rb"/(v1beta|v1alpha|v1)/models/(.+):([A-Za-z]+)\Z")
_GEMINI_AT_END: Final = re.compile(rb"/models/[^/]+:[A-Za-z]+\Z")
_GEMINI_TASKS: Final[dict[bytes, Task]] = {
    b"generateContent": "generate",
    b"streamGenerateContent": "generate",
    b"countTokens": "count",
    b"embedContent": "embed",
    b"batchEmbedContents": "embed",
}
_MODELS: Final = re.compile(rb"(?:/v1|/v1beta)?/models(?:/((?:(?!/operations/).)+))?\Z")
_KEY: Final = re.compile(rb"(?:\A|(?<=&))key=[^&]*(?:&|\Z)")
_VERSION_AT_END: Final = re.compile(r"/v1(?:beta|alpha)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request for a model."""

    dialect: Dialect
    task: Task
    """`other` can be asked only of a provider that speaks this dialect."""
    path: bytes
    """Without a version: `/chat/completions`; for Gemini the verb, `generateContent`."""
    query: bytes = b""
    """Without a key."""
    version: str = "v1"
    model: str | None = None
    """Where the path names it."""
    is_stream: bool | None = None
    """Where the path says it."""
    is_json_array: bool = False


def read(method: str, rest: bytes) -> Call:
    """What `rest` (path and query below the endpoint) asks for.

    Raises:
        Refused: 404 for a path that names no call, 405 for another method than POST.
    """
    found = find(rest)
    if found is None:
        raise Refused(404, "unknown_path", "This endpoint serves calls of models only; this path is none.")
    if method != "POST":
        raise wrong_method("POST")
    return found


def find(rest: bytes) -> Call | None:
    """The call that a path names; None where it names none."""
    path, _, query = rest.partition(b"?")
    query = _KEY.sub(b"", query).rstrip(b"&")
    return _plain(path, query) or _gemini(path, query)


def at_end(url: str) -> Call | None:
    """The call that an address ends in, whatever stands before it; None where it ends in none. For who looks
    at an answer: hosts put their calls below paths of their own."""
    path = urlsplit(url).path.encode()
    if match := _GEMINI_AT_END.search(path):
        return _gemini(b"/v1" + match[0], b"")
    known = next((one for one in _PATHS if path.endswith(one)), None)
    return None if known is None else _plain(known, b"")


def read_models(method: str, rest: bytes) -> str | None:
    """The name in a request for one model, empty for a list of all; None where it asks for neither."""
    match = _MODELS.match(rest.partition(b"?")[0])
    if match is None or method not in ("GET", "HEAD"):
        return None
    return unquote_to_bytes(match[1] or b"").decode("utf-8", "replace")


def _plain(path: bytes, query: bytes) -> Call | None:
    bare = path.removeprefix(b"/v1")
    if (known := _PATHS.get(bare)) is None:
        return None
    return Call(dialect=known[0], task=known[1], path=bare, query=query)


def _gemini(path: bytes, query: bytes) -> Call | None:
    match = _GEMINI.match(path)
    if match is None or (task := _GEMINI_TASKS.get(match[3])) is None:
        return None
    is_stream = match[3] == b"streamGenerateContent"
    return Call(
        dialect=Dialect.GEMINI,
        task=task,
        path=match[3],
        query=query,
        version=match[1].decode(),
        model=unquote_to_bytes(match[2]).decode("utf-8", "replace"),
        is_stream=is_stream,
        is_json_array=is_stream and b"alt=sse" not in query.split(b"&"),
    )


def url_of(call: Call, base: str, model: str, api_version: str | None = None) -> str:
    """Where a provider of this call's own dialect is asked.

    Raises:
        Refused: 400 for a model whose name makes no path.
    """
    query = call.query
    match call.dialect:
        case Dialect.GEMINI:
            name = quote(model.removeprefix("models/"), safe="")
            version = "" if _VERSION_AT_END.search(base) else f"/{api_version or call.version}"
            path = f"{version}/models/{name}:{call.path.decode()}".encode()
        case Dialect.ANTHROPIC_MESSAGES:
            path = b"/v1" + call.path
        case _:
            path = call.path if urlsplit(base).path.strip("/") else b"/v1" + call.path
            if api_version:
                added = b"api-version=" + quote(api_version, safe="").encode()
                query = query + b"&" + added if query else added
    return join(base, path + b"?" + query if query else path)


_GENERATE: Final[dict[Dialect, bytes]] = {
    Dialect.OPENAI_CHAT: b"/chat/completions",
    Dialect.OPENAI_RESPONSES: b"/responses",
    Dialect.ANTHROPIC_MESSAGES: b"/messages",
}


def generate(dialect: Dialect, *, is_stream: bool) -> Call:
    """The call that asks a provider of this dialect for an answer; streams come as events."""
    if dialect is not Dialect.GEMINI:
        return Call(dialect=dialect, task="generate", path=_GENERATE[dialect])
    return Call(
        dialect=dialect,
        task="generate",
        path=b"streamGenerateContent" if is_stream else b"generateContent",
        query=b"alt=sse" if is_stream else b"",
        version="v1beta",
        is_stream=is_stream,
    )


_COUNT: Final[dict[Dialect, bytes]] = {
    Dialect.OPENAI_RESPONSES: b"/responses/input_tokens",
    Dialect.ANTHROPIC_MESSAGES: b"/messages/count_tokens",
}


def count(dialect: Dialect) -> Call:
    """The call that asks a provider how many tokens a request has; OpenAI's chat has none."""
    if dialect is Dialect.GEMINI:
        return Call(dialect=dialect, task="count", path=b"countTokens", version="v1beta")
    return Call(dialect=dialect, task="count", path=_COUNT[dialect])


def embed(dialect: Dialect, *, is_batch: bool) -> Call:
    """The call that asks a provider for vectors: Gemini has one for a single text, and one for several."""
    if dialect is not Dialect.GEMINI:
        return Call(dialect=Dialect.OPENAI_CHAT, task="embed", path=b"/embeddings")
    verb = b"batchEmbedContents" if is_batch else b"embedContent"
    return Call(dialect=dialect, task="embed", path=verb, version="v1beta")
