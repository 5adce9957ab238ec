"""Vectors of texts, asked for in OpenAI's form or in Gemini's, and made by an upstream of the other. Pure.

Both have one vector for each text, in order. OpenAI's clients may want them as base64 of little-endian
float32, and do by default; Gemini's may ask for one text or for a batch.
"""

from __future__ import annotations

import base64
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeGuard

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.translate import jsontext, peek
from llmitm.translate.beside import Beside
from llmitm.translate.chat.usage import read_usage
from llmitm.translate.failures import failure_of
from llmitm.translate.gemini.members import Node, items_of, text_of
from llmitm.translate.gemini.usage import read_usage as read_gemini_usage
from llmitm.translate.guess import tokens_of
from llmitm.translate.neutral import JSON, Failure, Request, UpstreamError
from llmitm.translate.notes import Notes
from llmitm.translate.reading import a_text, count_if, invalid, top_object
from llmitm.translate.target import Target

_OPENAI: Final = frozenset({"model", "input", "encoding_format", "dimensions", "user"})
_GEMINI: Final = frozenset({"model", "content", "outputDimensionality"})
_GEMINI_LOST: Final = {"taskType": "task-type", "title": "title"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed:
    """What a client wants embedded."""

    model: str
    dialect: Dialect
    """Of the client."""
    inputs: tuple[str, ...]
    is_batch: bool
    """Several were asked for, be it a list of one."""
    dimensions: JSON = None
    is_base64: bool = False
    lost: tuple[tuple[str, str], ...] = ()
    noted: tuple[tuple[str, str], ...] = ()


def read_embed(dialect: Dialect, body: bytes, *, model: str | None, is_batch: bool = False) -> Embed:
    """`model` and `is_batch` are what a Gemini client's path says.

    Raises:
        Refused: 400, it cannot be read, or holds what only its own vendor can embed.
    """
    if dialect is Dialect.GEMINI:
        return _read_gemini(body, model or "", is_batch=is_batch)
    return _read_openai(body, model)


# ---- OpenAI's form


def _read_openai(body: bytes, model: str | None) -> Embed:
    told = top_object(body)
    given = told.get("input")
    form = told.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise invalid("encoding_format", "expected float or base64")
    return Embed(
        model=a_text(told.get("model"), "model") if model is None else model,
        dialect=Dialect.OPENAI_CHAT,
        inputs=tuple(_inputs(given)),
        is_batch=isinstance(given, list),
        dimensions=_size(told.get("dimensions"), "dimensions"),
        is_base64=form == "base64",
        lost=tuple(("unknown-field", name) for name in told if name not in _OPENAI),
        noted=(("user", "user"),) if told.get("user") is not None else (),
    )


def _size(value: JSON, at: str) -> int | None:
    if value is not None and count_if(value) is None:
        raise invalid(at, "expected a whole number")
    return count_if(value)


def _inputs(given: JSON) -> Iterator[str]:
    if isinstance(given, str):
        yield given
        return
    if not isinstance(given, list) or not given:
        raise invalid("input", "expected a string, or a list with at least one")
    for n, one in enumerate(given):
        if count_if(one) is not None or isinstance(one, list):
            raise Refused(
                400,
                "unsupported_by_target",
                "input: this model's provider takes no tokens; send the input as text.",
                param="input",
            )
        yield a_text(one, f"input[{n}]")


def split(body: bytes, most: int) -> list[bytes]:
    """Requests of at most `most` inputs each; the request itself where that is enough.

    Raises:
        Refused: 400, it is no request.
    """
    told = top_object(body)
    given = told.get("input")
    if not isinstance(given, list) or len(given) <= most or any(count_if(one) is not None for one in given):
        return [body]
    parts = [given[start : start + most] for start in range(0, len(given), most)]
    try:
        return [jsontext.dumps({**told, "input": part}) for part in parts]
    except RecursionError:
        raise invalid("", "The request body is nested too deep") from None


def join(bodies: Sequence[bytes]) -> bytes:
    """The answers to such requests, as one.

    Raises:
        ValueError: one of them is none.
    """
    first: dict[str, Any] = {}
    data: list[Any] = []
    usage: dict[str, int] | None = {}
    for body in bodies:
        told: Any = jsontext.loads_fast(body)
        if not isinstance(told, dict) or not _is_list(told.get("data")):
            raise ValueError("no vectors")
        first = first or told
        start = len(data)
        data += ({**one, "index": start + n} for n, one in enumerate(_in_order(told["data"])))
        counts = told.get("usage")
        if usage is None or not isinstance(counts, dict):
            usage = None
            continue
        for name, count in counts.items():
            if (number := count_if(count)) is not None:
                usage[name] = usage.get(name, 0) + number
    return jsontext.dumps({**first, "data": data, "usage": usage})


def _is_list(data: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(data, list) and all(isinstance(one, dict) for one in data)


def _in_order(data: list[Any]) -> list[Any]:
    """By their indexes; as they came where some have none."""
    if any(count_if(one.get("index")) is None for one in data):
        return data
    return sorted(data, key=lambda one: one["index"])


# ---- Gemini's form


def _read_gemini(body: bytes, model: str, *, is_batch: bool) -> Embed:
    top = Node(top_object(body))
    requests = items_of(top.get("requests")) if is_batch else [top]
    if not requests:
        raise invalid("requests", "expected a list with at least one request")
    given = [one.get("outputDimensionality") for one in requests]
    sizes = [None if one is None else _size(one.value, one.at) for one in given]
    if any(size != sizes[0] for size in sizes):
        raise invalid(requests[0].at, "one outputDimensionality for all is expected by this provider")
    lost: list[tuple[str, str]] = []
    for one in requests:
        for name, member in one.members():
            if name not in _GEMINI:
                lost.append((_GEMINI_LOST.get(name, "unknown-field"), member.at))
    return Embed(
        model=model,
        dialect=Dialect.GEMINI,
        inputs=tuple(map(_content, requests)),
        is_batch=is_batch,
        dimensions=sizes[0],
        lost=tuple(lost),
    )


def _content(request: Node) -> str:
    """The text of a content; its parts make one vector together."""
    content = request.get("content")
    if content is None:
        raise invalid(request.at, "expected content")
    parts = [content] if isinstance(content.value, str) else items_of(content.get("parts"))
    texts: list[str] = []
    for part in parts:
        text = part.value if isinstance(part.value, str) else text_of(part.get("text"))
        if text is None:
            raise Refused(
                400,
                "unsupported_by_target",
                f"{part.at}: this model's provider embeds text alone.",
                param=part.at,
            )
        texts.append(text)
    if not texts:
        raise invalid(content.at, "expected at least one part")
    return "\n".join(texts)


def renamed(body: bytes, model: str) -> bytes:
    """A Gemini client's request, whose parts name the model too, with this name in them."""
    name = orjson.dumps(f"models/{model.removeprefix('models/')}")
    try:
        places = peek.top_level(body)
        if "model" in places:
            body = peek.edit(body, {"model": name})
            places = peek.top_level(body)
        if "requests" not in places:
            return body
        made: list[bytes] = []
        copied_to = 0
        for start, end in peek.elements(body.decode("latin-1"), places["requests"][0]):
            made += (body[copied_to:start], peek.edit(body[start:end], {"model": name}))
            copied_to = end
        return b"".join((*made, body[copied_to:]))
    except peek.NotAnObject:
        return body  # the provider says what is wrong with it


# ---- across


class Embedding:
    """One request on its way to an upstream of the other form, and the way back. One instance an attempt.

    `body` is what the upstream is sent.
    """

    def __init__(self, embed: Embed, target: Target) -> None:
        """Raises `Refused`, 400: strict was asked for, and something would be left out."""
        self.embed = embed
        self.target = target
        self.notes = Notes()
        for what, at in embed.lost:
            self.notes.lost(what, at)
        for what, at in embed.noted:
            self.notes.note(what, at)
        if target.is_strict:
            self.notes.refuse_strictly()
        self.asked = Request(model=embed.model, turns=(), dialect=embed.dialect)
        """Of an embedding: who asked, and for what model."""
        self.body = (
            _write_gemini(embed, target) if target.dialect is Dialect.GEMINI else _write(embed, target)
        )
        self.usage: Usage | None = None
        self.answered: str | None = None
        self.answer_id: str | None = None
        self.finishes: tuple[str, ...] = ()

    def blamed(self, failure: Failure) -> Failure:
        """Places differ too much: none is named."""
        return replace(failure, param=None)

    def reply(self, body: bytes) -> bytes:
        """The vectors in the client's form.

        Raises:
            UpstreamError: it is no such answer.
        """
        told = _loaded(body)
        if self.target.dialect is Dialect.GEMINI:
            vectors, counts = _gemini_vectors(told), told.get("usageMetadata")
            self.usage = _of_gemini(counts)
        else:
            vectors, counts = _openai_vectors(told), told.get("usage")
            self.usage = _of_openai(counts)
        if len(vectors) != len(self.embed.inputs):
            raise _malformed("has not one vector for each input")
        try:
            if self.embed.dialect is Dialect.GEMINI:
                return _reply_gemini(vectors, self.usage, is_batch=self.embed.is_batch)
            return self._reply_openai(vectors)
        except RecursionError:
            raise _malformed("is nested too deep") from None

    def _reply_openai(self, vectors: Sequence[Any]) -> bytes:
        data = [
            {"object": "embedding", "index": n, "embedding": _packed(one) if self.embed.is_base64 else one}
            for n, one in enumerate(vectors)
        ]
        count = self.usage.input_tokens if self.usage is not None else None
        if count is None:
            # clients of this API count on a count
            self.notes.adjusted("usage-estimated", "usage")
            count = sum(tokens_of(one, self.target.model) for one in self.embed.inputs)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return jsontext.dumps({"object": "list", "data": data, "model": self.embed.model, "usage": usage})

    # no API streams vectors

    def simulated(self, body: bytes) -> bytes:
        raise _malformed("is no stream")

    def stream(self) -> Any:
        raise _malformed("is a stream")

    def collector(self) -> Any:
        raise _malformed("is a stream")


def _write(embed: Embed, target: Target) -> bytes:
    given: Any = list(embed.inputs) if embed.is_batch else embed.inputs[0]
    body = {"model": target.model, "input": given, "dimensions": embed.dimensions}
    return jsontext.dumps({name: value for name, value in body.items() if value is not None})


def _write_gemini(embed: Embed, target: Target) -> bytes:
    size = {} if embed.dimensions is None else {"outputDimensionality": embed.dimensions}
    requests = [
        {
            "model": f"models/{target.model.removeprefix('models/')}",
            "content": {"parts": [{"text": one}]},
            **size,
        }
        for one in embed.inputs
    ]
    return jsontext.dumps({"requests": requests} if embed.is_batch else requests[0])


def _loaded(body: bytes) -> dict[str, Any]:
    try:
        told: Any = jsontext.loads_fast(body)
    except ValueError:
        raise _malformed("is not valid JSON") from None
    failure = failure_of(told, 200)
    if failure is not None:
        raise UpstreamError(failure)
    if not isinstance(told, dict):
        raise _malformed("is no object")
    return told


def _malformed(what: str) -> UpstreamError:
    message = f"The provider's answer {what}."
    return UpstreamError(Failure(status=502, kind="bad_gateway", code="malformed_reply", message=message))


def _openai_vectors(told: dict[str, Any]) -> list[Any]:
    data = told.get("data")
    if not _is_list(data):
        raise _malformed("holds no vectors")
    return [_vector(one.get("embedding")) for one in _in_order(data)]


def _gemini_vectors(told: dict[str, Any]) -> list[Any]:
    data = told.get("embeddings", [told.get("embedding")])
    if not _is_list(data):
        raise _malformed("holds no vectors")
    return [_vector(one.get("values")) for one in data]


def _vector(value: Any) -> Any:
    """Numbers; those that came packed are unpacked."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise _malformed("holds a vector that is none")
    try:
        numbers = array("f", base64.b64decode(value, validate=True))
    except ValueError:
        raise _malformed("holds a vector that is none") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _packed(vector: Sequence[float]) -> str:
    try:
        numbers = array("f", vector)
    except (TypeError, OverflowError):
        raise _malformed("holds a vector that is none") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers).decode()


def _reply_gemini(vectors: Sequence[Any], usage: Usage | None, *, is_batch: bool) -> bytes:
    made = [{"values": one} for one in vectors]
    body: dict[str, Any] = {"embeddings": made} if is_batch else {"embedding": made[0]}
    if usage is not None and usage.input_tokens is not None:
        body["usageMetadata"] = {"promptTokenCount": usage.input_tokens}
    return jsontext.dumps(body)


# ---- tokens: all of them are read, and none made


def _of_openai(counts: Any) -> Usage | None:
    if isinstance(counts, dict) and "prompt_tokens" not in counts:
        counts = {**counts, "prompt_tokens": counts.get("total_tokens")}
    usage = read_usage(counts)
    return None if usage is None else replace(usage, output_tokens=usage.output_tokens or 0)


def _of_gemini(counts: Any) -> Usage | None:
    usage = read_gemini_usage(counts) if isinstance(counts, dict) else None
    return None if usage is None else replace(usage, output_tokens=usage.output_tokens or 0)


class OfEmbeddings(Beside):
    """Looks at vectors that pass: megabytes of numbers, with the tokens at one of their ends."""

    __slots__ = ("_tail", "_whole")

    def __init__(self, dialect: Dialect, *, is_events: bool) -> None:
        super().__init__(dialect, is_events=is_events)
        self._whole = bytearray()
        """As far as it is kept."""
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        if len(self._whole) < _END_BYTES:
            self._whole += piece
        self._tail = (self._tail + piece)[-_END_BYTES:] if len(piece) < _END_BYTES else piece[-_END_BYTES:]
        self._size_bytes += len(piece)

    def finish(self) -> bool:
        ends = (self._tail, bytes(self._whole[:_END_BYTES]))
        for counts in filter(None, map(_last_counts, ends)):
            self.usage = _of_gemini(counts) if "promptTokenCount" in counts else _of_openai(counts)
            break
        named = _MODEL.search(self._tail) or _MODEL.search(ends[1])
        self.answered = named[1].decode("utf-8", "replace") if named else None
        if self._size_bytes <= _END_BYTES:
            try:
                self.failure = failure_of(jsontext.loads_fast(bytes(self._whole)), 200)
            except ValueError:
                pass
        return False


_END_BYTES: Final = 4_096
_COUNTS: Final = re.compile(rb'"usage(?:Metadata)?"\s*:\s*(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})')
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


def _last_counts(end: bytes) -> dict[str, Any] | None:
    for found in reversed(_COUNTS.findall(end)):
        try:
            counts: Any = orjson.loads(found)
        except orjson.JSONDecodeError:
            continue
        return counts if isinstance(counts, dict) else None
    return None
