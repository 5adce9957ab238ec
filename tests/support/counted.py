"""Recorded answers through a running gateway: what its ledger counts is what the vendor's own client reads.

Each answer goes through a forward endpoint, through a gateway endpoint of its own dialect, and through it
to a client of another dialect: `just usage-proof`.
"""

from __future__ import annotations

import argparse
import http.client
import re
import socket
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from support.corpus import ABSENT, CORPUS, reply_of, sampled, stream_of
from support.gateway import Gateway
from support.normal.clients import Failure, Unreadable, reply_form, stream_form

WAYS: Final = ("forward", "untouched", "translated")
_NAME: Final = re.compile(rb"rec-([0-9a-f]{16})")
_COLUMNS: Final = {
    "in": "input_tokens",
    "out": "output_tokens",
    "cached": "cache_read_tokens",
    "reasoning": "reasoning_tokens",
}

ODD: Final = {
    "049aa79aaa1fb9c9": "two answers in one recording: its client reads the last one alone",
    "e31c971892cfd9ad": "three answers in one recording: its client reads the last one alone",
}
"""Recordings that are left out, and why."""

CONFIG: Final = """
[server]
port = 0
[retry]
max_attempts = 1
cooldowns = false
[endpoints.forward]
target_base = "{url}"
[ledger]
flush_ms = 100
"""
WAY: Final = """
[endpoints.{dialect}]
kind = "gateway"
provider = "{dialect}"
[providers.{dialect}]
format = "{dialect}"
base_url = "{url}"
api_keys = ["sk-of-the-provider"]
"""


class Player:
    """An upstream on loopback that answers with the recording that a request's model names."""

    def __init__(self) -> None:
        answers: dict[bytes, tuple[bytes, bool]] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                found = _NAME.search(self.path.encode() + b" " + body)
                assert found is not None
                content, is_events = answers[found[1]]
                self.send_response(200)
                kind = "text/event-stream" if is_events else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.answers = answers
        """By id: the body, and whether it is an event stream."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True)
class Found:
    checked: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By wire and way."""
    left_out: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    wire: Dialect
    other: Dialect
    """What a client speaks that has it translated."""
    is_stream: bool
    expected: dict[str, int]


def asked(dialect: Dialect, model: str, *, is_stream: bool) -> tuple[str, bytes]:
    """Path and body of the least that a client can ask."""
    said = [{"role": "user", "content": "x"}]
    match dialect:
        case Dialect.OPENAI_CHAT:
            usage = {"stream_options": {"include_usage": True}} if is_stream else {}
            path, body = "/v1/chat/completions", {"messages": said, "stream": is_stream, **usage}
        case Dialect.OPENAI_RESPONSES:
            path, body = "/v1/responses", {"input": "x", "stream": is_stream}
        case Dialect.ANTHROPIC_MESSAGES:
            path, body = "/v1/messages", {"max_tokens": 9, "messages": said, "stream": is_stream}
        case Dialect.GEMINI:
            verb = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
            turns = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
            return f"/v1beta/models/{model}:{verb}", orjson.dumps(turns)
    return path, orjson.dumps({"model": model, **body})


def cases(player: Player, every: int, found: Found) -> Iterator[Case]:
    """Of the recordings, or of every n-th, those with counts that the vendor's own client reads."""
    for turn, wire in enumerate(Dialect):
        others = [one for one in Dialect if one is not wire]
        for number, record in enumerate(sampled(wire, every, turn)):
            stream, reply = stream_of(record), reply_of(record)
            content = stream or reply
            if content is None:
                continue
            if record["id"] in ODD:
                found.left_out[ODD[record["id"]]] += 1
                continue
            try:
                form = (reply_form if stream is None else stream_form)(wire, content)
            except (Failure, Unreadable):
                found.left_out["its own client raises"] += 1
                continue
            if not form.usage:
                found.left_out["it has no counts"] += 1
                continue
            player.answers[record["id"].encode()] = content, stream is not None
            yield Case(record["id"], wire, others[number % 3], stream is not None, form.usage)


def run(folder: Path, every: int = 1) -> Found:
    found, player = Found(), Player()
    ways = "".join(WAY.format(dialect=dialect, url=player.url) for dialect in Dialect)
    sent: list[tuple[Case, str]] = []
    try:
        with ExitStack() as stack:
            config = CONFIG.format(url=player.url) + ways
            gateway = stack.enter_context(Gateway(config, folder, host="serve"))
            wire = stack.enter_context(
                closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20))
            )
            wire.connect()
            assert wire.sock is not None
            wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for case in cases(player, every, found):
                for way in WAYS:
                    endpoint = "forward" if way == "forward" else case.wire.value
                    speaks = case.other if way == "translated" else case.wire
                    path, body = asked(speaks, f"rec-{case.id}", is_stream=case.is_stream)
                    wire.request("POST", f"/{endpoint}{path}", body, {"content-type": "application/json"})
                    wire.getresponse().read()
                    sent.append((case, way))
    finally:
        player.close()
    for (case, way), row in zip(sent, rows(folder), strict=True):
        found.checked[case.wire.value, way] += 1
        if fault := difference(case.expected, row):
            found.faults.append(f"{case.wire} {case.id} {way}: {fault}")
    return found


def rows(folder: Path) -> list[dict[str, int | None]]:
    """The counts of the ledger, in the order in which exchanges began."""
    names = ", ".join(_COLUMNS.values())
    with closing(sqlite3.connect(folder / "llmitm.db")) as ledger:
        asked = ledger.execute(f"SELECT {names} FROM exchanges ORDER BY number").fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in asked]


def difference(expected: dict[str, int], row: dict[str, int | None]) -> str:
    """Nothing and none are the same, but for what was read and written. Where a host counts more reasoning
    than output, all of its output was reasoned."""
    for name, count in expected.items():
        counted = row[name]
        if counted == count or (not count and not counted and name not in ("in", "out")):
            continue
        if name == "reasoning" and counted is not None and counted == expected.get("out") and count > counted:
            continue
        return f"{name}: the client reads {expected}, the ledger has {row}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only about every n-th recording")
    options = parser.parse_args()
    if not CORPUS.is_dir():
        print(ABSENT)
        sys.exit(1)
    with tempfile.TemporaryDirectory(prefix="llmitm-usage-") as folder:
        found = run(Path(folder), options.every)
    for (wire, way), count in sorted(found.checked.items()):
        wrong = sum(1 for fault in found.faults if fault.startswith(f"{wire} ") and f" {way}: " in fault)
        print(f"{wire:20} {way:12} {count - wrong}/{count}")
    for why, count in found.left_out.items():
        print(f"left out: {count} {why}")
    for fault in found.faults:
        print(f"WRONG  {fault}")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
