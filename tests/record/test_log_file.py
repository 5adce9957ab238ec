"""The log as a file: nothing is lost at a rotation, whoever rotates it."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import pytest

from llmitm.record.log_file import LogFile, Rotation

DAY_S = 86_400.0
NOON_S = 1_790_000_000.0 - 1_790_000_000.0 % DAY_S + DAY_S / 2


class Times:
    at_s = NOON_S

    def __call__(self) -> float:
        return self.at_s


def say(handler: LogFile, *lines: str) -> None:
    for line in lines:
        handler.handle(logging.LogRecord("llmitm", logging.INFO, "", 0, line, None, None))


def held(path: Path) -> dict[str, list[str]]:
    """Lines by file, the newest file first."""
    names = sorted(one.name for one in path.parent.iterdir() if one.name.startswith(path.name))
    return {name.removeprefix(path.name): path.with_name(name).read_text().split() for name in names}


@pytest.mark.parametrize(
    ("text", "size_bytes", "is_periodic"),
    [
        ("daily", None, True),
        ("100 MB", 10**8, False),
        ("weekly,5kB", 5_000, True),
        ("1 GB, hourly", 10**9, True),
    ],
)
def test_what_may_be_said(text: str, size_bytes: int | None, is_periodic: bool) -> None:
    rotation = Rotation.of(text)
    assert (rotation.size_bytes, rotation.period is not None) == (size_bytes, is_periodic)


@pytest.mark.parametrize("text", ["", "sometimes", "10", "0 MB", "daily, weekly", "1 MB, 2 MB", "daily,"])
def test_what_may_not(text: str) -> None:
    with pytest.raises(ValueError, match="are expected"):
        Rotation.of(text)


def test_by_size(tmp_path: Path) -> None:
    path = tmp_path / "llmitm.log"
    handler = LogFile(path, Rotation(size_bytes=12), keep=2)
    say(handler, "one", "two", "three", "a-very-long-line", "four", "five")
    assert held(path) == {"": ["four", "five"], ".1": ["a-very-long-line"], ".2": ["three"]}
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
    handler.close()


def test_by_day_and_not_when_the_clock_is_set_back(tmp_path: Path) -> None:
    path, times = tmp_path / "llmitm.log", Times()
    handler = LogFile(path, Rotation.of("daily"), now_s=times)
    for step_s, line in ((0, "a"), (60, "b"), (DAY_S, "c"), (-2 * DAY_S, "d"), (0, "e"), (3 * DAY_S, "f")):
        times.at_s += step_s
        say(handler, line)
    assert held(path) == {"": ["f"], ".1": ["c", "d", "e"], ".2": ["a", "b"]}
    handler.close()
    os.utime(path, (NOON_S, NOON_S))  # begun anew after a while
    times.at_s = NOON_S + 9 * DAY_S
    again = LogFile(path, Rotation.of("daily"), now_s=times)
    say(again, "g")
    assert held(path)[""] == ["g"] and held(path)[".1"] == ["f"]
    again.close()


@pytest.mark.parametrize("is_copied", [False, True])
def test_others_may_rotate_it(tmp_path: Path, is_copied: bool) -> None:
    path = tmp_path / "llmitm.log"
    handler = LogFile(path)
    say(handler, "a")
    moved = tmp_path / "llmitm.log-old"
    if is_copied:
        moved.write_bytes(path.read_bytes())
        os.truncate(path, 0)
    else:
        path.rename(moved)
    say(handler, "b")
    assert held(path) == {"": ["b"], "-old": ["a"]}
    handler.close()


def test_two_who_write_one_file_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "llmitm.log"
    pair = [LogFile(path, Rotation(size_bytes=100), keep=100) for _ in range(2)]
    for number in range(200):
        say(pair[number * 7 // 5 % 2], f"{number}")
    lines = [line for one in held(path).values() for line in one]
    assert sorted(map(int, lines)) == list(range(200))
    assert all(one.stat().st_size <= 100 for one in tmp_path.iterdir())
    for handler in pair:
        handler.close()


def test_a_full_disk_is_told_once_and_the_lines_that_it_took_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, room = tmp_path / "llmitm.log", [3]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        took = os.write(file, data[: room[0]])
        room[0] -= took
        return took

    handler = LogFile(path, write=write)
    say(handler, "long-line", "b", "c")
    room[0] = 10_000
    say(handler, "d", "e")
    lost = '{"event":"3 lines of this log were lost: it could not be written"}'
    assert path.read_text() == f"lon\n{lost}\nd\ne\n"
    assert capsys.readouterr().err == f"llmitm: the log {path} cannot be written: No space left on device\n"
    handler.close()


def test_a_folder_that_is_gone_or_locked_up_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    handler = LogFile(folder / "llmitm.log")
    say(handler, "a", "b")
    assert capsys.readouterr().err.count("No such file") == 1
    folder.mkdir()
    say(handler, "c")
    assert (folder / "llmitm.log").read_text().endswith("\nc\n")
    handler.close()
