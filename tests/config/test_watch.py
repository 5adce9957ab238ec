"""What counts as a change of the configuration's files, however they are replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from llmitm.config.watch import SETTLE_S, Source, changes
from llmitm.errors import ConfigError

FORWARD = '[endpoints.{name}]\ntarget_base = "https://api.example.com"\n'
ONE, TWO = FORWARD.format(name="one"), FORWARD.format(name="two")


class HandClock:
    """Time stands still but for sleeps. Before each look, and in each pause in which a change may settle,
    something happens."""

    def __init__(
        self, steps: Iterable[Callable[[], object]], settling: Iterable[Callable[[], object]]
    ) -> None:
        self.settled_s = 0.0
        self._steps = list(steps)
        self._settling = list(settling)

    def now_s(self) -> float:
        return 0.0

    tick_s = now_s

    async def sleep(self, duration_s: float) -> None:
        if duration_s == SETTLE_S:
            self.settled_s += duration_s
            if self._settling:
                self._settling.pop(0)()
        elif self._steps:
            self._steps.pop(0)()
        else:
            raise EndOfTest

    def chance(self) -> float:
        return 0.5


class EndOfTest(Exception):
    pass


async def told(
    source: Source, *steps: Callable[[], object], settling: Iterable[Callable[[], object]] = ()
) -> list[str]:
    """Names of the endpoints each time that a change was told; the problem where it cannot be used."""
    return (await told_when(source, *steps, settling=settling))[0]


async def told_when(
    source: Source, *steps: Callable[[], object], settling: Iterable[Callable[[], object]] = ()
) -> tuple[list[str], float]:
    """The same, and how long changes took to settle, in seconds."""
    found = []
    clock = HandClock(steps, settling)
    try:
        async for _ in changes(source, clock):
            try:
                found.append(",".join(source.read().endpoints))
            except ConfigError as error:
                found.append(str(error.problems[0].message))
    except EndOfTest:
        pass
    return found, clock.settled_s


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


@pytest.mark.parametrize("broken", ["[", "a = " + "[" * 100_000])
async def test_a_broken_file_is_told_once(path: Path, source: Source, broken: str) -> None:
    found = await told(
        source, lambda: path.write_text(broken), lambda: path.touch(), lambda: path.write_text(TWO)
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
    pieces = (lambda: path.write_text(ONE + TWO[:20]), lambda: path.write_text(ONE + TWO))
    found, settled_s = await told_when(source, lambda: path.write_text(ONE + "["), settling=pieces)
    assert found == ["one,two"]
    assert settled_s == pytest.approx(3 * SETTLE_S)


async def test_what_changes_and_changes_back_is_no_change(path: Path, source: Source) -> None:
    assert await told(source, lambda: path.write_text(TWO), settling=[lambda: path.write_text(ONE)]) == []


async def test_what_was_read_by_hand_is_not_told_again(path: Path, source: Source) -> None:
    def by_hand() -> None:
        path.write_text(TWO)
        source.read()

    assert await told(source, by_hand) == []


async def test_a_change_between_reading_and_watching_is_found(path: Path, source: Source) -> None:
    replace(path, TWO)
    assert await told(source, lambda: None) == ["two"]


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


async def test_modules_of_functions_count_as_far_as_they_are_named(tmp_path: Path) -> None:
    path, rules = tmp_path / "config.toml", tmp_path / "rules.py"
    rules.write_text("def on_request(request): ...\n")
    path.write_text(ONE + '[hooks]\nmodules = ["rules.py"]\n')
    source = Source(path, env={})
    source.read()
    assert rules in source.files()
    found = await told(
        source,
        lambda: rules.write_text("def on_request(:\n"),
        lambda: rules.write_text("def on_delta(delta): ...\n"),
        lambda: (tmp_path / "other.py").touch(),
    )
    assert "rules.py, line 1" in found[0]
    assert found[1:] == ["one"]


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


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError):
        Source(tmp_path / "a", env={}).read()


async def test_a_folder_that_is_made_later_is_looked_into(tmp_path: Path, path: Path, source: Source) -> None:
    found = await told(
        source,
        lambda: path.write_text(ONE + 'proxy_url = "file:secrets/proxy"\n'),
        lambda: (tmp_path / "secrets").mkdir(),
        lambda: (tmp_path / "secrets" / "proxy").write_text("http://one:1"),
    )
    assert "cannot be read" in found[0]
    assert found[1:] == ["one"]


def test_a_name_that_no_file_can_have_ends_no_watch(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[providers.a]\nformat = "openai"\ntls_ca = "\\u0000"\napi_keys = ["file:\\u0000"]\n')
    assert Source(path, env={}).files() == frozenset({path})


def test_a_name_that_is_too_long_ends_no_watch(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[providers.a]\ntls_ca = "{"x" * 500}"\n')
    source = Source(path, env={})
    assert source.files() == frozenset({path, tmp_path / ("x" * 500)})
    assert source.digest() == source.digest()
