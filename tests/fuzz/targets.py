"""What is fuzzed: whatever comes in, only the errors that are promised come out, and what is written is
well formed. The golden cases are the seeds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, Final

import orjson

from fuzz.mutate import Mutator
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import (
    completions,
    counting,
    embeddings,
    failures,
    jsontext,
    media,
    models,
    pair,
    retry_times,
    sse,
)
from llmitm.translate.dialects import CODECS
from llmitm.translate.neutral import (
    End,
    Failed,
    Logprobs,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Request,
    StopSeen,
    StreamEvent,
    UpstreamError,
)
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target
from support.golden import ASKED, TARGETS, load

NAMED: Final = (Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_RESPONSES)
BESIDE: Final[dict[str, list[dict[str, Any]]]] = {
    "completions": [
        {
            "model": "m",
            "prompt": ["one", "two"],
            "n": 2,
            "logprobs": 2,
            "echo": True,
            "stop": ["."],
            "stream": True,
            "stream_options": {"include_usage": True},
            "suffix": "",
            "max_tokens": 16,
        },
    ],
    "completion": [
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"text": " a", "index": 1, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        },
    ],
    "embed": [
        {
            "model": "m",
            "input": ["one", "two", "three"],
            "dimensions": 2,
            "encoding_format": "base64",
            "user": "u",
        },
        {
            "model": "models/m",
            "content": {"parts": [{"text": "a"}]},
            "taskType": "X",
            "outputDimensionality": 2,
        },
        {
            "requests": [
                {"model": "models/m", "content": {"parts": [{"text": "a"}, {"text": "b"}]}, "title": "t"}
            ]
        },
    ],
    "vectors": [
        {
            "object": "list",
            "model": "m",
            "data": [{"index": 0, "embedding": [0.5, -1]}, {"index": 1, "embedding": "AACAPw=="}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1, "cost": 0.1},
        },
        {"embedding": {"values": [0.5, 1]}, "usageMetadata": {"promptTokenCount": 1}},
        {"embeddings": [{"values": [0.5]}, {"values": [1]}], "usageMetadata": {"promptTokenCount": 1}},
    ],
    "count": [{"object": "response.input_tokens", "input_tokens": 3}, {"totalTokens": 3}],
}
"""Of the calls beside those for an answer: what is asked, and what comes back."""
OTHER_MODELS: Final = {
    Dialect.OPENAI_CHAT: ("gpt-4o", "deepseek-reasoner", "mistral-large", "qwen3"),
    Dialect.OPENAI_RESPONSES: ("gpt-4o", "o3", "gpt-5.6"),
    Dialect.ANTHROPIC_MESSAGES: ("claude-3-5-sonnet-20241022", "claude-opus-4-7", "claude-sonnet-4-5", "x"),
    Dialect.GEMINI: ("gemini-2.5-flash", "gemini-3-pro-preview", "gemma-3", "gemini-1.5-pro"),
}

HEADER_NAMES: Final = (
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-requests-remaining",
    "content-type",
)
HEADER_VALUES: Final = (
    *("1", "0", "-1", "1e5", "9" * 400, "6m0s", "1.5.5s", "1800000000000", "\u00fc", "", "text/html"),
    *("2026-08-21T12:40:59Z", "0001-01-01", "9999-12-31T23:59:59-23:59"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 99999 07:28:00 +9999"),
)


def targets_of(dialect: Dialect) -> list[Target]:
    usual: dict[str, Any] = TARGETS[dialect]
    made = [Target(dialect=dialect, row=models.find(usual["model"], dialect), **usual)]
    for model in OTHER_MODELS[dialect]:
        row = models.find(model, dialect)
        made.append(
            Target(dialect=dialect, model=model, row=row, vendor="some-host", is_mistral="mist" in model)
        )
    return made


def asked_by(dialect: Dialect) -> list[Request]:
    """Requests of one client, as they matter for what it is answered."""
    if dialect is Dialect.GEMINI:
        body = jsontext.dumps(ASKED[dialect])
        options: list[dict[str, Any]] = [{}, {"is_json_array": True}]
        return [pair.read_request(dialect, body, model="m", is_stream=True, **one) for one in options]
    bodies: list[dict[str, Any]] = [ASKED[dialect] | {"stream": True}]
    if dialect is Dialect.OPENAI_CHAT:
        bodies.append(ASKED[dialect] | {"functions": [{"name": "f", "parameters": {}}], "stream": True})
    return [pair.read_request(dialect, jsontext.dumps(body)) for body in bodies]


class Faulty(Exception):
    """What came out is not what may come out."""


class Fuzzed:
    """All targets; `run` makes one input of one of them and tries it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._seeds = self._golden()
        every = [seed for seeds in self._seeds.values() for seed in seeds]
        self._mutator = Mutator(every, rng)
        self._upstreams = {dialect: targets_of(dialect) for dialect in Dialect}
        self._asked = {dialect: asked_by(dialect) for dialect in Dialect}
        self.input: bytes = b""
        """The last one that was tried."""
        self.names: dict[str, Callable[[], None]] = {
            "sse": self._sse,
            "failure": self._failure,
            "completions": self._completions,
            "completion": self._completion,
            "embed": self._embed,
            "vectors": self._vectors,
            "count": self._count,
        }
        for dialect in Dialect:
            self.names[f"request {dialect}"] = partial(self._request, dialect)
            self.names[f"reply {dialect}"] = partial(self._reply, dialect)
            self.names[f"stream {dialect}"] = partial(self._stream, dialect)

    @staticmethod
    def _golden() -> dict[tuple[str, Dialect], list[bytes]]:
        seeds: dict[tuple[str, Dialect], list[bytes]] = {}
        for case in load():
            given = case.data.get("given")
            if isinstance(given, dict) and case.kind == "error":
                given = given["body"]
            if isinstance(given, list):
                given = [one for one in given if isinstance(one, dict)]
            if given is not None:
                text = orjson.dumps(orjson.loads(jsontext.dumps(given)))
                seeds.setdefault((case.kind, case.dialect), []).append(text)
        return seeds

    @cached_property
    def translations(self) -> dict[tuple[Dialect, Dialect], list[pair.Translation]]:
        """By client and upstream."""
        made: dict[tuple[Dialect, Dialect], list[pair.Translation]] = {}
        for client in Dialect:
            for upstream in Dialect:
                if client is not upstream:
                    target = self._upstreams[upstream][0]
                    translations = [pair.Translation(asked, target) for asked in self._asked[client]]
                    made[client, upstream] = translations
        return made

    def run(self, name: str) -> None:
        """Raises whatever must not be raised."""
        self.names[name]()

    def _made(self, kind: str, dialect: Dialect) -> bytes:
        self.input = self._mutator.mutated(self.rng.choice(self._seeds[kind, dialect]))
        return self.input

    def _translation(self, upstream: Dialect) -> pair.Translation:
        client = self.rng.choice([one for one in Dialect if one is not upstream])
        return self.rng.choice(self.translations[client, upstream])

    # ---- targets

    def _request(self, dialect: Dialect) -> None:
        body = self._made("request", dialect)
        options: dict[str, Any] = {"model": "m", "is_stream": True} if dialect is Dialect.GEMINI else {}
        try:
            asked = pair.read_request(dialect, body, **options)
            upstream = self.rng.choice([one for one in Dialect if one is not dialect])
            made = pair.Translation(asked, self.rng.choice(self._upstreams[upstream]))
        except Refused as refused:
            _valid_refusal(refused)
            return
        _valid(made.body)
        if (header := made.notes.header()) and (b"\n" in header or len(header) > 2_100):
            raise Faulty("the header of warnings")

    def _reply(self, dialect: Dialect) -> None:
        body = self._made("reply", dialect)
        made = self._translation(dialect)
        try:
            if self.rng.random() < 0.7:
                _valid(made.reply(body))
            else:
                _valid_stream(made.simulated(body), made.asked)
        except UpstreamError as error:
            _valid_failure(error.failure, made.asked.dialect)

    def _stream(self, dialect: Dialect) -> None:
        text = self.input = self._sse_text(dialect)
        made = self._translation(dialect)
        if self.rng.random() < 0.2:
            check_grammar(list(_events(dialect, text)))
            collected = made.collector()
            try:
                collected.feed(text)
                _valid(collected.finish())
            except (UpstreamError, sse.EventTooLong):
                pass
            return
        whole = made.stream()
        out = whole.feed(text) + whole.finish()
        _valid_stream(out, made.asked)
        if whole.failure is not None:
            _valid_failure(whole.failure, made.asked.dialect)
        if self.rng.random() < 0.3:
            cut = made.stream()
            pieces = b"".join(cut.feed(piece) for piece in self._mutator.pieces(text)) + cut.finish()
            if pieces != out:
                raise Faulty("another cut gives other bytes")

    def _sse_text(self, dialect: Dialect) -> bytes:
        """A stream whose events were changed, and whose framing was, sometimes."""
        document = self._mutator.mutated(self.rng.choice(self._seeds["stream", dialect]))
        try:
            events = orjson.loads(document)
        except orjson.JSONDecodeError:
            return b"data: " + document + b"\n\n"
        lines: list[bytes] = []
        for event in events if isinstance(events, list) else [events]:
            kind = event.get("type") if isinstance(event, dict) else None
            if dialect in NAMED and isinstance(kind, str) and "\n" not in kind and "\r" not in kind:
                lines.append(b"event: " + kind.encode("utf-8", "replace") + b"\n")
            lines.append(b"data: " + json.dumps(event).encode() + b"\n\n")
        text = b"".join(lines) + (b"data: [DONE]\n\n" if dialect is Dialect.OPENAI_CHAT else b"")
        return self._mutator.bytes_of(text) if self.rng.random() < 0.2 else text

    def _sse(self) -> None:
        text = self.input = self._mutator.bytes_of(
            self.rng.choice(
                (
                    b"event: a\ndata: 1\ndata:2\n\n: c\n\ndata\n\n",
                    b"\xef\xbb\xbfdata: x\r\rdata: y\r\n\r\nid: 1\n\n",
                    b"data: {}\n\ndata: [DONE]\n\n",
                )
            )
            * self.rng.randrange(1, 5)
        )
        limit = self.rng.choice((sse.EVENT_LIMIT_BYTES, 8, 30))
        try:
            whole = _read_sse([text], limit)
        except sse.EventTooLong:
            return
        if b"".join(event.raw for event in whole) != text:
            raise Faulty("bytes were lost")
        if _read_sse(self._mutator.pieces(text), limit) != whole:
            raise Faulty("another cut gives other events")

    def _failure(self) -> None:
        rng = self.rng
        body = self._made("error", rng.choice(list(Dialect)))
        status = rng.choice((200, 302, 400, 401, 402, 404, 413, 429, 499, 500, 503, 520, 529, 599))
        words, values = HEADER_NAMES, HEADER_VALUES
        headers = tuple((rng.choice(words).encode(), rng.choice(values).encode()) for _ in range(3))
        dialect = rng.choice(list(Dialect))
        failure = failures.read_failure(status, headers, body, now_s=1.8e9)
        _valid_failure(failure, dialect)
        retry_times.retry_after_s(status, headers, None)
        try:
            found = failures.failure_of(orjson.loads(body), 200)
        except ValueError:
            found = None
        if found is not None:
            _valid_failure(found, dialect)
        try:
            _, data = media.read_data_url("data:" + body.decode("utf-8", "replace"), "x")
            media.sniffed(data)
        except Refused:
            pass

    # ---- calls beside those for an answer

    def _beside(self, kind: str) -> bytes:
        self.input = self._mutator.mutated(orjson.dumps(self.rng.choice(BESIDE[kind])))
        return self.input

    def _completions(self) -> None:
        body = self._beside("completions")
        target = self.rng.choice(self._upstreams[self.rng.choice(list(Dialect))])
        try:
            for one in completions.split(body)[:3]:
                made = pair.Translation(completions.read_request(one), target, client=completions.CODEC)
                _valid(made.body)
        except Refused as refused:
            _valid_refusal(refused)

    def _completion(self) -> None:
        """One that passes, and one of several."""
        body = self._beside("completion")
        is_events = self.rng.random() < 0.5
        text = b"data: " + body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n" if is_events else body
        beside = completions.OfCompletions(Dialect.OPENAI_CHAT, is_events=is_events)
        joined = completions.Joined(2)
        for piece in self._mutator.pieces(text):
            beside.feed(piece)
        beside.finish()
        if is_events:
            _valid_stream(joined.next(0) + joined.finish(), _PLAIN)
            return
        try:
            joined.add(1, body)
            _valid(joined.whole())
        except (ValueError, RecursionError):
            pass

    def _embed(self) -> None:
        body = self._beside("embed")
        dialect = self.rng.choice((Dialect.OPENAI_CHAT, Dialect.GEMINI))
        upstream = Dialect.GEMINI if dialect is Dialect.OPENAI_CHAT else Dialect.OPENAI_CHAT
        named = "m" if dialect is Dialect.GEMINI else None
        embeddings.renamed(body, "new")
        try:
            for one in embeddings.split(body, 2)[:3]:
                embed = embeddings.read_embed(dialect, one, model=named, is_batch=b"requests" in one)
                _valid(embeddings.Embedding(embed, self._upstreams[upstream][0]).body)
        except Refused as refused:
            _valid_refusal(refused)

    def _vectors(self) -> None:
        body = self._beside("vectors")
        beside = embeddings.OfEmbeddings(Dialect.OPENAI_CHAT, is_events=False)
        for piece in self._mutator.pieces(body):
            beside.feed(piece)
        beside.finish()
        client = self.rng.choice((Dialect.OPENAI_CHAT, Dialect.GEMINI))
        upstream = Dialect.GEMINI if client is Dialect.OPENAI_CHAT else Dialect.OPENAI_CHAT
        embed = embeddings.Embed(
            model="m", dialect=client, inputs=("a",) * self.rng.randrange(1, 3), is_batch=True, is_base64=True
        )
        try:
            _valid(embeddings.Embedding(embed, self._upstreams[upstream][0]).reply(body))
        except UpstreamError as error:
            _valid_failure(error.failure, client)
        try:
            _valid(embeddings.join([body, body]))
        except (ValueError, RecursionError):
            pass

    def _count(self) -> None:
        if self.rng.random() < 0.5:
            body = self._beside("count")
            try:
                counting.read_count(body)
            except UpstreamError as error:
                _valid_failure(error.failure, Dialect.GEMINI)
            return
        client = self.rng.choice(list(Dialect))
        body = self._made("request", client)
        counting.renamed(body, "new")
        upstream = self.rng.choice([one for one in Dialect if one not in (client, Dialect.OPENAI_CHAT)])
        try:
            asked = counting.read_counted(client, body, "m")
            counting.guessed(asked, "m", Notes(), is_strict=False)
            _valid(counting.Counting(asked, self._upstreams[upstream][0]).body)
        except Refused as refused:
            _valid_refusal(refused)


def _valid_refusal(refused: Refused) -> None:
    if not 400 <= refused.status < 500 or not refused.code or not refused.message:
        raise Faulty(repr(refused))


def _read_sse(pieces: list[bytes], limit: int) -> list[sse.Event]:
    reader = sse.SseReader(limit)
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


def _valid(body: bytes) -> None:
    try:
        jsontext.loads(body)
    except ValueError as error:
        raise Faulty(f"not JSON: {error}") from None


def _valid_stream(text: bytes, asked: Request) -> None:
    if asked.is_json_array:
        if text:
            _valid(text)
        return
    for event in _read_sse([text], sse.EVENT_LIMIT_BYTES):
        if not event.is_complete:
            raise Faulty("an event has no end")
        if event.data is not None and event.data != b"[DONE]":
            _valid(event.data)


def _valid_failure(failure: Any, dialect: Dialect) -> None:
    status, body, headers = failures.write_failure(dialect, failure, "req_1")
    if not 400 <= status <= 599:
        raise Faulty(f"status {status}")
    _valid(body)
    if any(not value.isdigit() for _, value in headers):
        raise Faulty("the wait is no number")
    _valid_stream(failures.write_failure_event(dialect, failure, ""), _PLAIN)


_PLAIN: Final = Request(model="m", turns=())


def _events(dialect: Dialect, text: bytes) -> Iterator[StreamEvent]:
    reader = CODECS[dialect].reader()
    try:
        for event in _read_sse([text], sse.EVENT_LIMIT_BYTES):
            yield from reader.read(event)
        yield from reader.finish()
    except RecursionError:
        return  # depth ends the reading: whoever reads knows


def check_grammar(events: list[StreamEvent]) -> None:
    """Raises `Faulty` where neutral events do not come as `neutral` says."""
    opened: dict[int, int] = {}
    is_open: dict[int, bool] = {}
    for place, event in enumerate(events):
        match event:
            case PartStart(index, _, choice):
                if is_open.get(choice) or index != opened.get(choice, -1) + 1:
                    raise Faulty("a part opens where it may not")
                opened[choice], is_open[choice] = index, True
            case PartDelta(index, _, text, _, choice):
                if not is_open.get(choice) or opened[choice] != index or not isinstance(text, str):
                    raise Faulty("a delta of no open part")
            case PartMeta(index, _, _, choice):
                if not is_open.get(choice) or opened[choice] != index:
                    raise Faulty("a meta of no open part")
            case PartStop(index, choice):
                if not is_open.get(choice) or opened[choice] != index:
                    raise Faulty("a part closes that is not open")
                is_open[choice] = False
            case StopSeen(_, choice):
                if is_open.get(choice):
                    raise Faulty("a choice stops within a part")
            case Failed() | End():
                if place != len(events) - 1:
                    raise Faulty("something follows the end")
                if isinstance(event, End) and any(is_open.values()):
                    raise Faulty("a part is open at the end")
            case Logprobs(tokens, _) if not isinstance(tokens, tuple):
                raise Faulty("log probabilities")
