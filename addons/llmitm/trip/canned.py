"""Answers that the gateway gives in a model's place, in the client's dialect, whole or as a stream. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect, ResponseHead, Usage
from llmitm.route.calls import Call
from llmitm.translate.dialects import CODECS
from llmitm.translate.ids import hashed
from llmitm.translate.neutral import Choice, Reason, Reply, Request, Stop, Text, UpstreamError
from llmitm.translate.pair import read_request
from llmitm.translate.stream import simulate

_PREFIXES = {
    Dialect.OPENAI_CHAT: "chatcmpl-",
    Dialect.OPENAI_RESPONSES: "resp_",
    Dialect.ANTHROPIC_MESSAGES: "msg_",
    Dialect.GEMINI: "",
}


def reply_saying(dialect: str, model: str, request_id: str, text: str) -> dict[str, Any]:
    """A whole answer with this text that has used no tokens."""
    asked = Request(model=model, turns=(), dialect=Dialect(dialect))
    reply = Reply(
        id=_PREFIXES[asked.dialect] + hashed(request_id, 24),
        model=model,
        created=0,
        choices=(Choice(parts=(Text(text=text),), stop=Stop(reason=Reason.STOP)),),
        usage=Usage(input_tokens=0, output_tokens=0),
    )
    read: dict[str, Any] = orjson.loads(CODECS[asked.dialect].write_reply(reply, asked))
    return read


def as_asked(head: ResponseHead, call: Call, body: bytes) -> ResponseHead:
    """A whole answer as the stream that the request asks for; as it is where it asks for none, or where it
    is no answer of the dialect."""
    if head.status != 200 or call.task != "generate" or head.whole is None:
        return head
    codec = CODECS[call.dialect]
    try:
        asked = read_request(
            call.dialect,
            body,
            model=call.model,
            is_stream=call.is_stream,
            is_json_array=call.is_json_array,
        )
        if not asked.stream:
            return head
        writer = codec.writer(asked)
        whole = b"".join(writer.write(event) for event in simulate(codec.read_reply(head.whole)))
    except (UpstreamError, Refused, RecursionError):
        return head
    kind = b"application/json" if call.is_json_array else b"text/event-stream; charset=utf-8"
    headers = tuple(pair for pair in head.headers if pair[0].lower() != b"content-type")
    return ResponseHead(
        status=200, reason=head.reason, headers=((b"content-type", kind), *headers), whole=whole
    )
