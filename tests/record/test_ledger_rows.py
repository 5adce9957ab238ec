"""What an exchange becomes in the ledger, in both kinds of databases."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.exchange import Dialect, ResponseHead, Usage
from llmitm.record.bodies import Leg, Seen
from llmitm.record.entry import Outcome
from llmitm.record.ledger.columns import USAGE
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.rows import readable
from llmitm.record.ledger.tables import ATTEMPTS, BODIES, EXCHANGES, LEGS, RUNS
from llmitm.secret import Redactor, Secret
from support.ledgers import config_of, entry_of, keep, noted_of, place_of, rows_of

USED = Usage(
    input_tokens=100,
    output_tokens=0,
    cache_read_tokens=40,
    server_tools=(("web_search_requests", 2),),
    tier="flex",
    is_final=False,
)


async def test_a_row_for_the_exchange_and_one_for_each_attempt(place: Place) -> None:
    attempts = [
        noted_of(
            credential="one", status=429, ending="rate_limit", error="429 slow", usage=None,
            cost_usd_nano=None, price_version=None, is_cost_whole=None, answered=None,
        ),
        noted_of(
            2, provider="other", credential="two", dialect=Dialect.ANTHROPIC_MESSAGES, model="claude",
            answered="claude-1", usage=USED, upstream_id="req_1", warnings=("lost:top_k at top_k",),
            request_bytes=300, response_bytes=900,
        ),
    ]  # fmt: skip
    await keep(place, [entry_of(1, attempts=attempts, auth_key="laptop", is_stream=True, request_bytes=250)])
    (row,) = await rows_of(place, EXCHANGES)
    expected = {
        "id": "llmitm-test-1",
        "number": 1,
        "at": "2026-09-21T14:13:21.000Z",
        "ended_at": "2026-09-21T14:13:21.500Z",
        "method": "POST",
        "endpoint": "all",
        "auth_key": "laptop",
        "dialect": "openai-chat",
        "model": "gpt-known",
        "provider": "other",
        "credential": "two",
        "upstream_dialect": "anthropic-messages",
        "model_sent": "claude",
        "model_answered": "claude-1",
        "is_stream": True,
        "status": 200,
        "outcome": "ok",
        "ending": "answered",
        "error": None,
        "attempts": 2,
        "first_byte_ms": 250,
        "total_ms": 500,
        "own_ms": 200,
        "request_bytes": 250,
        "input_tokens": 100,
        "output_tokens": 0,
        "cache_read_tokens": 40,
        "cache_write_tokens": None,
        "is_final": False,
        "tier": "flex",
        "cost_usd_nano": 1_500,
        "is_cost_whole": True,
        "price_version": "test",
        "warnings": '["lost:top_k at top_k"]',
    }
    assert {name: row[name] for name in expected} == expected
    assert orjson.loads(row["server_tools"]) == {"web_search_requests": 2}
    first, second = await rows_of(place, ATTEMPTS)
    assert (first["number"], first["status"], first["ending"], first["error"]) == (
        1,
        429,
        "rate_limit",
        "429 slow",
    )
    assert (first["input_tokens"], first["is_final"], first["cost_usd_nano"]) == (None, None, None)
    assert (second["number"], second["exchange"], second["upstream_id"]) == (2, "llmitm-test-1", "req_1")
    assert (second["input_tokens"], second["request_bytes"], second["response_bytes"]) == (100, 300, 900)
    assert second["first_byte_ms"] == pytest.approx(100)
    assert second["total_ms"] == pytest.approx(300)


async def test_unknown_is_null_and_not_zero(place: Place) -> None:
    await keep(place, [entry_of(1, attempts=[], status=401, outcome=None, model=None, first_byte_s=None)])
    (row,) = await rows_of(place, EXCHANGES)
    unknown = (
        "model",
        "provider",
        "model_sent",
        "first_byte_ms",
        "cost_usd_nano",
        "is_cost_whole",
        "warnings",
    )
    assert [row[name] for name in (*unknown, *(one.name for one in USAGE))] == [None] * (
        len(unknown) + len(USAGE)
    )
    assert (row["outcome"], row["attempts"]) == (Outcome.REFUSED, 0)


def test_every_field_of_usage_has_a_column() -> None:
    assert [one.name for one in USAGE] == [one.name for one in fields(Usage)]


async def test_costs_of_attempts_add_up_and_what_is_unknown_leaves_the_rest(place: Place) -> None:
    attempts = [
        noted_of(cost_usd_nano=7, is_cost_whole=False),
        noted_of(2, usage=None, cost_usd_nano=None, price_version=None, is_cost_whole=None),
        noted_of(3, cost_usd_nano=2**40),
    ]
    await keep(place, [entry_of(1, attempts=attempts)])
    (row,) = await rows_of(place, EXCHANGES)
    assert (row["cost_usd_nano"], row["is_cost_whole"]) == (7 + 2**40, False)


async def test_rows_that_come_twice_stay_as_they_are(place: Place) -> None:
    await keep(place, [entry_of(1, status=200)])
    await keep(place, [entry_of(1, status=500), entry_of(2)])
    rows = await rows_of(place, EXCHANGES)
    assert [(row["id"], row["status"]) for row in rows] == [("llmitm-test-1", 200), ("llmitm-test-2", 200)]


STRANGE: dict[str, dict[str, Any]] = {
    "a NUL": {"path": "/all/\0"},
    "half a surrogate pair": {"error": "broken \ud800 text"},
    "a count beyond all bounds": {"usage": Usage(input_tokens=2**70, output_tokens=1)},
    "a very long error": {"error": "x" * 100_000},
    "every script": {"model": "模型 · модель · 🎛"},
    "quotes": {"model": "'; DROP TABLE exchanges; --"},
}


@pytest.mark.parametrize("known", STRANGE.values(), ids=STRANGE.keys())
async def test_nothing_that_comes_from_outside_keeps_an_exchange_out(
    place: Place, known: dict[str, Any]
) -> None:
    await keep(place, [entry_of(1), entry_of(2, **known), entry_of(3)])
    rows = await rows_of(place, EXCHANGES)
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert max(len(row["error"] or "") for row in rows) <= 2_000


CANARIES = [f"sk-canary-{number}-of-forty-secrets" for number in range(8)]


async def test_no_secret_is_written(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    redact = Redactor()
    redact.learn(Secret("a word that is secret"))
    sent, given = Seen(), Seen()
    sent.add(f'{{"key": "{CANARIES[0]}", "note": "a word that is secret"}}'.encode())
    given.add(f"data: {CANARIES[1]}".encode())
    noted = noted_of(
        model=CANARIES[2], answered=CANARIES[3], error=f"Bearer {CANARIES[4]}", upstream_id=CANARIES[5],
        warnings=(f"lost:{CANARIES[6]}",), host="a word that is secret",
    )  # fmt: skip
    kept = entry_of(
        1, path=f"/all/{CANARIES[7]}", model=CANARIES[0], error="?key=AIzaSyCanaryCanary", code=CANARIES[1],
        attempts=[noted], sent=sent, given=given,
    )  # fmt: skip
    config = config_of(bodies=True)
    await keep(place, [kept], redact=redact, config=config)
    nowhere = place_of(tmp_path, "postgresql://u:a-word-nobody-sees@127.0.0.1:1/none")
    await keep(nowhere, [kept], redact=redact, config=config)
    _holds_only(tmp_path, "llmitm-test-1", without=(*CANARIES, "a word that is secret", "AIzaSyCanaryCanary"))
    _holds_only(tmp_path, "llmitm-test-1", without=("a-word-nobody-sees",))


def _holds_only(folder: Path, name: str, without: Iterable[str]) -> None:
    (spilled,) = folder.glob("*.spill")
    assert {path.stat().st_mode & 0o777 for path in (spilled, folder / "llmitm.db")} == {0o600}
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert name.encode() in written
    assert [one for one in without if one.encode() in written] == []


async def test_bodies_are_kept_as_text_and_say_what_they_lack(place: Place) -> None:
    sent, given = Seen(8), Seen()
    sent.add("grüße und".encode())
    given.add(b"{}")
    await keep(place, [entry_of(1, sent=sent, given=given), entry_of(2, sent=Seen(0))])
    (row,) = await rows_of(place, BODIES)
    assert (row["request"], row["is_request_cut"], row["response"], row["is_response_cut"]) == (
        "grüße ", True, "{}", False,
    )  # fmt: skip


HEADERS = (
    (b"Authorization", b"anything at all"),
    (b"x-tenant-key", b"plain"),
    (b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key.abc"),
    (b"x-note", b"my key is sk-canary-0123456789abcdef"),
    (b"content-type", b"application/json"),
)


async def test_legs_are_kept_with_their_heads_and_without_keys(place: Place) -> None:
    answered, silent = (Leg("POST", "https://up.test/v1?key=canary123456&alt=sse", HEADERS) for _ in "12")
    answered.sent.add(b"{}")
    answered.came(ResponseHead(status=429, headers=HEADERS[3:], whole=b"slow down"))
    entry = entry_of(
        1, sent=Seen(), given=Seen(), legs={1: silent, 2: answered}, headers=HEADERS, answered=HEADERS[4:],
        target="/v1/chat?key=canary123456", attempts=[noted_of(), noted_of(2)],
    )  # fmt: skip
    await keep(place, [entry])
    first, second = await rows_of(place, LEGS)
    shown = ["***", "***", "***", "my key is ***", "application/json"]
    names = [name.decode() for name, _ in HEADERS]
    assert orjson.loads(first["request_headers"]) == [list(pair) for pair in zip(names, shown, strict=True)]
    assert (first["number"], first["status"], first["response_headers"]) == (1, None, None)
    assert (second["status"], second["request"], second["response"]) == (429, "{}", "slow down")
    assert orjson.loads(second["response_headers"]) == [
        ["x-note", "my key is ***"], ["content-type", "application/json"],
    ]  # fmt: skip
    (body,) = await rows_of(place, BODIES)
    assert "canary" not in str((first, second, body))
    assert body["target"] == "/v1/chat?key=***"
    assert orjson.loads(body["response_headers"]) == [["content-type", "application/json"]]


BODIES_READ: dict[str, tuple[bytes, int, tuple[str | None, bool]]] = {
    "text": (b"abc", 10, ("abc", False)),
    "cut": (b"abcdef", 3, ("abc", True)),
    "cut in a character": ("äöü".encode(), 3, ("ä", True)),
    "compressed": (gzip.compress(b"plain"), 100, ("plain", False)),
    "compressed and cut": (gzip.compress(bytes(range(256)).hex().encode()), 60, (None, True)),
    "no text": (b"\xff\xfe\x00", 10, (None, False)),
    "empty": (b"", 10, ("", False)),
}


@pytest.mark.parametrize(("content", "most", "expected"), BODIES_READ.values(), ids=BODIES_READ.keys())
def test_how_a_body_is_read(content: bytes, most: int, expected: tuple[str | None, bool]) -> None:
    seen = Seen(most)
    seen.add(content)
    text, is_cut = readable(seen)
    if expected[0] is None and text is not None:
        assert is_cut and bytes(range(256)).hex().startswith(text)  # as far as it goes
    else:
        assert (text, is_cut) == expected


async def test_a_run_says_when_it_began_and_that_it_ended(place: Place) -> None:
    await keep(place, [entry_of(1)])
    (run,) = await rows_of(place, RUNS)
    assert run["started_at"] == run["flushed_at"] == run["stopped_at"] == "2026-09-21T14:13:20.000Z"
    assert (run["begun"], run["lost"], run["pruned_to"]) == (1, 0, 0)
