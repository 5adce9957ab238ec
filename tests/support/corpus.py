"""Recorded exchanges with live APIs: where they are, and which of them are generations.

The recordings are no part of the project: they are looked for at ../shared/corpus or $LLMITM_CORPUS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import orjson

from llmitm.exchange import Dialect

type Record = dict[str, Any]

CORPUS: Final = Path(os.environ.get("LLMITM_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
ABSENT: Final = "no recordings: neither ../shared/corpus nor $LLMITM_CORPUS"
_OTHER: Final = frozenset({"embeddings", "count-tokens", "other-endpoint"})
_SEALS: Final = {
    Dialect.OPENAI_RESPONSES: "openai",
    Dialect.ANTHROPIC_MESSAGES: "anthropic",
    Dialect.GEMINI: "google",
}
_HOSTS_OF_VENDOR: Final = frozenset({"azure", "bedrock", "vertex"})


@cache
def records(wire: Dialect) -> tuple[Record, ...]:
    """All recorded generations of one wire."""
    with (CORPUS / f"{wire}.jsonl").open("rb") as lines:
        return tuple(one for one in map(orjson.loads, lines) if not _OTHER & set(one["features"]))


def sampled(wire: Dialect, every: int = 1, first: int = 0) -> Iterator[Record]:
    """Every n-th record in an order that mixes them: the same ones each time, others for another `first`."""
    return iter(_mixed(wire)[first % every :: every])


@cache
def _mixed(wire: Dialect) -> tuple[Record, ...]:
    return tuple(sorted(records(wire), key=lambda one: crc32(one["id"].encode())))


def stream_of(record: Record) -> bytes | None:
    """The recorded stream; a JSON array of chunks as the server-sent events that it would have been."""
    if record.get("sse"):
        sse: str = record["sse"]
        return sse.encode()
    body = record.get("response")
    if record["status"] == 200 and isinstance(body, list):
        return b"".join(b"data: " + orjson.dumps(chunk) + b"\r\n\r\n" for chunk in body)
    return None


def reply_of(record: Record) -> bytes | None:
    """The recorded whole reply."""
    body = record.get("response")
    return orjson.dumps(body) if record["status"] == 200 and isinstance(body, dict) else None


def vendor_of(record: Record) -> str:
    """Whose seals the recorded upstream reads."""
    wire, vendor = Dialect(record["wire"]), record.get("vendor") or ""
    maker = _SEALS.get(wire, "openai")
    if not vendor or vendor in _HOSTS_OF_VENDOR or (vendor == "chatgpt"):
        return maker
    return str(vendor)
