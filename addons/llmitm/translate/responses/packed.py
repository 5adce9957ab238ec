"""A conversation packed into one item, where another vendor than OpenAI answers for it. Pure.

What OpenAI packs only OpenAI reads. Anybody else's model is asked for a summary in its place, which the
client keeps as it keeps OpenAI's item: `gwc1.` and base64url. In later requests it is a user's words again.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext
from llmitm.translate.neutral import (
    Choice,
    End,
    Failure,
    Opaque,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Reply,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    UpstreamError,
)
from llmitm.translate.neutral import Logprobs as LogprobsSeen
from llmitm.translate.stream import Writer

PREFIX: Final = "gwc1."
ASKED: Final = """\
The conversation ends here, and what you write now stands in its place: another model goes on from it, and \
sees nothing else of what was said and done. Write a summary of it. Say
- what the user wants, in the user's own words where they matter, and what is to be avoided;
- what was done, found out and decided, with the names of files, the commands, values and errors that matter;
- how things stand, and what is still to be done, the next step first.
Answer with the summary alone, and call no tools."""
_GIVEN: Final = "What was said and done before was summed up as follows. Go on from there.\n\n"
_EMPTY: Final = Failure(
    status=502,
    kind="bad_gateway",
    code="malformed_reply",
    message="The model was asked for a summary of the conversation, and wrote none.",
)


def pack(summary: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(summary.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def given(encrypted: Any) -> str | None:
    """What the next model reads in place of the item; None where the item is not of ours."""
    if not isinstance(encrypted, str) or not encrypted.startswith(PREFIX):
        return None
    body = encrypted.removeprefix(PREFIX)
    try:
        text = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return _GIVEN + text.decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return None


def is_kind(kind: Any) -> bool:
    return kind in ("compaction", "compaction_summary")


def message_for(item: Any) -> bytes | None:
    """The message that OpenAI is sent in place of an item of ours; None for every other item."""
    if not isinstance(item, dict) or not is_kind(item.get("type")):
        return None
    text = given(item.get("encrypted_content"))
    return None if text is None else orjson.dumps({"type": "message", "role": "user", "content": text})


def item_of(summary: str) -> Opaque:
    """Raises `UpstreamError` where nothing was written."""
    if not summary.strip():
        raise UpstreamError(_EMPTY)
    item = {
        "id": "cmp_" + ids.hashed(summary, 32),
        "type": "compaction",
        "encrypted_content": pack(summary),
    }
    return Opaque(dialect=Dialect.OPENAI_RESPONSES, type="compaction", raw=jsontext.text_of(item))


def packed(reply: Reply) -> Reply:
    """Its text as the one item. Raises `UpstreamError` where there is none."""
    choice = reply.choices[0] if reply.choices else Choice()
    summary = "".join(part.text for part in choice.parts if isinstance(part, Text))
    return replace(reply, choices=(Choice(parts=(item_of(summary),), stop=choice.stop),))


class PackingWriter:
    """Writes a stream whose text becomes the one item, when the text is over.

    `write` raises `UpstreamError` where nothing was written by then.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._part: Part | None = None
        self._texts: list[str] = []
        self._is_told = False

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case PartStart(choice=0, part=part):
                self._part = part
                if isinstance(part, Text):
                    self._texts.append(part.text)
            case PartDelta(choice=0, field="text", text=text) if isinstance(self._part, Text):
                self._texts.append(text)
            case PartStart() | PartDelta() | PartMeta() | PartStop() | LogprobsSeen():
                pass
            case StopSeen(choice=0, stop=stop):
                return self._tell(stop)
            case End():
                return self._tell(None) + self._writer.write(event)
            case _:
                return self._writer.write(event)
        return b""

    def _tell(self, stop: Stop | None) -> bytes:
        summary = "".join(self._texts)
        if self._is_told or (stop is not None and not summary.strip()):  # its tokens may be told yet
            return b""
        self._is_told = True
        item = item_of(summary)
        made = self._writer.write(PartStart(0, item)) + self._writer.write(PartStop(0))
        return made if stop is None else made + self._writer.write(StopSeen(stop))
