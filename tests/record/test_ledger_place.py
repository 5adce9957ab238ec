"""What a `[ledger] url` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.errors import ConfigError
from llmitm.record.ledger.place import Place
from llmitm.secret import Secret

FOLDER = Path("/etc/llmitm")

GOOD = {
    None: ("/etc/llmitm/llmitm.db", "/etc/llmitm/llmitm.db"),
    "sqlite:///kept/books.db": ("/etc/llmitm/kept/books.db", "/etc/llmitm/kept/books.db"),
    "sqlite:////var/lib/llmitm.db": ("/var/lib/llmitm.db", "/var/lib/llmitm.db"),
    "sqlite+aiosqlite:///a%20b.db": ("/etc/llmitm/a b.db", "/etc/llmitm/a b.db"),
    "postgres://me:pw@db/books": ("postgresql://db:5432/books", "/etc/llmitm/llmitm.db"),
    "postgresql://me:p%40w@db:6000/books?sslmode=require": (
        "postgresql://db:6000/books",
        "/etc/llmitm/llmitm.db",
    ),
    "postgresql+asyncpg://[::1]/books": ("postgresql://[::1]:5432/books", "/etc/llmitm/llmitm.db"),
    "postgresql:///books?host=/run/postgresql": (
        "postgresql:///run/postgresql:5432/books",
        "/etc/llmitm/llmitm.db",
    ),
}


@pytest.mark.parametrize(("url", "expected"), GOOD.items(), ids=map(str, GOOD))
def test_where_it_is(url: str | None, expected: tuple[str, str]) -> None:
    place = Place.of(None if url is None else Secret(url), FOLDER)
    assert (place.name, str(place.spill)) == expected


BAD = {
    "mysql://me:pw-secret@db/books": "not mysql://",
    "llmitm.db": "is expected",
    "sqlite://llmitm.db": "a file is expected",
    "sqlite:///": "a file is expected",
    "sqlite:///:memory:": "a file is expected",
    "postgresql://me:pw-secret@/books": "names no host",
    "postgresql://me:pw-secret@db": "names no database",
    "postgresql://me:pw/secret@db/books": "%2F",
    "postgresql://me:pw#pw-secret@db/books": "%23",
}


@pytest.mark.parametrize(("url", "told"), BAD.items(), ids=BAD.keys())
def test_what_cannot_be_is_told_when_the_configuration_is_loaded(url: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[endpoints.a]\ntarget_base = "http://127.0.0.1:9"\n[ledger]\nurl = "{url}"\n')
    with pytest.raises(ConfigError) as caught:
        load(path, env={})
    (problem,) = caught.value.problems
    assert problem.path == "ledger.url"
    assert told in problem.message and "secret" not in problem.message
