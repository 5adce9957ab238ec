"""The golden corpus: what goes in, and what must come out for each other dialect.

A case is a file `translate/golden/<kind>/<name>.json`:

    about       the rule that it shows, in a sentence
    dialect     in which `given` is written
    given       request, reply: the body. stream: its events, an object each, or a block as text.
                error: {"status", "headers", "body"}
    given_text  instead of `given`, where the bytes matter
    options     what path and query of a Gemini client say: {"model", "is_stream", "is_json_array"}
    targets     request: what is told of an upstream beside the defaults here, by dialect
    upstream    reply, stream, error: the same of the one upstream
    asked       reply, stream, error: what the client had asked for, by dialect
    is_our_credential  error: the upstream was asked with a credential of the gateway's
    expected    by dialect; `outcome` says in which form

JSON is compared as text, so with its order and its spelling of numbers. What is not written as we write
JSON (arguments keep the white space and the escapes of strings that they came with) stands as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.translate import failures, jsontext, models, pair, sse
from llmitm.translate.neutral import Failure, Request, UpstreamError
from llmitm.translate.notes import Warned
from llmitm.translate.target import Target

FOLDER: Final = Path(__file__).parents[1] / "translate" / "golden"
KINDS: Final = ("request", "reply", "stream", "error")
WIDTH: Final = 110
NOW_S: Final = 1_790_000_123
CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
TARGETS: Final[dict[Dialect, dict[str, Any]]] = {
    CHAT: {"model": "gpt-5.1", "vendor": "openai", "is_openai": True},
    RESPONSES: {"model": "gpt-5.1", "vendor": "openai", "is_openai": True},
    MESSAGES: {"model": "claude-haiku-4-5", "vendor": "anthropic"},
    GEMINI: {"model": "gemini-3.5-flash", "vendor": "google"},
}
ASKED: Final[dict[Dialect, dict[str, Any]]] = {
    CHAT: {
        "model": "asked-for",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream_options": {"include_usage": True},
    },
    RESPONSES: {"model": "asked-for", "input": "Hello"},
    MESSAGES: {
        "model": "asked-for",
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "Hello"}],
    },
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}
_NAMED_EVENTS: Final = frozenset({MESSAGES, RESPONSES})


@dataclass(frozen=True, slots=True)
class Case:
    kind: str
    name: str
    data: dict[str, Any]

    @property
    def path(self) -> Path:
        return FOLDER / self.kind / f"{self.name}.json"

    @property
    def dialect(self) -> Dialect:
        return Dialect(self.data["dialect"])

    @property
    def others(self) -> tuple[Dialect, ...]:
        return tuple(dialect for dialect in Dialect if dialect is not self.dialect)

    @property
    def expected(self) -> dict[str, Any]:
        expected: dict[str, Any] = self.data.get("expected", {})
        return expected

    @property
    def given(self) -> bytes:
        """A body, or a whole stream."""
        if "given_text" in self.data:
            return str(self.data["given_text"]).encode()
        given = self.data["given"]
        return written(self.dialect, given) if self.kind == "stream" else jsontext.dumps(given)


def load() -> list[Case]:
    """All cases, in the order of their names."""
    return [read(path) for kind in KINDS for path in sorted((FOLDER / kind).glob("*.json"))]


def read(path: Path) -> Case:
    return Case(path.parent.name, path.stem, jsontext.loads(path.read_bytes()))


# ---- what comes out


def outcome(case: Case, other: Dialect) -> dict[str, Any]:
    """What the case makes for this dialect, in the form in which `expected` tells it.

    request   {"body", "warnings"} or {"refused": {"status", "code", "param"}}
    reply     {"body", "warnings"} or {"failed": ...}
    stream    {"events", "warnings"}, and of one that failed {"failed", "usage"}: why, and what had been
              counted; with `failed` and no events nothing had begun
    error     {"status", "headers", "body"}
    """
    match case.kind:
        case "request":
            return _request(case, other)
        case "reply":
            return _reply(case, other)
        case "stream":
            return _stream(case, other)
        case _:
            return _error(case, other)


def _request(case: Case, other: Dialect) -> dict[str, Any]:
    try:
        asked = pair.read_request(case.dialect, case.given, **case.data.get("options", {}))
        made = pair.Translation(asked, _target(other, case.data.get("targets", {}).get(other, {})))
    except Refused as refused:
        told: dict[str, Any] = {"status": refused.status, "code": refused.code}
        return {"refused": told | ({"param": refused.param} if refused.param else {})}
    return _body(made.body) | _warnings(made.notes.warnings)


def _reply(case: Case, other: Dialect) -> dict[str, Any]:
    made = _asked(case, other, is_stream=False)
    try:
        body = made.reply(case.given)
    except UpstreamError as error:
        return {"failed": _failed(error.failure)}
    return _body(body) | _warnings(made.notes.warnings)


def _stream(case: Case, other: Dialect) -> dict[str, Any]:
    made = _asked(case, other, is_stream=True)
    stream = made.stream()
    text = stream.feed(case.given) + stream.finish()
    told: dict[str, Any] = {"events": _events(other, text)} if text else {}
    told |= _warnings(made.notes.warnings)
    if stream.failure is None:
        return told
    told["failed"] = _failed(stream.failure)
    return told if stream.usage is None else told | {"usage": _counted(stream.usage)}


def _error(case: Case, other: Dialect) -> dict[str, Any]:
    given, made = case.data["given"], _asked(case, other, is_stream=False)
    body = given["body"]
    sent = body.encode() if isinstance(body, str) else jsontext.dumps(body)
    headers = tuple((name.encode(), str(value).encode()) for name, value in given["headers"].items())
    if given["status"] == 200:
        try:
            return _body(made.reply(sent))
        except UpstreamError as error:
            failure = error.failure
    else:
        failure = failures.read_failure(given["status"], headers, sent, now_s=NOW_S)
    told_as = failures.of_our_credential(failure) if case.data.get("is_our_credential") else failure
    status, answer, more = failures.write_failure(other, made.blamed(told_as), "req_golden")
    told = {name.decode(): value.decode() for name, value in more}
    return {"status": status, "headers": told, **_body(answer)}


def fed(case: Case, other: Dialect, pieces: Iterable[bytes]) -> tuple[bytes, Failure | None]:
    """What comes out of the stream where it comes in these pieces, and why it failed."""
    stream = _asked(case, other, is_stream=True).stream()
    text = b"".join([stream.feed(piece) for piece in pieces])
    return text + stream.finish(), stream.failure


def _asked(case: Case, other: Dialect, *, is_stream: bool) -> pair.Translation:
    body: dict[str, Any] = case.data.get("asked", {}).get(other, ASKED[other])
    target = _target(case.dialect, case.data.get("upstream", {}))
    asked = _client_asks(other, body, is_stream=is_stream)
    return pair.Translation(asked, target, now_s=NOW_S, reply_id="unnamed")


def _client_asks(dialect: Dialect, body: dict[str, Any], *, is_stream: bool) -> Request:
    if dialect is GEMINI:
        return pair.read_request(dialect, jsontext.dumps(body), model="asked-for", is_stream=is_stream)
    return pair.read_request(dialect, jsontext.dumps(body | {"stream": is_stream}))


def _target(dialect: Dialect, told: dict[str, Any]) -> Target:
    facts = TARGETS[dialect] | told
    for name in ("map_hosted", "refuse"):
        facts[name] = frozenset(facts.get(name, ()))
    return Target(dialect=dialect, row=models.find(facts["model"], dialect), **facts)


def _warnings(told: list[Warned]) -> dict[str, Any]:
    return {"warnings": [_warning(one) for one in told]} if told else {}


def _warning(one: Warned) -> str:
    change = " ".join(f"{name} {value}" for name, value in one.change)
    return " ".join(filter(None, (one.code, one.at and f"at {one.at}", change)))


def _failed(failure: Failure) -> dict[str, Any]:
    told = {"status": failure.status, "kind": failure.kind, "code": failure.code, "message": failure.message}
    return {name: value for name, value in told.items() if value is not None}


def _counted(usage: Usage) -> dict[str, Any]:
    counts = {name: getattr(usage, name) for name in Usage.__slots__}
    return {name: count for name, count in counts.items() if count is not None and count != ()}


def _body(body: bytes) -> dict[str, Any]:
    value = jsontext.loads(body)
    return {"body": value} if jsontext.dumps(value) == body else {"text": body.decode()}


# ---- streams


def written(dialect: Dialect, events: list[Any]) -> bytes:
    return b"".join(_block(dialect, event) for event in events)


def _block(dialect: Dialect, event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode() + b"\n\n"
    name = event["type"] if dialect in _NAMED_EVENTS else None
    return sse.write(sse.Event(data=jsontext.dumps(event), name=name))


def _events(dialect: Dialect, text: bytes) -> list[Any]:
    """The blocks as values where writing them gives the same bytes again."""
    reader = sse.SseReader()
    return [_value(dialect, event.raw) for event in (*reader.feed(text), *reader.finish())]


def _value(dialect: Dialect, raw: bytes) -> Any:
    try:
        value = jsontext.loads(raw.partition(b"data: ")[2].strip())
        if isinstance(value, dict) and _block(dialect, value) == raw:
            return value
    except (ValueError, KeyError):
        pass
    return raw.decode().removesuffix("\n\n")


# ---- files


def pretty(value: Any, indent: int = 0) -> str:
    """JSON for readers: what fits a line is on one."""
    line = _line(value)
    if len(line) + indent <= WIDTH or not value or not isinstance(value, dict | list):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        entries = [f"{_line(key)}: {pretty(one, indent + 2)}" for key, one in value.items()]
    else:
        entries = [pretty(one, indent + 2) for one in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{inner}" + f",\n{inner}".join(entries) + f"\n{' ' * indent}{last}"


_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode


def _line(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_line(key)}: {_line(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_line, value)) + "]"
        case str():
            return _quoted(value)
        case _:
            return jsontext.text_of(value)
