"""What the doctor says of the ledger's database and of Redis."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmitm.clock import SystemClock
from llmitm.doctor.finding import Finding, Level
from llmitm.doctor.services import ledger, redis
from support.ledgers import books_of, entry_of, place_of
from support.patients import findings, patient
from support.redis_server import BINARY, NO_BINARY, RedisServer


async def of_ledger(folder: Path, text: str = "") -> Finding:
    (found,) = await findings(ledger, patient(folder, text))
    return found


async def test_a_ledger_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    found = await of_ledger(tmp_path)
    assert found.level is Level.OK and "made at the start" in found.text
    assert not (tmp_path / "llmitm.db").exists()


async def test_a_ledger_is_left_as_it_is(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    assert place.path is not None
    books = books_of(place)
    books(entry_of(1))
    await books.close()
    before = place.path.read_bytes()
    found = await of_ledger(tmp_path, f'[ledger]\nurl = "sqlite:///{place.path.name}"\n')
    assert found.level is Level.OK and "can be written" in found.text
    assert place.path.read_bytes() == before


def make(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


VERSION = "CREATE TABLE alembic_version (version_num TEXT)"


@pytest.mark.parametrize(
    ("statements", "level", "words"),
    [
        (("CREATE TABLE other (x)",), Level.ERROR, "no ledger"),
        ((VERSION, "INSERT INTO alembic_version VALUES ('9999')"), Level.ERROR, "newer version of llmitm"),
        ((VERSION, "INSERT INTO alembic_version VALUES ('0000')"), Level.OK, "migrated at the start"),
        ((), Level.OK, "made at the start"),
    ],
)
async def test_what_else_may_lie_there(
    tmp_path: Path, statements: tuple[str, ...], level: Level, words: str
) -> None:
    make(tmp_path / "llmitm.db", *statements)
    found = await of_ledger(tmp_path)
    assert found.level is level and words in found.text
    assert level is Level.OK or found.fix


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "llmitm.db").write_bytes(b"this is no database, however long it is looked at" * 100)
    found = await of_ledger(tmp_path)
    assert found.level is Level.ERROR and "ledger verify" in (found.fix or "")


async def test_none_is_fine(tmp_path: Path) -> None:
    assert (await of_ledger(tmp_path, "[ledger]\nenabled = false\n")).level is Level.OK


async def test_a_server_that_is_not_there_is_an_error_without_its_password(tmp_path: Path) -> None:
    text = '[ledger]\nurl = "postgresql://user:secret-word@127.0.0.1:1/x"\n'
    found = await of_ledger(tmp_path, text)
    assert found.level is Level.ERROR and "cannot be reached" in found.text
    assert "secret-word" not in str(found)


async def of_redis(folder: Path, url: str) -> list[Finding]:
    return await findings(redis, patient(folder, f'[state]\nurl = "{url}"\n', clock=SystemClock()))


async def test_without_redis_nothing_is_asked(tmp_path: Path) -> None:
    (found,) = await of_redis(tmp_path, "memory://")
    assert found.level is Level.OK


async def test_a_redis_that_is_not_there_is_an_error_without_its_password(tmp_path: Path) -> None:
    (found,) = await of_redis(tmp_path, "redis://:secret-word@127.0.0.1:1/0")
    assert found.level is Level.ERROR and "cannot be reached" in found.text
    assert "secret-word" not in str(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


async def test_a_redis_that_throws_keys_away_is_a_warning(server: RedisServer, tmp_path: Path) -> None:
    from redis.asyncio import Redis

    url = f"redis://127.0.0.1:{server.port}/0"
    (found,) = await of_redis(tmp_path, url)
    assert found.level is Level.OK and "is written to" in found.text
    client = Redis(port=server.port)
    try:
        await client.config_set("maxmemory", "100mb")
        await client.config_set("maxmemory-policy", "allkeys-lru")
        (found,) = await of_redis(tmp_path, url)
        assert found.level is Level.WARNING and "allkeys-lru" in found.text
        await client.config_set("maxmemory-policy", "noeviction")
        await client.acl_setuser(
            "narrow", enabled=True, passwords=["+narrow-word"], keys=["other:*"], commands=["+@all"]
        )
        (found,) = await of_redis(tmp_path, f"redis://narrow:narrow-word@127.0.0.1:{server.port}/0")
        assert found.level is Level.ERROR and "cannot be written to" in found.text
    finally:
        await client.aclose()
