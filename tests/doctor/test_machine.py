"""What the doctor finds on the machine itself: ports, disk, limits, versions, clock, who may read what."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.doctor import disk, limits, ports, settings, times, versions
from llmitm.doctor.disk import Room
from llmitm.doctor.finding import Level, Notes
from llmitm.doctor.patient import Packages, Running, Told
from llmitm.errors import ConfigError
from support.clocks import HandClock
from support.patients import findings, of_level, patient


@pytest.fixture
def taken() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


async def test_a_port_that_is_free_or_not_yet_chosen_is_fine(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    examined = patient(tmp_path, f"[server]\nport = {port}\n[dashboard]\nenabled = true\nport = 0\n")
    found = await findings(ports.ports, examined)
    assert of_level(found, Level.OK) == ["a free port is taken at each start", "free"] or of_level(
        found, Level.OK
    ) == ["free", "a free port is taken at each start"]


async def test_who_holds_a_port_is_named(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    with taken:
        (found,) = await findings(ports.ports, patient(tmp_path, f"[server]\nport = {port}\n"))
    assert found.level is Level.ERROR and f"pid {os.getpid()}" in found.text
    assert found.fix == "stop it, or set [server] port to another"


@pytest.mark.parametrize("how", ["running", "own"])
async def test_a_port_that_this_gateway_listens_on_is_fine(
    tmp_path: Path, taken: socket.socket, how: str
) -> None:
    port = taken.getsockname()[1]
    running = Running(pid=os.getpid(), url=f"http://127.0.0.1:{port}") if how == "running" else None
    own = frozenset({port}) if how == "own" else frozenset()
    with taken:
        examined = patient(tmp_path, f"[server]\nport = {port}\n", running=running, own_ports=own)
        (found,) = await findings(ports.ports, examined)
    assert found.level is Level.OK, found


@pytest.mark.parametrize(
    ("host", "told"), [("192.0.2.7", "does not have the address"), ("no.such.invalid", "not known here")]
)
async def test_an_address_of_another_machine_is_an_error(tmp_path: Path, host: str, told: str) -> None:
    text = f'[server]\nport = 0\n[dashboard]\nenabled = true\nhost = "{host}"\nport = 61234\n'
    (error,) = [one for one in await findings(ports.ports, patient(tmp_path, text)) if one.level != "ok"]
    assert told in error.text and error.fix is not None and "[dashboard] host" in error.fix


@pytest.mark.parametrize(
    ("free_bytes", "free_files", "extra", "level"),
    [
        (50_000_000, None, "", Level.ERROR),
        (500_000_000, None, "", Level.WARNING),
        (50_000_000_000, 10, "", Level.ERROR),
        (50_000_000_000, 10_000, "", Level.OK),
        (50_000_000_000, None, "[ledger]\nmax_mb = 100000\n", Level.WARNING),
    ],
)
async def test_room_on_the_disk(
    tmp_path: Path, free_bytes: int, free_files: int | None, extra: str, level: Level
) -> None:
    notes = Notes("disk")
    await disk.disk(patient(tmp_path, extra), notes, lambda _: Room(free_bytes, free_files))
    assert [one.level for one in notes.found] == [level], notes.found


async def test_a_folder_that_is_not_there_is_told_with_what_goes_there(tmp_path: Path) -> None:
    found = await findings(disk.disk, patient(tmp_path, '[ledger]\nurl = "sqlite:///books/a.db"\n'))
    (error,) = [one for one in found if one.level is Level.ERROR]
    assert error.subject == str(tmp_path / "books") and "the ledger" in error.text
    assert error.fix == f"mkdir -p {tmp_path / 'books'}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir(mode=0o500)
    text = '[ledger]\nurl = "sqlite:///ledger/a.db"\n'
    found = await findings(disk.disk, patient(tmp_path, text))
    assert [one.level for one in found] == [Level.OK, Level.ERROR]


@pytest.mark.parametrize(
    ("allowed", "level"),
    [
        ((256, 4096), Level.ERROR),
        ((256, 256), Level.ERROR),
        ((1024, -1), Level.WARNING),
        ((65_536, 65_536), Level.OK),
        ((-1, -1), Level.OK),
    ],
)
async def test_how_many_files_may_be_open(tmp_path: Path, allowed: tuple[int, int], level: Level) -> None:
    notes = Notes("limits")
    await limits.limits(patient(tmp_path), notes, allowed)
    (found,) = notes.found
    assert found.level is level
    assert level is Level.OK or "LimitNOFILE" in (found.fix or "")
    assert ("ulimit" in (found.fix or "")) == (level is not Level.OK and allowed[0] != allowed[1])


@pytest.mark.parametrize(
    ("version", "conditions", "fits"),
    [
        ("3.14.5", "<4,>=3.14", True),
        ("3.9.1", ">=3.14", False),
        ("4.0.0", "<4", False),
        ("12.2.3", "<13,>=12.2.3", True),
        ("2.0", "==2.0.0", True),
        ("1.1.20251105", ">=1.1.20251105", True),
        ("3.0.0rc1", ">=3", True),
        ("1.0", "", True),
    ],
)
def test_a_version_fits_what_is_asked_for(version: str, conditions: str, fits: bool) -> None:
    assert versions.fits(version, conditions) is fits


REQUIRED = [
    "aiohttp<4,>=3.14",
    "pydantic<3,>=2.11; python_version < '3.13'",
    "pydantic<3,>=2.12.5; python_version >= '3.13'",
    "sqlalchemy[asyncio]<3,>=2.1",
    "opentelemetry-proto<2,>=1.45; extra == 'otel'",
]
GOOD = {
    "aiohttp": "3.14.5",
    "pydantic": "2.13.0",
    "sqlalchemy": "2.1.9",
    "mitmproxy": "12.2.3",
    "orjson": "3.13.0",
}


@pytest.mark.parametrize(
    ("other", "python", "wanted"),
    [
        ({}, (3, 13, 0), []),
        ({"aiohttp": None}, (3, 13, 0), [("aiohttp", "error")]),
        ({"sqlalchemy": "2.0.36"}, (3, 13, 0), [("sqlalchemy", "error")]),
        ({"pydantic": "2.11.10"}, (3, 13, 0), [("pydantic", "error")]),
        ({"pydantic": "2.11.10"}, (3, 12, 9), []),
        ({"aiohttp": "3.14.0"}, (3, 13, 0), [("aiohttp", "error")]),
        ({"brotli": "1.1.0"}, (3, 13, 0), [("brotli", "warning")]),
        ({"pyjwt": "2.10.0"}, (3, 13, 0), []),  # as there is no dashboard
        ({}, (3, 12, 1), [("python", "warning")]),
        ({}, (3, 11, 9), [("python", "error")]),
        ({}, (3, 15, 0), [("python", "warning")]),
    ],
)
async def test_packages_that_are_missing_too_old_or_known_to_be_bad(
    tmp_path: Path, other: dict[str, str | None], python: tuple[int, ...], wanted: list[tuple[str, str]]
) -> None:
    installed: dict[str, str | None] = {**GOOD, **other}
    notes = Notes("versions")
    packages = Packages(version=installed.get, required=REQUIRED)
    await versions.versions(patient(tmp_path, packages=packages), notes, python)
    assert [(one.subject, one.level) for one in notes.found if one.level is not Level.OK] == wanted


async def test_what_is_bad_only_with_a_dashboard_is_told_with_one(tmp_path: Path) -> None:
    notes = Notes("versions")
    packages = Packages(version={**GOOD, "pyjwt": "2.10.0"}.get, required=REQUIRED)
    examined = patient(tmp_path, "[dashboard]\nenabled = true\n", packages=packages)
    await versions.versions(examined, notes, (3, 13, 0))
    (found,) = [one for one in notes.found if one.level is not Level.OK]
    assert (found.subject, found.fix) == ("pyjwt", "pip install 'pyjwt>=2.12.0'")


def test_what_is_required_of_this_package_is_read() -> None:
    """The metadata of the package itself, so that a form that is not understood is noticed."""
    required = dict(versions.required(Packages.here().required, (3, 13, 0)))
    assert required["mitmproxy"] and "aiohttp" in required and "opentelemetry-proto" not in required


def told(clock: HandClock, off_s: float, late_s: float = 0.1) -> Told:
    date = formatdate(clock.now_s() + off_s, usegmt=True)
    return Told(host="api.example", date=date, at_s=clock.now_s(), late_s=late_s)


NOW_S = 1_795_000_000.0


@pytest.mark.parametrize(
    ("offs_s", "level"),
    [
        ([0.0], Level.OK),
        ([12.0], Level.OK),
        ([45.0], Level.WARNING),
        ([-400.0], Level.ERROR),
        ([0.0, 1.0, 5_000.0], Level.OK),  # one server that is wrong itself
        ([], Level.OK),
    ],
)
async def test_the_clock_is_held_against_what_servers_say(
    tmp_path: Path, offs_s: list[float], level: Level
) -> None:
    clock = HandClock(now_s=NOW_S)
    notes = Notes("clock")
    examined = patient(tmp_path, clock=clock, told=[told(clock, off) for off in offs_s])
    await times.clock(examined, notes, began=(clock.now_s(), clock.tick_s()))
    assert [one.level for one in notes.found] == [level], notes.found


async def test_an_answer_that_was_long_under_way_proves_nothing(tmp_path: Path) -> None:
    clock = HandClock(now_s=NOW_S)
    notes = Notes("clock")
    examined = patient(tmp_path, clock=clock, told=[told(clock, 40.0, late_s=60.0)])
    await times.clock(examined, notes, began=(clock.now_s(), clock.tick_s()))
    assert [one.level for one in notes.found] == [Level.OK]


@pytest.mark.parametrize(
    ("began", "level", "words"),
    [
        ((NOW_S - 5.0, 995.0), Level.OK, "nobody was asked"),
        ((NOW_S - 8.0, 995.0), Level.WARNING, "was set by +3.0 s"),
        ((NOW_S, 1_001.0), Level.ERROR, "went back"),
    ],
)
async def test_a_clock_that_is_set_or_goes_back_meanwhile(
    tmp_path: Path, began: tuple[float, float], level: Level, words: str
) -> None:
    notes = Notes("clock")
    await times.clock(patient(tmp_path, clock=HandClock(now_s=NOW_S)), notes, began=began)
    assert notes.found[0].level is level and words in notes.found[0].text


async def test_a_clock_that_was_never_set_is_an_error(tmp_path: Path) -> None:
    notes = Notes("clock")
    clock = HandClock(now_s=1_000_000.0)
    await times.clock(patient(tmp_path, clock=clock), notes, began=(clock.now_s(), clock.tick_s()))
    assert notes.found[0].level is Level.ERROR and "1970" in notes.found[0].text


@pytest.mark.parametrize(
    ("key", "mode", "level", "words"),
    [
        ("sk-written-out-0001", 0o644, Level.WARNING, "everybody here may read it"),
        ("sk-written-out-0001", 0o640, Level.OK, "its group may read it"),
        ("sk-written-out-0001", 0o600, Level.OK, "only its owner"),
        ("env:KEY", 0o644, Level.OK, "no key is written"),
    ],
)
async def test_a_file_with_keys_that_everybody_may_read(
    tmp_path: Path, key: str, mode: int, level: Level, words: str
) -> None:
    examined = patient(tmp_path, f'[providers.openai]\napi_keys = ["{key}"]\n', env={"KEY": "sk-from-env-01"})
    examined.path.chmod(mode)
    (found,) = await findings(settings.secrecy, examined)
    assert found.level is level and words in found.text
    assert found.fix == (f"chmod 600 {examined.path}" if level is Level.WARNING else None)


async def test_files_that_keys_are_read_from_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "openai.key").write_text("sk-in-a-file-0001\n")
    (tmp_path / "openai.key").chmod(0o604)
    examined = patient(tmp_path, '[providers.openai]\napi_keys = ["file:openai.key"]\n')
    (found,) = await findings(settings.secrecy, examined)
    assert (found.subject, found.level) == ("openai.key", Level.WARNING)


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("[server]\nprot = 1\n", "did you mean port", "llmitm config check"),
        ("[server\n", "line 1", "llmitm config check"),
        (None, "there is no", "llmitm init"),
        ("a folder", "cannot be read: Is a directory", "give the user of the gateway the right"),
        ('[providers.openai]\napi_keys = ["env:NOT_SET"]\n', "NOT_SET is not set", "export NOT_SET=..."),
    ],
)
async def test_every_problem_of_the_configuration_has_a_fix(
    tmp_path: Path, text: str | None, problem: str, fix: str
) -> None:
    examined = patient(tmp_path, text or "")
    if text is None or text == "a folder":
        examined.path.unlink()
        if text is not None:
            examined.path.mkdir()
        with pytest.raises(ConfigError) as refused:
            load(examined.path, env={})
        examined = replace(examined, config=None, problems=refused.value.problems)
    (found,) = await findings(settings.configuration, examined)
    assert found.level is Level.ERROR and problem in found.text and fix in (found.fix or "")


async def test_an_empty_configuration_is_told(tmp_path: Path) -> None:
    found = await findings(settings.configuration, patient(tmp_path))
    assert of_level(found, Level.WARNING) == ["nothing can be asked for: there is no endpoint"]
