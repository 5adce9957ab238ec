"""Recorded replies and streams through every pair of dialects, judged by what their readers learn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.translate import ids, models
from llmitm.translate.neutral import Request, UpstreamError
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.sse import SseReader
from llmitm.translate.target import Target
from support.corpus import Record, reply_of, stream_of, vendor_of
from support.normal.clients import Failure, Unreadable, reply_form, stream_form
from support.normal.form import Form, difference
from support.normal.lawful import Unlawful, check_reply, check_stream
from support.normal.unaided import reply_unaided, stream_unaided

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
PAIRS: Final = tuple((wire, target) for wire in Dialect for target in Dialect if wire is not target)
_LEGAL_AT_MESSAGES: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one record: `why` is empty where it passed; `is_out`: it was no case at all."""

    id: str
    why: str = ""
    is_out: bool = False


def client_request(dialect: Dialect, *, is_stream: bool) -> Request:
    """The least that a client of this dialect can ask."""
    said = [{"role": "user", "content": "x"}]
    body: dict[str, Any] = {"model": "client-model"}
    match dialect:
        case Dialect.OPENAI_CHAT:
            body |= {"messages": said, "stream": is_stream}
            body |= {"stream_options": {"include_usage": True}} if is_stream else {}
        case Dialect.OPENAI_RESPONSES:
            body |= {"input": said, "stream": is_stream}
        case Dialect.ANTHROPIC_MESSAGES:
            body |= {"max_tokens": 9, "messages": said, "stream": is_stream}
        case Dialect.GEMINI:
            contents = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
            text = orjson.dumps(contents)
            return read_request(dialect, text, model="client-model", is_stream=is_stream)
    return read_request(dialect, orjson.dumps(body))


def upstream(record: Record) -> Target:
    wire, model = Dialect(record["wire"]), record.get("model") or "unknown-model"
    vendor = vendor_of(record)
    return Target(
        dialect=wire,
        model=model,
        row=models.find(model, wire),
        vendor=vendor,
        is_openai=vendor == "openai",
        is_mistral=vendor == "mistral",
        is_openrouter=vendor == "openrouter",
    )


@cache
def _asked(dialect: Dialect, is_stream: bool) -> Request:
    return client_request(dialect, is_stream=is_stream)


def translation(record: Record, client: Dialect, *, is_stream: bool) -> Translation:
    return Translation(_asked(client, is_stream), upstream(record))


_native: Final[dict[str, Form | Unreadable | Failure]] = {}


def native(record: Record) -> Form | Unreadable | Failure:
    """What the wire's own client makes of the recording, or a reader of its JSON where that client stumbles;
    else why nobody makes anything of it."""
    known = _native.get(record["id"])
    if known is None:
        wire, body = Dialect(record["wire"]), reply_of(record)
        known = _reply_read(wire, body) if body else _stream_read(wire, _first(stream_of(record) or b""))
        _native[record["id"]] = known
    return known


def _reply_read(wire: Dialect, body: bytes) -> Form | Unreadable | Failure:
    try:
        return reply_form(wire, body)
    except Failure as failure:
        return failure
    except Unreadable as failure:
        try:
            return reply_unaided(wire, body)
        except (LookupError, TypeError, AttributeError):
            return failure


def _stream_read(wire: Dialect, body: bytes) -> Form | Unreadable | Failure:
    try:
        return stream_form(wire, body)
    except Failure as failure:
        return failure
    except Unreadable as failure:
        return stream_unaided(wire, body) or failure


def _first(body: bytes) -> bytes:
    """Some recordings hold the stream of a second answer as well: what follows an end is not read."""
    begin = b"event: message_start"
    second = body.find(begin, body.find(begin) + 1) if begin in body else -1
    return body if second < 0 else body[:second]


def told(done: Translation) -> set[str]:
    return {one.what for one in done.notes.told}


def is_answer(record: Record) -> bool:
    """Failed and unfinished responses are told as errors, or not at all."""
    status = (record.get("response") or {}).get("status")
    return record["wire"] != RESPONSES or status in ("completed", "incomplete", None)


# ---- whole replies


def judge_reply(record: Record, client: Dialect) -> Verdict | None:
    """None: the record is no whole reply."""
    body, wire = reply_of(record), Dialect(record["wire"])
    if body is None:
        return None
    source = native(record)
    if isinstance(source, Exception):
        return Verdict(record["id"], f"unreadable at home: {source}", is_out=True)
    if not is_answer(record):
        return Verdict(record["id"], _answer_fault(record, client, body))
    if is_cut(source) and client is GEMINI:
        return Verdict(record["id"], "an image that the recorder cut", is_out=True)
    return Verdict(record["id"], _reply_fault(record, client, wire, body, source))


def _answer_fault(record: Record, client: Dialect, body: bytes) -> str:
    try:
        translation(record, client, is_stream=False).reply(body)
    except UpstreamError:
        return ""
    return "what failed or is not done is told as an answer"


def is_cut(source: Form | Failure) -> bool:
    return isinstance(source, Form) and any(len(one) != 16 and "://" not in one for one in source.images)


def _reply_fault(record: Record, client: Dialect, wire: Dialect, body: bytes, source: Form) -> str:
    there = translation(record, client, is_stream=False)
    try:
        made = there.reply(body)
    except UpstreamError as failure:
        return "" if _is_no_reply(source) else f"taken for an error: {failure}"
    except Exception as failure:
        return f"raised {type(failure).__name__}: {failure!s:.200}"
    try:
        check_reply(client, made)
        target = reply_form(client, made)
    except (Unlawful, Unreadable) as failure:
        return f"{client} cannot read it: {failure}"
    if fault := difference(source, target, told(there), set()) or id_fault(source, target, client):
        return fault
    return _simulated_fault(record, client, body, source) or _back_fault(
        wire, client, made, source, there, is_stream=False
    )


def _simulated_fault(record: Record, client: Dialect, body: bytes, source: Form) -> str:
    """The reply as a stream, for a client that asked for one."""
    there = translation(record, client, is_stream=True)
    try:
        made = there.simulated(body)
        check_stream(client, made)
        target = stream_form(client, made)
    except Exception as failure:
        return f"simulated: {type(failure).__name__}: {failure!s:.200}"
    fault = difference(source, target, told(there), set()) or id_fault(source, target, client)
    return f"simulated: {fault}" if fault else ""


def _is_no_reply(source: Form) -> bool:
    """Where there is no part and no reason that is one."""
    is_empty = not (source.text or source.refusal or source.calls or source.images or source.code)
    return is_empty and source.finish in ("none", "other")


def _back_fault(
    wire: Dialect, client: Dialect, made: bytes, source: Form, there: Translation, *, is_stream: bool
) -> str:
    """The same again, with the translated reply as the upstream's and a client of the first dialect."""
    back = Translation(
        _asked(wire, is_stream), Target(dialect=client, model="m", row=models.find("m", client), vendor="x")
    )
    try:
        if is_stream:
            feeder = back.stream()
            returned = stream_form(wire, feeder.feed(made) + feeder.finish())
        else:
            returned = reply_form(wire, back.reply(made))
    except Exception as failure:
        return f"back again: {type(failure).__name__}: {failure!s:.200}"
    fault = difference(source, returned, told(there) | told(back), set())
    return f"back again: {fault}" if fault else ""


def id_fault(source: Form, target: Form, client: Dialect) -> str:
    """Ids of calls: there, each once, legal, and the source's own again when they come back."""
    made = [call.id for call in target.calls]
    if not all(made) or len(set(made)) != len(made):
        return f"ids of calls: {made}"
    if client is MESSAGES and not all(set(one) <= _LEGAL_AT_MESSAGES for one in made):
        return f"ids that Anthropic refuses: {made}"
    for mine, theirs in zip(source.calls, made, strict=True):
        if mine.id and ids.from_client(theirs) != mine.id:
            return f"id {mine.id!r} comes back as {ids.from_client(theirs)!r}"
    return ""


# ---- streams


def judge_stream(record: Record, client: Dialect) -> Verdict | None:
    """None: the record is no stream."""
    body = stream_of(record)
    if body is None:
        return None
    source = native(record)
    if isinstance(source, Unreadable):
        return Verdict(record["id"], f"unreadable at home: {source}", is_out=True)
    if is_cut(source) and client is GEMINI:
        return Verdict(record["id"], "an image that the recorder cut", is_out=True)
    try:
        return Verdict(record["id"], _stream_fault(record, client, body, source))
    except Exception as failure:
        return Verdict(record["id"], f"raised {type(failure).__name__}: {failure!s:.200}")


def _stream_fault(record: Record, client: Dialect, body: bytes, source: Form | Failure) -> str:
    there = translation(record, client, is_stream=True)
    whole = there.stream()
    made = whole.feed(body) + whole.finish()
    cut = translation(record, client, is_stream=True).stream()
    if b"".join(map(cut.feed, pieces(record["id"], body))) + cut.finish() != made:
        return "other bytes where it is cut otherwise"
    if isinstance(source, Failure):
        if whole.failure is None:
            return f"a failure is told as an answer: {source}"
        return ""
    if whole.failure is not None:
        return "" if _is_no_reply(source) else f"taken for a failure: {whole.failure.message:.200}"
    try:
        check_stream(client, made)
        target = stream_form(client, made)
    except (Unlawful, Unreadable, Failure) as failure:
        return f"{type(failure).__name__}: {failure}"
    return (
        difference(source, target, told(there), set())
        or id_fault(source, target, client)
        or late(record, client, body, source)
        or _collected_fault(record, client, body, source)
        or _back_fault(Dialect(record["wire"]), client, made, source, there, is_stream=True)
    )


def _collected_fault(record: Record, client: Dialect, body: bytes, source: Form) -> str:
    """The stream added up for a client that waits for one answer."""
    adding = translation(record, client, is_stream=False)
    collector = adding.collector()
    for piece in pieces(record["id"], body):
        collector.feed(piece)
    try:
        target = reply_form(client, collector.finish())
    except (UpstreamError, Unreadable) as failure:
        return f"collected: {type(failure).__name__}: {failure}"
    fault = difference(source, target, told(adding), set())
    return f"collected: {fault}" if fault else ""


def pieces(seed: str, body: bytes) -> Iterator[bytes]:
    """The body cut at random, the same way each time; short cuts as often as long ones."""
    draw = random.Random(seed)
    at = 0
    while at < len(body):
        size = draw.choice((1, 2, 3, 7, 50, 400, 3_000, 3_000))
        yield body[at : at + size]
        at += size


def late(record: Record, client: Dialect, body: bytes, source: Form) -> str:
    """An event that brings text, or a piece of the only call, makes something at once."""
    reader = SseReader()
    feeder = translation(record, client, is_stream=True).stream()
    is_one_call = len(source.calls) < 2 and client is not GEMINI and "hosted" not in source.holds
    for event in reader.feed(_first(body)) + reader.finish():
        made = feeder.feed(event.raw)
        if not made and event.data and event.is_complete and _speaks(record["wire"], event.data, is_one_call):
            return f"nothing at once for {event.data!r:.200}"
    return ""


def _speaks(wire: str, data: bytes, with_arguments: bool) -> bool:
    """Whether the event brings visible text of the first choice, or arguments."""
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    match wire:
        case Dialect.OPENAI_CHAT:
            first = (event.get("choices") or [{}])[0] or {}
            delta = first.get("delta") or {} if not first.get("index") else {}
            calls = delta.get("tool_calls") or []
            spelled = any((call.get("function") or {}).get("arguments") for call in calls)
            return (
                isinstance(delta.get("content"), str)
                and bool(delta["content"])
                or (with_arguments and spelled)
            )
        case Dialect.OPENAI_RESPONSES:
            kinds = ("response.output_text.delta", "response.refusal.delta")
            kinds += ("response.function_call_arguments.delta",) if with_arguments else ()
            return event.get("type") in kinds and bool(event.get("delta"))
        case Dialect.ANTHROPIC_MESSAGES:
            delta = event.get("delta") or {}
            if event.get("type") != "content_block_delta":
                return False
            return bool(delta.get("text") or (with_arguments and delta.get("partial_json")))
        case _:
            candidate = (event.get("candidates") or [{}])[0]
            parts = (candidate.get("content") or {}).get("parts") or [] if not candidate.get("index") else []
            return any(part.get("text") for part in parts)
