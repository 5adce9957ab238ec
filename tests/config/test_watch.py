"""What counts as a change of the configuration's files, however they are replaced."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from llmitm.clock import Clock
from llmitm.config.watch import SETTLE_S, Source, _listen, _marked, changes, entries
from llmitm.errors import ConfigError

FORWARD = '[endpoints.{name}]\ntarget_base = "https://api.example.com"\n'
ONE, TWO = FORWARD.format(name="one"), FORWARD.format(name="two")


class HandClock:
    """Time stands still but for sleeps, and something may happen in each of them."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.slept_s = 0.0
        self._happenings = list(happenings)

    def now_s(self) -> float:
        return self.slept_s

    tick_s = now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept_s += duration_s
        if self._happenings:
            self._happenings.pop(0)()

    def chance(self) -> float:
        return 0.5


class Told:
    """Stands in for the system: speaks up after each step that is made between two notices."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self.watched: list[frozenset[Path]] = []

    async def __call__(self, watched: frozenset[Path], clock: Clock) -> AsyncGenerator[None]:
        self.watched.append(watched)
        while self._steps:
            self._steps.pop(0)()
            yield
        raise EndOfTest


class EndOfTest(Exception):
    pass


async def told(source: Source, *steps: Callable[[], object], clock: HandClock | None = None) -> list[str]:
    """Names of the endpoints each time that a change was told; `problem` where it cannot be used."""
    found = []
    try:
        async for _ in changes(source, clock or HandClock(), notices=Told(*steps)):
            try:
                found.append(",".join(source.read().endpoints))
            except ConfigError as error:
                found.append(str(error.problems[0].message))
    except EndOfTest:
        pass
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(ONE)
    return path


@pytest.fixture
def source(path: Path) -> Source:
    source = Source(path, env={})
    source.read()
    return source


def replace(path: Path, text: str) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    os.replace(fresh, path)


async def test_another_content_is_a_change_and_the_same_is_none(path: Path, source: Source) -> None:
    found = await told(
        source,
        lambda: path.touch(),
        lambda: os.utime(path, (1, 1)),
        lambda: path.write_text(ONE),
        lambda: replace(path, ONE),
        lambda: path.write_text(TWO),
        lambda: None,
        lambda: replace(path, ONE),
        lambda: replace(path, TWO),
    )
    assert found == ["two", "one", "two"]


async def test_a_broken_file_is_told_once(path: Path, source: Source) -> None:
    found = await told(
        source, lambda: path.write_text("["), lambda: path.touch(), lambda: path.write_text(TWO)
    )
    assert len(found) == 2 and "not valid TOML" in found[0]
    assert found[1] == "two"


async def test_a_file_that_is_gone_or_empty_is_on_its_way(path: Path, source: Source) -> None:
    """Taken for an empty configuration it would drop every endpoint, and ask nobody for a key."""
    found = await told(
        source,
        lambda: path.unlink(),
        lambda: None,
        lambda: path.write_text(""),
        lambda: path.write_text(" \n"),
        lambda: path.write_text(TWO),
    )
    assert found == ["is gone", "is empty", "is empty", "two"]


async def test_the_environment_does_not_stand_in_for_a_file_that_is_gone(path: Path) -> None:
    source = Source(path, env={"ACCOUNT_ID": "a", "GATEWAY_ID": "g"})
    source.read()
    assert await told(source, path.unlink) == ["is gone"]


async def test_a_file_that_comes_later_takes_the_place_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    source = Source(path, env={"ACCOUNT_ID": "a", "GATEWAY_ID": "g"})
    assert list(source.read().endpoints) == ["default"]
    assert await told(source, lambda: path.write_text(TWO)) == ["two"]


async def test_a_change_is_told_when_it_has_settled(path: Path, source: Source) -> None:
    """A file that is written in two pieces is read once, whole."""
    clock = HandClock(lambda: path.write_text(ONE + TWO[:20]), lambda: path.write_text(ONE + TWO))
    found = await told(source, lambda: path.write_text(ONE + "["), clock=clock)
    assert found == ["one,two"]
    assert clock.slept_s == pytest.approx(3 * SETTLE_S)


async def test_what_changes_and_changes_back_is_no_change(path: Path, source: Source) -> None:
    clock = HandClock(lambda: path.write_text(ONE))
    assert await told(source, lambda: path.write_text(TWO), clock=clock) == []


async def test_what_was_read_by_hand_is_not_told_again(path: Path, source: Source) -> None:
    def by_hand() -> None:
        path.write_text(TWO)
        source.read()

    assert await told(source, by_hand) == []


async def test_a_change_between_reading_and_watching_is_found(path: Path, source: Source) -> None:
    clock = HandClock()
    replace(path, TWO)
    assert await told(source, lambda: None, clock=clock) == ["two"]


@pytest.mark.parametrize("key", ["target_base", "proxy_url"])
async def test_files_of_secrets_count_as_far_as_they_are_named(tmp_path: Path, key: str) -> None:
    path, secret = tmp_path / "config.toml", tmp_path / "secret"
    secret.write_text("http://one:1")
    path.write_text(ONE + 'proxy_url = "file:secret"\n')
    source = Source(path, env={})
    source.read()
    found = await told(
        source, lambda: secret.write_text("http://two:1"), lambda: (tmp_path / "other").touch()
    )
    assert found == ["one"]
    path.write_text(ONE)
    source.read()
    assert await told(source, lambda: secret.write_text("http://three:1")) == []


async def test_a_file_that_was_missing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(ONE)
    source = Source(path, env={})
    source.read()
    found = await told(
        source,
        lambda: path.write_text(ONE + 'proxy_url = "file:secret"\n'),
        lambda: (tmp_path / "secret").write_text("http://one:1"),
    )
    assert "cannot be read" in found[0]
    assert found[1] == "one"


def test_tls_files_count_under_all_their_names(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[server]\ntls-cert = "a/cert.pem"\ntls_key = "~/key.pem"\n')
    assert Source(path, env={}).files() == {path, tmp_path / "a/cert.pem", Path("~/key.pem").expanduser()}
    path.write_text('tls_cert_path = "c.pem"\ntls_key_path = "k.pem"\n')
    assert Source(path, env={}).files() == {path, tmp_path / "c.pem", tmp_path / "k.pem"}


def kubernetes(folder: Path) -> Path:
    """A mounted volume: config.toml -> ..data/config.toml, ..data -> ..1."""
    (folder / "..1").mkdir()
    (folder / "..1" / "config.toml").write_text(ONE)
    (folder / "..data").symlink_to("..1")
    (folder / "config.toml").symlink_to("..data/config.toml")
    return folder / "config.toml"


def switch(folder: Path) -> None:
    (folder / "..2").mkdir(exist_ok=True)
    (folder / "..2" / "config.toml").write_text(TWO)
    (folder / "..data_tmp").symlink_to("..2")
    os.replace(folder / "..data_tmp", folder / "..data")


async def test_a_link_on_the_way_that_is_switched_over_is_a_change(tmp_path: Path) -> None:
    source = Source(kubernetes(tmp_path), env={})
    source.read()
    assert await told(source, lambda: switch(tmp_path), lambda: None) == ["two"]


def test_every_link_on_the_way_is_watched_where_it_lies(tmp_path: Path) -> None:
    path = kubernetes(tmp_path)
    assert entries(path) == {
        tmp_path / "config.toml",
        tmp_path / "..data",
        tmp_path / "..1" / "config.toml",
    }


def test_where_the_way_ends_too_early_its_last_folder_is_watched(tmp_path: Path) -> None:
    assert entries(tmp_path / "a" / "b" / "config.toml") == {tmp_path / "a"}


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert entries(tmp_path / "a")
    with pytest.raises(ConfigError):
        Source(tmp_path / "a", env={}).read()


async def test_the_watch_moves_with_the_files(tmp_path: Path, path: Path, source: Source) -> None:
    """To a folder that is named anew, and to one that was removed and made again."""
    notices = Told(
        lambda: path.write_text(ONE + 'proxy_url = "file:secrets/proxy"\n'),
        lambda: (tmp_path / "secrets").mkdir(),
        lambda: (tmp_path / "secrets" / "proxy").write_text("http://one:1"),
    )
    try:
        async for _ in changes(source, HandClock(), notices=notices):
            try:
                source.read()
            except ConfigError:
                pass
    except EndOfTest:
        pass
    assert [sorted(map(str, one - {path})) for one in notices.watched] == [
        [],
        [str(tmp_path / "secrets")],
        [str(tmp_path / "secrets" / "proxy")],
    ]


@pytest.mark.parametrize("way", ["write", "replace", "switch", "remove"])
def test_the_system_tells_of_it(tmp_path: Path, way: str) -> None:
    path = kubernetes(tmp_path)
    steps: dict[str, Callable[[], object]] = {
        "write": lambda: path.write_text(TWO),
        "replace": lambda: replace(path, TWO),
        "switch": lambda: switch(tmp_path),
        "remove": lambda: path.unlink(missing_ok=True) or path.write_text(ONE),
    }
    told, stop = threading.Event(), threading.Event()
    listener = threading.Thread(target=_listen, args=(entries(path), stop, told.set))
    listener.start()
    tries = 0
    while not told.wait(0.3) and tries < 30:  # when it begins to listen is not known
        steps[way]()
        tries += 1
    stop.set()
    listener.join(5)
    assert told.is_set()
    assert not listener.is_alive()


def test_what_else_happens_in_the_folder_is_not_told(path: Path) -> None:
    """Logs and databases lie beside the configuration."""
    told, stop = threading.Event(), threading.Event()
    listener = threading.Thread(target=_listen, args=(entries(path), stop, told.set))
    listener.start()
    for _ in range(5):
        path.with_name("llmitm.log").write_text("a line")
        assert not told.wait(0.1)
    stop.set()
    listener.join(5)


def test_a_name_that_no_file_can_have_ends_no_watch(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[providers.a]\nformat = "openai"\ntls_ca = "\\u0000"\napi_keys = ["file:\\u0000"]\n')
    assert Source(path, env={}).files() == frozenset({path})


def test_a_name_that_is_too_long_ends_no_watch(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[providers.a]\ntls_ca = "{"x" * 500}"\n')
    assert [entry for entry, _ in _marked(Source(path, env={}))] == [path]
