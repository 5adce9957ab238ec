"""CPU time of one translated request and of one translated chunk, for each pair of dialects.

The conversation is one that an agent has: a system prompt, eight tools, six turns with calls and results,
about 12 KB. Its stream is 200 deltas of text and one call in 40 fragments. Times are CPU time of this
process, the least of several rounds.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from llmitm.exchange import Dialect
from llmitm.translate import models, stream
from llmitm.translate.dialects import CODECS
from llmitm.translate.neutral import (
    Choice,
    PartDelta,
    Reason,
    Reply,
    Stop,
    StreamEvent,
    Text,
    ToolCall,
)
from llmitm.translate.pair import Translation, read_request
from llmitm.translate.target import Target

ROUNDS = 5
DELTAS = 200
FRAGMENTS = 40
MODELS = {
    Dialect.OPENAI_CHAT: ("gpt-4o", "openai"),
    Dialect.OPENAI_RESPONSES: ("gpt-5.4", "openai"),
    Dialect.ANTHROPIC_MESSAGES: ("claude-sonnet-5", "anthropic"),
    Dialect.GEMINI: ("gemini-3.7-flash", "google"),
}


def target_of(dialect: Dialect) -> Target:
    model, vendor = MODELS[dialect]
    row = models.find(model, dialect)
    return Target(dialect=dialect, model=model, row=row, vendor=vendor, is_openai=vendor == "openai")


def conversation() -> bytes:
    """As a chat client sends it; the other dialects get it by translation."""
    schema = {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": f"The {name} to look at, as the user spelled it."}
            for name in ("path", "pattern", "limit", "encoding")
        },
        "required": ["path"],
    }
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{n}",
                "description": "Looks at one thing and tells what it found there. " * 4,
                "parameters": schema,
            },
        }
        for n in range(8)
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Work step by step. " * 60}]
    for n in range(3):
        messages.append({"role": "user", "content": "Look at the next file and say what is in it. " * 6})
        arguments = orjson.dumps({"path": f"/src/part_{n}.txt", "limit": "100"}).decode()
        call = {"id": f"call_{n}", "type": "function", "function": {"name": "tool_1", "arguments": arguments}}
        messages.append({"role": "assistant", "content": "I look.", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{n}", "content": "a line of text\n" * 40})
        messages.append({"role": "assistant", "content": "It holds lines of text. " * 8})
    messages.append({"role": "user", "content": "And the last one?"})
    return orjson.dumps(
        {
            "model": "m",
            "messages": messages,
            "tools": tools,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def stream_of(dialect: Dialect) -> list[bytes]:
    """The events of an upstream of this dialect, one block each."""
    asked = read_request(Dialect.OPENAI_CHAT, conversation())
    call = ToolCall(id="call_9", name="tool_1", args=orjson.dumps({"path": "x" * FRAGMENTS * 8}).decode())
    choice = Choice(parts=(Text(text="a few words "), call), stop=Stop(reason=Reason.TOOL_CALLS))
    reply = Reply(id="id_1", model="m", created=1, choices=(choice,))
    writer = CODECS[dialect].writer(asked)
    blocks: list[bytes] = []
    for event in stream.simulate(reply):
        blocks += (writer.write(one) for one in _split(event))
    return [block for block in blocks if block]


def _split(event: StreamEvent) -> list[StreamEvent]:
    """Deltas as they come: small ones."""
    if not isinstance(event, PartDelta):
        return [event]
    if event.field == "text":
        return [event] * DELTAS
    step = len(event.text) // FRAGMENTS
    cuts = range(0, len(event.text), step)
    return [PartDelta(event.index, event.field, event.text[at : at + step], 0, event.choice) for at in cuts]


def requests_us(client: Dialect, upstream: Dialect, body: bytes) -> float:
    """Reading, fitting and writing one request."""
    target = target_of(upstream)
    named = "m" if client is Dialect.GEMINI else None
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(20):
            _ = Translation(read_request(client, body, model=named, is_stream=True), target).body
        best = min(best, (time.process_time() - started) / 20)
    return best * 1e6


def chunk_us(client: Dialect, upstream: Dialect, body: bytes, blocks: list[bytes]) -> float:
    """One event of the upstream, read and written for the client."""
    named = "m" if client is Dialect.GEMINI else None
    asked = read_request(client, body, model=named, is_stream=True)
    translation = Translation(asked, target_of(upstream))
    best = float("inf")
    for _ in range(ROUNDS):
        running = translation.stream()
        started = time.process_time()
        for block in blocks:
            running.feed(block)
        running.finish()
        best = min(best, (time.process_time() - started) / len(blocks))
        assert running.failure is None, running.failure
    return best * 1e6


def main() -> None:
    chat = conversation()
    asked = read_request(Dialect.OPENAI_CHAT, chat)
    bodies = {
        dialect: chat if dialect is Dialect.OPENAI_CHAT else Translation(asked, target_of(dialect)).body
        for dialect in Dialect
    }
    streams = {dialect: stream_of(dialect) for dialect in Dialect}
    print(f"\nrequest of {len(chat) / 1000:.0f} KB, stream of {DELTAS + FRAGMENTS} deltas; us of CPU")
    print(f"{'client > upstream':42}{'a request':>12}{'a chunk':>10}")
    for client in Dialect:
        for upstream in Dialect:
            if client is upstream:
                continue
            request = requests_us(client, upstream, bodies[client])
            chunk = chunk_us(client, upstream, bodies[client], streams[upstream])
            print(f"{client + ' > ' + upstream:42}{request:12.0f}{chunk:10.1f}")


if __name__ == "__main__":
    main()
