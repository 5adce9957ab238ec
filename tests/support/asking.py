"""Recorded requests through every pair of dialects, there and back, judged by what is asked."""

from __future__ import annotations

from typing import Any, Final

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids, models
from llmitm.translate.neutral import Request
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.target import Target
from support.corpus import Record
from support.normal.asked import Asked, Reading, request_difference
from support.normal.requests import asked_of
from support.pairs import Verdict, upstream

_MODELS: Final = {
    Dialect.OPENAI_CHAT: ("gpt-4.1", "gpt-5.1", "some-host-model"),
    Dialect.OPENAI_RESPONSES: ("gpt-4.1", "gpt-5.4", "gpt-6-sol"),
    Dialect.ANTHROPIC_MESSAGES: ("claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5"),
    Dialect.GEMINI: ("gemini-2.5-flash", "gemini-3.5-flash", "gemini-4-neon"),
}
"""An old one, a new one, and one that takes little."""
_REFUSALS: Final = frozenset(
    {
        "stateful_not_supported",
        "hosted_tool_not_portable",
        "prefill_unsupported",
        "orphan_tool_result",
        "cached_content_not_portable",
        "unsupported_by_target",
        "unsupported_content",
        "invalid_base64",
        "empty_user_turn",
        "schema_too_large",
    }
)
"""What turns the request into another one. A record whose own API refused it may be refused for anything."""


def read(record: Record) -> Request:
    """Some hosts are told the model in the path alone."""
    path, model = record.get("path") or "", record.get("model") or "unknown-model"
    if record["wire"] == Dialect.GEMINI:
        body = orjson.dumps(record["request"])
        return read_request(Dialect.GEMINI, body, model=model, is_stream="streamGenerateContent" in path)
    return read_request(Dialect(record["wire"]), orjson.dumps({"model": model, **record["request"]}))


def target_for(record: Record, dialect: Dialect) -> Target:
    """Of the three models of this dialect, the same one for a record each time."""
    model = _MODELS[dialect][int(record["id"][8:12], 16) % 3]
    is_openai = model.startswith("gpt-")
    vendor = {Dialect.ANTHROPIC_MESSAGES: "anthropic", Dialect.GEMINI: "google"}.get(dialect, "openai")
    if not is_openai and vendor == "openai":
        vendor = "host"
    return Target(
        dialect=dialect, model=model, row=models.find(model, dialect), vendor=vendor, is_openai=is_openai
    )


def judge_request(record: Record, dialect: Dialect) -> Verdict | None:
    """None: there is no request."""
    return _judged(record, dialect, with_return=False)


def judge_return(record: Record, dialect: Dialect) -> Verdict | None:
    """The same, and what came of it translated back. Only of those that came there whole."""
    return _judged(record, dialect, with_return=True)


def _judged(record: Record, dialect: Dialect, *, with_return: bool) -> Verdict | None:
    body, wire = record.get("request"), Dialect(record["wire"])
    if not isinstance(body, dict):
        return None
    try:
        there = Translation(read(record), target_for(record, dialect))
        fault = _fault(wire, body, dialect, there.body, told(there))
        if with_return:
            if fault:
                return None
            fault = _return_fault(record, dialect, there)
    except Refused as refused:
        is_lawful = refused.code in _REFUSALS or record["status"] != 200
        return Verdict(record["id"], f"refused: {refused.code}: {refused.message:.120}", is_out=is_lawful)
    except Exception as failure:
        return Verdict(record["id"], f"raised {type(failure).__name__}: {failure!s:.200}")
    return Verdict(record["id"], fault)


def told(done: Translation) -> set[str]:
    return {one.what for one in done.notes.told}


def reading_of(codes: set[str]) -> Reading:
    return Reading(
        system_as_user="system-role" in codes,
        documents_as_text="document-as-text" in codes,
        without_media=bool({"media", "assistant-media"} & codes),
    )


def _fault(wire: Dialect, mine: dict[str, Any], dialect: Dialect, theirs: bytes, codes: set[str]) -> str:
    reading = reading_of(codes)
    one, other = asked_of(wire, mine, reading), asked_of(dialect, orjson.loads(theirs), reading)
    return request_difference(_named(one, dialect), _named(other, dialect), codes)


def _named(asked: Asked, dialect: Dialect) -> Asked:
    """With the names that this dialect's API takes."""
    for tool in asked.tools:
        tool.name = ids.tool_name(dialect, tool.name)
    for turn in asked.turns:
        turn.calls = [(ids.tool_name(dialect, name), arguments) for name, arguments in turn.calls]
    if asked.choice.startswith("one:"):
        asked.choice = "one:" + ids.tool_name(dialect, asked.choice[4:])
    return asked


def _return_fault(record: Record, dialect: Dialect, there: Translation) -> str:
    wire = Dialect(record["wire"])
    is_stream = there.asked.stream if dialect is Dialect.GEMINI else None
    model = "m" if dialect is Dialect.GEMINI else None
    came = read_request(dialect, there.body, model=model, is_stream=is_stream)
    back = Translation(came, upstream(record))
    codes = told(there) | told(back)
    reading = reading_of(codes)
    one = asked_of(wire, record["request"], reading)
    other = asked_of(wire, orjson.loads(back.body), reading)
    return request_difference(_named(one, dialect), _named(other, dialect), codes)
