"""From one version to the next and back: real wheels, a real pip, an index of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmitm.clock import SystemClock
from llmitm.service.probe import Answer, ask_by_config
from llmitm.update.change import Failed, Machine, Ran, change
from llmitm.update.installed import Command, How, Installed, find, how_installed, newest, with_token
from llmitm.update.snapshot import Snapshot
from support.clocks import HandClock
from support.package_proof import Installed as Environment

MODULE = """
import sys
from pathlib import Path

VERSION = "{version}"
match sys.argv[1:]:
    case ["--version"]:
        print("llmitm", VERSION)
    case ["restart"]:
        {restart}
"""
SERVES = 'Path(__file__).parents[1].with_name("serving").write_text(VERSION)'
ENDS = 'raise SystemExit("this one does not run")'


class Place:
    """An environment with a pip, an index of its own, and a small llmitm in both."""

    def __init__(self, folder: Path) -> None:
        self.index = folder / "index"
        self.index.mkdir()
        self.folder = folder / "venv"
        self.python = Environment.beside_ours(self.offer("1.0.0", SERVES), self.folder).python
        self.site = next((self.folder / "lib").glob("python*/site-packages"))
        self.serving = self.site.with_name("serving")
        self.env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PATH": "/usr/bin:/bin"}

    def offer(self, version: str, restart: str) -> Path:
        """A wheel of that version, in which `restart` is what its restart does."""
        return wheel(self.index, version, MODULE.format(version=version, restart=restart))

    @property
    def version(self) -> str:
        return self.run((str(self.python), "-P", "-m", "llmitm", "--version")).said.split()[1]

    def run(self, command: Command) -> Ran:
        ran = subprocess.run(
            command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Ran(ran.returncode, ran.stdout)

    def update(self) -> str | None:
        """As `llmitm update` does, and to which version."""
        now = Installed(how=How.PIP, version=self.version, place=self.site, python=str(self.python))
        version = newest(now.how, self.run(now.asks()).said)
        if version is not None:
            machine = Machine(
                run=self.run,
                restarts=((str(self.python), "-P", "-m", "llmitm", "restart"),),
                served=(),
                checked=(),
                ask=ask_by_config,
                clock=SystemClock(),
                say=lambda text: None,
            )
            asyncio.run(change(now, version, machine, Snapshot(self.site)))
        return version


def wheel(folder: Path, version: str, module: str) -> Path:
    info = f"llmitm-{version}.dist-info"
    files = {
        "llmitm/__init__.py": "",
        "llmitm/__main__.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: llmitm\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/INSTALLER": "pip\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    made = folder / f"llmitm-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as packing:
        for name, text in files.items():
            packing.writestr(name, text)
    return made


def test_pip_brings_the_newest_version_and_one_that_does_not_run_is_undone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.update() is None
    place.offer("1.1.0", SERVES)
    assert place.update() == place.version == place.serving.read_text() == "1.1.0"
    place.offer("1.2.0", ENDS)
    with pytest.raises(Failed, match=r"(?s)this one does not run.*1\.1\.0 is in place again"):
        place.update()
    assert place.version == place.serving.read_text() == "1.1.0"
    assert sorted(path.name for path in place.site.parent.iterdir()) == ["serving", "site-packages"]


class Fake:
    """An installer and a service manager, with what they were told. `place` holds the version's name."""

    def __init__(self, place: Path, failing: str = "", serving: str | None = None) -> None:
        place.mkdir()
        self.file = place / "version"
        self.file.write_text("1.0.0")
        self.ran: list[str] = []
        self.said: list[str] = []
        self._failing = failing
        self._serving = serving
        self.running = "1.0.0"
        self.installed = Installed(how=How.PIP, version="1.0.0", place=place, python="python")
        self.machine = Machine(
            run=self._run,
            restarts=(("restart", "it"),),
            served=(place / "config.toml",),
            checked=(place / "config.toml",),
            ask=self._ask,
            clock=_Clock(),
            say=self.said.append,
        )

    def _run(self, command: Command) -> Ran:
        self.ran.append(" ".join(command))
        if "install" in command:
            self.file.unlink()
            self.file.write_text("2.0.0")
        if command[0] == "restart":
            self.running = self.file.read_text()
        if self._failing and self._failing in self.ran[-1] and self.file.read_text() == "2.0.0":
            return Ran(1, "it would not")
        return Ran(0, "llmitm 2.0.0\n" if "--version" in command else "")

    def _ask(self, config: Path) -> Answer:
        return Answer(problem=None, version=self._serving or self.running)

    def update(self) -> None:
        place = self.file.parent
        asyncio.run(change(self.installed, "2.0.0", self.machine, Snapshot(place)))


class _Clock(HandClock):
    async def sleep(self, duration_s: float) -> None:
        self.at_s += duration_s


def test_a_change_verifies_restarts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    fake = Fake(tmp_path / "site")
    fake.update()
    assert [line.split()[-1] for line in fake.ran] == [
        "llmitm==2.0.0",
        "--version",
        str(tmp_path / "site" / "config.toml"),
        "it",
    ]
    assert fake.running == "2.0.0"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize(
    ("failing", "restarts"), [("install", 0), ("--version", 0), ("config check", 0), ("restart", 2)]
)
def test_where_a_step_fails_the_version_before_is_there_again(
    tmp_path: Path, failing: str, restarts: int
) -> None:
    fake = Fake(tmp_path / "site", failing)
    with pytest.raises(Failed, match=r"(?s)it would not.*1\.0\.0 is in place again"):
        fake.update()
    assert fake.file.read_text() == fake.running == "1.0.0"
    assert fake.ran.count("restart it") == restarts
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_service_that_is_not_ready_with_the_new_version_is_none(tmp_path: Path) -> None:
    fake = Fake(tmp_path / "site", serving="1.0.0")
    with pytest.raises(Failed, match="not ready with 2.0.0 within 60 s: it answers as 1.0.0"):
        fake.update()
    assert fake.file.read_text() == "1.0.0"


def test_where_there_is_no_way_back_nothing_is_begun(tmp_path: Path) -> None:
    fake = Fake(tmp_path / "site")
    snapshot = Snapshot(tmp_path / "absent")
    with pytest.raises(Failed, match="as who installed it"):
        asyncio.run(change(fake.installed, "2.0.0", fake.machine, snapshot))
    assert fake.ran == [] and fake.file.read_text() == "1.0.0"


PIP_NEWER = {"install": [{"metadata": {"name": "LLMITM", "version": "0.2.0"}}]}


@pytest.mark.parametrize(
    ("how", "said", "version"),
    [
        (How.PIP, json.dumps(PIP_NEWER), "0.2.0"),
        (How.PIPX, f"WARNING: an old one\n{json.dumps(PIP_NEWER)}\nWARNING: again", "0.2.0"),
        (How.PIP, '{"install": []}', None),
        (
            How.UV,
            "Resolved 1 package in 2ms\nWould install 1 package\n - llmitm==0.1.0\n + llmitm==0.2.0\n",
            "0.2.0",
        ),
        (How.UV_TOOL, "Resolved 1 package in 2ms\nWould make no changes\n", None),
        (How.UV, "Audited 1 package in 3ms\n", None),
    ],
)
def test_the_newest_version_is_what_the_installer_would_install(
    how: How, said: str, version: str | None
) -> None:
    assert newest(how, said) == version


@pytest.mark.parametrize("how", [How.PIP, How.UV])
@pytest.mark.parametrize("said", ["", "error: no such option", "{"])
def test_an_installer_that_does_not_know_is_not_believed(how: How, said: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        newest(how, said)


@pytest.mark.parametrize(
    ("installer", "marker", "how"),
    [
        ("pip", None, How.PIP),
        ("uv", None, How.UV),
        ("uv", "uv-receipt.toml", How.UV_TOOL),
        ("pip", "pipx_metadata.json", How.PIPX),
        ("uv", "pipx_metadata.json", How.PIPX),
        ("conda", None, How.SYSTEM),
        ("", None, How.SYSTEM),
    ],
)
def test_who_installed_it(tmp_path: Path, installer: str, marker: str | None, how: How) -> None:
    if marker is not None:
        (tmp_path / marker).touch()
    assert how_installed(tmp_path, installer) == how


def test_a_container_and_a_clone_are_told_what_to_do_and_not_changed() -> None:
    container = find({"LLMITM_INSTALLED_AS": "container"})
    assert container.how is How.CONTAINER and "image" in container.advice()
    assert not container.can_change
    here = find({})
    assert here.how is How.EDITABLE and "git pull" in here.advice()


@pytest.mark.parametrize(
    ("how", "name", "others"),
    [
        (How.PIP, "PIP_INDEX_URL", {"UV_INDEX_URL": "http://other"}),
        (How.UV_TOOL, "UV_DEFAULT_INDEX", {"UV_INDEX_URL": "http://other"}),
        (How.UV, "UV_INDEX_URL", {}),
    ],
)
def test_a_token_is_shown_to_the_index_alone(how: How, name: str, others: Mapping[str, str]) -> None:
    env = {name: "http://old@127.0.0.1:8080/simple/", **others}
    given = with_token(how, env, "s3cret")
    assert given == {**env, name: "http://__token__:s3cret@127.0.0.1:8080/simple/"}


def test_a_token_without_an_index_of_ones_own_is_refused() -> None:
    with pytest.raises(LookupError, match="PIP_INDEX_URL"):
        with_token(How.PIP, {}, "s3cret")


def test_a_snapshot_holds_what_was_there_whatever_is_done_since(tmp_path: Path) -> None:
    place = tmp_path / "site"
    (place / "package").mkdir(parents=True)
    for name in ("kept", "changed", "removed"):
        (place / "package" / name).write_text("before")
    os.symlink("kept", place / "package" / "link")
    snapshot = Snapshot(place)
    snapshot.take()
    for name in ("changed", "removed"):
        (place / "package" / name).unlink()
    (place / "package" / "changed").write_text("after")
    (place / "package" / "added").write_text("after")
    snapshot.restore()
    found = {path.name: path.read_text() for path in (place / "package").iterdir()}
    assert found == dict.fromkeys(("kept", "changed", "removed", "link"), "before")
    assert list(tmp_path.iterdir()) == [place]
