"""A stream of OpenAI's responses, written. Pure.

Clients read items from `response.output_item.done` and wait for a terminal event: both hold whole items.
"""

from __future__ import annotations

from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.neutral import (
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Logprobs,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Reply,
    Request,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    UsageSeen,
)
from llmitm.translate.responses import facts, reply_out
from llmitm.translate.responses.items import Output, Told
from llmitm.translate.responses.packed import PackingWriter
from llmitm.translate.stream import Collector, Writer


def writer(asked: Request) -> Writer:
    made = StreamWriter(asked)
    return PackingWriter(made) if asked.is_packing else made


class StreamWriter:
    """Writes one stream. Of several choices only the first is told."""

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._facts = Collector()  # what is said of the reply as a whole; its parts are in `_output`
        self._output = Output("")
        self._stop: Stop | None = None
        self._number = 0
        self._has_begun = False
        self._is_over = False

    def write(self, event: StreamEvent) -> bytes:
        if self._is_over:
            return b""
        match event:
            case PartDelta(choice=0):
                return self._tell(self._output.delta(event))
            case Ping():
                return b": keepalive\n\n"
            case PartStart(choice=0):
                return self._begin() + self._tell(self._output.start(event.part))
            case PartMeta(choice=0):
                return self._tell(self._output.meta(event))
            case PartStop(choice=0):
                return self._tell(self._output.stop())
            case Logprobs(choice=0):
                return self._tell(self._output.logprobs(event.tokens))
            case StopSeen(choice=0):
                self._stop = event.stop
                return self._begin() + self._tell(self._output.finish(event.stop))
            case Start():
                self._facts.add(event)
                return self._begin()
            case UsageSeen() | ExtrasSeen():
                self._facts.add(event)
                return b""
            case Failed():
                return self._begin() + self._fail(event.error)
            case End():
                return self._begin() + self._end()
            case _:
                return b""

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        reply = self._reply()
        self._output = Output(reply.id or "")
        shell = reply_out.shell(reply, self._asked, "in_progress", [])
        return self._event("created", {"response": shell}) + self._event("in_progress", {"response": shell})

    def _end(self) -> bytes:
        self._is_over = True
        told = self._tell(self._output.finish(self._stop))
        made = reply_out.response(self._reply(), self._asked, self._stop, self._output.items)
        return told + self._event(made["status"], {"response": made})

    def _fail(self, error: Failure) -> bytes:
        self._is_over = True
        reply = self._reply()
        made = reply_out.shell(reply, self._asked, "failed", self._output.so_far())
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        made["error"] = {"code": code, "message": error.message}
        if reply.usage is not None:
            made["usage"] = facts.write_usage(reply.usage)
        return self._event("failed", {"response": made})

    def _reply(self) -> Reply:
        """What is known of it as a whole."""
        return reply_out.identified(self._facts.reply(), self._asked)

    def _tell(self, told: list[Told]) -> bytes:
        return b"".join(self._event(kind, members) for kind, members in told)

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        data = {"type": f"response.{kind}", "sequence_number": self._number, **members}
        self._number += 1
        return b"event: response.%s\ndata: %s\n\n" % (kind.encode(), jsontext.dumps(data))
