"""What was asked and said in an exchange, as its trace tells of it: parameters, and words where wanted.

The words are those of the client's dialect, in the form that OpenTelemetry's conventions give them. Each text
passes the redaction filter; media are told by their address or their hash. What is too long is cut, texts
first, then the oldest messages; what cannot be read is left out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.record.bodies import Seen
from llmitm.record.entry import Entry
from llmitm.record.ledger.rows import readable
from llmitm.record.traces import naming
from llmitm.record.traces.asked import parameters
from llmitm.record.traces.spans import Extras
from llmitm.route import calls
from llmitm.translate import neutral
from llmitm.translate.dialects import CODECS
from llmitm.translate.pair import read_request
from llmitm.translate.sse import EventTooLong, SseReader
from llmitm.translate.stream import Collector

TEXT_CHARACTERS: Final = 16_384
"""Of one text."""
ATTRIBUTE_BYTES: Final = 65_536
"""Of all messages in one attribute."""

type JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Reads what a trace tells beside the entry."""

    redact: Callable[[str], str]
    has_content: bool
    """Whether the words are wanted."""

    def __call__(self, entry: Entry) -> Extras:
        if entry.asked is None or entry.dialect is None or naming.operation(entry.path, None) is None:
            return Extras()
        found = parameters(entry.asked, entry.dialect)
        clean = {name: self._cleaned(value) for name, value in found.items()}
        if not self.has_content:
            return Extras(asked=clean)
        return Extras(asked=clean, content=self._content(entry, entry.asked, entry.dialect))

    def _cleaned[V](self, value: V) -> V:
        if isinstance(value, tuple):
            return tuple(self.redact(one) for one in value)  # type: ignore[return-value]
        return self.redact(value) if isinstance(value, str) else value  # type: ignore[return-value]

    # -- the words

    def _content(self, entry: Entry, body: bytes, dialect: Dialect) -> dict[str, str]:
        found: dict[str, str] = {}
        path = entry.path.encode("ascii", "replace")
        own = b"/" + (entry.endpoint or "").encode()
        call = calls.find(path.removeprefix(own)) or calls.find(path)
        if call is None or call.task != "generate" or call.dialect is not dialect:
            return found
        try:
            asked = read_request(dialect, body, model=call.model, is_stream=call.is_stream)
        except (Refused, RecursionError):
            return found
        lead = asked.lead
        self._put(
            found, "gen_ai.system_instructions", [one for turn in lead for one in self._parts(turn.parts)]
        )
        self._put(found, "gen_ai.input.messages", [self._turn(turn) for turn in asked.turns[len(lead) :]])
        self._put(found, "gen_ai.tool.definitions", [self._tool(tool) for tool in asked.tools])
        if entry.said is not None and entry.status == 200:
            reply = read_reply(entry.said, dialect, is_stream=bool(entry.is_stream))
            self._put(
                found, "gen_ai.output.messages", [self._choice(one) for one in reply.choices] if reply else []
            )
        return found

    def _put(self, found: dict[str, str], name: str, messages: list[JSON]) -> None:
        """Without the oldest messages, where they are too many."""
        sizes = [len(orjson.dumps(one)) + 1 for one in messages]
        at, left = 0, sum(sizes)
        while left > ATTRIBUTE_BYTES:
            left -= sizes[at]
            at += 1
        if messages[at:]:
            found[name] = orjson.dumps(messages[at:]).decode()

    def _turn(self, turn: neutral.Turn) -> JSON:
        parts = list(self._parts(turn.parts))
        is_tools = bool(parts) and all(one["type"] == "tool_call_response" for one in parts)
        return {"role": "tool" if is_tools else turn.role.value, "parts": parts}

    def _choice(self, choice: neutral.Choice) -> JSON:
        reason = choice.stop.word if choice.stop is not None else "unknown"
        return {"role": "assistant", "parts": list(self._parts(choice.parts)), "finish_reason": reason}

    def _parts(self, parts: tuple[neutral.Part, ...]) -> Iterator[JSON]:
        for part in parts:
            if (made := self._part(part)) is not None:
                yield made

    def _part(self, part: neutral.Part) -> JSON | None:
        match part:
            case neutral.Text() | neutral.Refusal():
                return {"type": "text", "content": self._text(part.text)}
            case neutral.Reasoning():
                return {"type": "reasoning", "content": self._text(part.readable)} if part.readable else None
            case neutral.ToolCall():
                told = {
                    "id": part.id or None,
                    "name": self.redact(part.name),
                    "arguments": self._text(part.args),
                }
                return {"type": "tool_call", **told}
            case neutral.ToolResult():
                said = part.raw or "\n".join(one.text for one in part.parts if isinstance(one, neutral.Text))
                return {"type": "tool_call_response", "id": part.call_id, "response": self._text(said)}
            case neutral.Media():
                return self._media(part)
            case _:  # what a vendor's own tools did, and what only one vendor knows
                return {"type": part.type}

    def _media(self, media: neutral.Media) -> JSON:
        told: JSON = {"modality": media.kind, "mime_type": media.mime}
        match media.source:
            case neutral.Url(url):
                return {"type": "uri", **told, "uri": self.redact(url.partition("?")[0][:2048])}
            case neutral.FileId(_, name):
                return {"type": "file", **told, "file_id": self.redact(name)}
            case neutral.Base64(data):
                return {"type": "uri", **told, "uri": f"sha256:{_digest(data)}"}
            case _:
                return {"type": media.kind}

    def _tool(self, tool: neutral.Tool | neutral.HostedTool) -> JSON:
        if isinstance(tool, neutral.HostedTool):
            return {"type": tool.type}
        return {
            "type": tool.kind,
            "name": self.redact(tool.name),
            "description": self._text(tool.description or ""),
        }

    def _text(self, text: str) -> str:
        clean = self.redact(text.encode("utf-8", "replace").decode())
        if len(clean) <= TEXT_CHARACTERS:
            return clean
        return f"{clean[:TEXT_CHARACTERS]} [{len(clean) - TEXT_CHARACTERS} more characters]"


def _digest(data: str) -> str:
    try:
        content = base64.b64decode(data)
    except ValueError:
        content = data.encode("utf-8", "replace")
    return hashlib.sha256(content).hexdigest()


def read_reply(said: Seen, dialect: Dialect, *, is_stream: bool) -> neutral.Reply | None:
    """What the client was answered, as far as it is kept; None where that cannot be read."""
    text, _ = readable(said)
    if text is None:
        return None
    codec = CODECS[dialect]
    try:
        if not is_stream:
            return codec.read_reply(text.encode())
        reader, sse, collector = codec.reader(), SseReader(), Collector()
        for event in (*sse.feed(text.encode()), *sse.finish()):
            for one in reader.read(event):
                collector.add(one)
        return collector.reply()
    except (neutral.UpstreamError, EventTooLong, RecursionError):
        return None
