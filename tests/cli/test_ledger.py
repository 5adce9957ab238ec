"""`llmitm logs`, `llmitm usage` and `llmitm ledger verify`: what they print."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from llmitm.cli import ledger, logs, usage
from llmitm.record.bodies import Seen
from llmitm.record.entry import Entry, Outcome
from llmitm.record.ledger.reading import SUMS
from support import forked
from support.gateway import BIN
from support.ledgers import entry_of, keep, noted_of, place_of

SEEDS = (
    *("timestamp", "request_id", "method", "path", "status", "latency_ms", "provider", "model"),
    *("input_tokens", "output_tokens", "cost", "error"),
)

ENTRIES = (
    entry_of(1, auth_key="laptop"),
    entry_of(2, status=429, outcome=Outcome.REFUSED, error="Too many [bold]requests[/].", attempts=[]),
    entry_of(3, model="alias", attempts=[noted_of(status=500, ending="server", usage=None), noted_of(2)]),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('[endpoints.all]\ntarget_base = "http://127.0.0.1:9"\n')
    return path


def write(config: Path, entries: tuple[Entry, ...] = ENTRIES, **how: Any) -> None:
    asyncio.run(keep(place_of(config.parent), entries, **how))


def asked(config: Path, **options: Any) -> int:
    how = {"limit": 50, "follow": False, "as_json": False, "with_attempts": False, "with_bodies": False}
    return logs.run(config, {}, **{**how, **options})


def test_one_object_a_line_with_the_common_names_first(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config)
    assert asked(config, as_json=True) == 0
    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [tuple(line)[: len(SEEDS)] for line in lines] == [SEEDS] * 3
    first = lines[0]
    assert first | {"cost": 0.0000015, "latency_ms": 500.0, "auth_key": "laptop", "outcome": "ok"} == first
    assert (lines[1]["provider"], lines[1]["cost"], lines[1]["input_tokens"]) == (None, None, None)


def test_attempts_on_request(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config)
    assert asked(config, as_json=True, with_attempts=True, limit=1) == 0
    (line,) = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["number"], one["ending"]) for one in line["attempt_list"]] == [
        (1, "server"),
        (2, "answered"),
    ]


def test_bodies_on_request(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent, given = Seen(), Seen()
    sent.add(b'{"model": 1}')
    given.add(b"{}")
    write(config, (entry_of(1, sent=sent, given=given),))
    assert asked(config, as_json=True, with_bodies=True) == 0
    told = orjson.loads(capsys.readouterr().out)["bodies"]
    assert (told["request"], told["response"]) == ('{"model": 1}', "{}")


def test_lines_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config)
    assert asked(config, with_attempts=True) == 0
    shown = capsys.readouterr().out
    assert [line.split()[2:4] for line in shown.splitlines() if line.startswith("20")] == [
        ["200", "ok"],
        ["429", "refused"],
        ["200", "ok"],
    ]
    assert "Too many [bold]requests[/]." in shown
    assert "alias -> gpt-known-2026" in shown
    assert "10+5 tokens" in shown and "$0.000003" in shown
    assert "2 attempts" in shown and "server" in shown


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_reader_that_has_seen_enough_is_no_error(config: Path, is_terminal: bool) -> None:
    write(config, tuple(entry_of(number) for number in range(1, 2_000)))
    asking = subprocess.Popen(
        [BIN / "llmitm", "logs", "-c", str(config), "-n", "2000", *(["--json"] if is_terminal else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asking.stdout is not None and asking.stderr is not None
    asking.stdout.readline()
    asking.stdout.close()
    said = asking.stderr.read()
    asking.stderr.close()
    asking.wait(20)
    assert said == b""


def test_what_comes_is_followed(config: Path) -> None:
    write(config, ENTRIES[:1])
    asking = subprocess.Popen(
        [forked.programs() / "llmitm", "logs", "-c", str(config), "--follow", "--json"],
        stdout=subprocess.PIPE,
    )
    assert asking.stdout is not None
    try:
        assert orjson.loads(asking.stdout.readline())["number"] == 1
        write(config, ENTRIES[1:])
        assert [orjson.loads(asking.stdout.readline())["number"] for _ in range(2)] == [2, 3]
    finally:
        asking.terminate()
        asking.stdout.close()
        asking.wait(10)


NOW = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
MOMENTS = {
    "90m": "2026-09-21T10:30:00.000Z",
    "12h": "2026-09-21T00:00:00.000Z",
    "7d": "2026-09-14T12:00:00.000Z",
    "2w": "2026-09-07T12:00:00.000Z",
    "2026-09-01": "2026-09-01T00:00:00.000Z",
    "2026-09-01T10:00:00+02:00": "2026-09-01T08:00:00.000Z",
    "2026-09-01T10:00:00Z": "2026-09-01T10:00:00.000Z",
}


@pytest.mark.parametrize(("text", "expected"), MOMENTS.items(), ids=MOMENTS.keys())
def test_moments(text: str, expected: str) -> None:
    assert logs.moment(text, NOW) == expected


def test_what_cannot_be_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(config) == 1
    assert "no ledger" in capsys.readouterr().err
    write(config)
    how = {"limit": 1, "follow": False, "as_json": False, "with_attempts": False, "with_bodies": False}
    assert logs.run(config, {"status": "6xx"}, **how) == 2
    assert logs.run(config, {"since": "yesterday"}, **how) == 2
    assert usage.run(config, {}, by="planet", form="table", chart=None) == 2
    assert usage.run(config, {}, by="day,day", form="table", chart=None) == 2
    assert usage.run(config, {}, by="day", form="table", chart="joy") == 2
    config.write_text(config.read_text() + "[ledger]\nenabled = false\n")
    assert asked(config) == 2
    assert "enabled = false" in capsys.readouterr().err


def test_sums_as_json_and_as_values(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config)
    assert usage.run(config, {}, by="day,key", form="json", chart=None) == 0
    told = orjson.loads(capsys.readouterr().out)
    assert told["total"] | {"requests": 3, "failed": 1, "attempts": 3, "input_tokens": 20} == told["total"]
    assert {(one["day"], one["key"]): one["requests"] for one in told["groups"]} == {
        ("2026-09-21", "laptop"): 1,
        ("2026-09-21", None): 2,
    }
    assert usage.run(config, {}, by="model", form="csv", chart=None) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["model"]: (row["requests"], row["cost_usd"]) for row in rows} == {
        "gpt-known": ("3", "4.5e-06"),
    }


def test_sums_as_a_table_and_as_bars(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config, tuple(entry_of(number, auth_key=f"key{number}") for number in range(1, 4)))
    assert usage.run(config, {}, by="key", form="table", chart=None) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()] == ["key", "key1", "key2", "key3", "total"]
    assert usage.run(config, {}, by="key", form="table", chart="tokens") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["key1", "key2", "key3"]


def test_what_has_no_price_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config, (entry_of(1, attempts=[noted_of(cost_usd_nano=None)]),))
    assert usage.run(config, {}, by="day", form="table", chart=None) == 0
    assert "1 attempts told of tokens that have no known price" in capsys.readouterr().out


def test_whether_anything_is_missing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config)
    assert ledger.check(config) == 0
    assert "3 exchanges" in capsys.readouterr().out
    write(config, (entry_of(7, id="another"),))
    assert ledger.check(config) == 1
    assert "!!" in capsys.readouterr().out


STRANGE: dict[str, tuple[bytes | str, str]] = {
    "nothing": (b"", "there are no tables in it"),
    "no database": (b"hello" * 1_000, "damaged, or no database"),
    "an older one": ("CREATE TABLE exchanges (id TEXT)", "an older version's"),
}


@pytest.mark.parametrize(("made", "said"), STRANGE.values(), ids=STRANGE)
def test_what_is_no_ledger_is_told_in_plain_words(
    config: Path, made: bytes | str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.parent / "llmitm.db"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(made)
        connection.close()
    assert asked(config) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("version", "said"), [("0001", "an older one"), ("0099", "of a newer version")])
def test_another_schema_is_named(
    config: Path, version: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(config)
    with sqlite3.connect(config.parent / "llmitm.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()
    assert ledger.check(config) == 1
    assert f"schema {version}, {said}" in capsys.readouterr().out


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
def test_what_is_no_amount_is_told(config: Path, amount: float, capsys: pytest.CaptureFixture[str]) -> None:
    write(config)
    how = {"limit": 50, "follow": False, "as_json": False, "with_attempts": False, "with_bodies": False}
    assert logs.run(config, {"min_cost_usd": amount}, **how) == 2
    assert f"{amount} is no amount" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_window_has_fewer_numbers_and_what_they_are_of(width: int) -> None:
    total = dict.fromkeys(SUMS, 12_345)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(usage._fitting(console, ("model",), [{"model": "gpt-5-mini", **total}] * 2, total))
    head, *_ = printed = captured.get().splitlines()
    assert len(printed) == 4 and "\N{HORIZONTAL ELLIPSIS}" not in "".join(printed)
    titles = head.split()
    assert (titles[0], titles[-1]) == ("model", "cost") and "output" in titles
    assert ("reasoning" in titles) == (width == 120)
