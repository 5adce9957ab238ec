"""One gateway a configuration, and never another process taken for it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmitm.cli.pidfile import PidFile, Strange, Taken, look, places

HOLD = """
import sys
from pathlib import Path
from llmitm.cli.pidfile import PidFile
held = PidFile.claim(Path(sys.argv[1]))
held.hold(Path("/etc/config.toml"))
held.listening("http://127.0.0.1:1")
print("held", flush=True)
word = sys.stdin.readline()
if word == "release\\n":
    held.release()
"""

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Holder:
    """Another process that holds the file."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            env=ENV,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def end(self, word: str = "release") -> None:
        self.process.communicate(f"{word}\n", timeout=10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "llmitm.pid"


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    holder = Holder(path)
    yield holder
    holder.process.kill()
    holder.process.communicate()


def test_what_runs_is_found(path: Path, holder: Holder) -> None:
    running = look(path)
    assert running is not None
    assert running.facts.pid == holder.process.pid == int(path.read_text().split("\n")[0])
    assert (running.facts.url, running.facts.config) == ("http://127.0.0.1:1", "/etc/config.toml")


def test_a_second_claim_fails_and_harms_nothing(path: Path, holder: Holder) -> None:
    before = path.read_bytes()
    with pytest.raises(Taken) as caught:
        PidFile.claim(path)
    assert caught.value.pid == holder.process.pid
    assert path.read_bytes() == before
    assert look(path) is not None


def test_a_clean_end_removes_the_file_and_another_does_not(path: Path, holder: Holder) -> None:
    holder.process.kill()
    holder.process.wait()
    assert path.exists()
    assert look(path) is None
    fresh = PidFile.claim(path)
    assert path.read_text() == ""
    fresh.release()
    assert not path.exists()


def test_the_owner_removes_it(path: Path, holder: Holder) -> None:
    holder.end()
    assert not path.exists()


def test_only_the_file_that_is_held_is_removed(path: Path) -> None:
    held = PidFile.claim(path)
    path.unlink()
    path.write_text("another's")
    held.release()
    assert path.read_text() == "another's"


def test_a_copy_of_the_owner_removes_nothing(path: Path) -> None:
    script = (
        HOLD.partition("print")[0] + "import os\nif os.fork() == 0:\n    held.release()\nelse:\n    os.wait()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], env=ENV, check=True, timeout=10)
    assert path.exists()
    assert look(path) is None


def test_whoever_only_looks_does_not_keep_a_start_away(path: Path) -> None:
    path.write_text("")
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(Taken) as caught:
            PidFile.claim(path)
        assert caught.value.pid is None
    PidFile.claim(path).release()


def test_a_stale_file_is_not_believed(path: Path) -> None:
    """Its pid may be another process by now: nothing but the lock counts."""
    path.write_text(f'{os.getpid()}\n{{"pid": {os.getpid()}}}\n')
    assert look(path) is None


def test_a_holder_that_has_not_said_who_it_is(path: Path) -> None:
    held = PidFile.claim(path)
    with pytest.raises(Taken) as caught:
        look(path)
    assert caught.value.pid is None
    held.release()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    path.symlink_to(target)
    with pytest.raises(OSError):
        PidFile.claim(path)
    assert target.read_text() == "kept"


def test_the_process_is_signalled_and_waited_for(path: Path, holder: Holder) -> None:
    running = look(path)
    assert running is not None
    assert not running.wait(0.01)
    running.signal(signal.SIGTERM)
    assert running.wait(10)
    assert holder.process.wait(10) == -signal.SIGTERM
    with pytest.raises((ProcessLookupError, Strange)):
        running.signal(signal.SIGTERM)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc: births of processes are unknown")
@pytest.mark.parametrize("birth", ["1", None])
def test_a_process_that_began_at_another_time_is_left_alone(
    path: Path, holder: Holder, birth: str | None
) -> None:
    running = look(path)
    assert running is not None
    running.facts = replace(running.facts, birth=birth)
    with pytest.raises(Strange):
        running.signal(signal.SIGKILL)
    assert holder.process.poll() is None


def test_readings_of_the_configuration_are_waited_for(path: Path) -> None:
    held = PidFile.claim(path)
    held.hold(Path("config.toml"))
    running = look(path)
    assert running is not None
    assert running.wait_read(0.01) is None
    held.reloaded(("server.prot: unknown key",))
    after = running.wait_read(5)
    assert after is not None and after.problems == ("server.prot: unknown key",)
    held.reloaded(())
    found = look(path)
    assert found is not None and (found.facts.reads, found.facts.problems) == (2, ())
    assert json.loads(path.read_text().split("\n")[1])["reads"] == 2
    held.release()


def test_each_configuration_has_a_place_of_its_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    (tmp_path / "run").mkdir()
    first, beside = places(one, env)
    assert first.parent == tmp_path / "run"
    assert beside == tmp_path / first.name
    assert places(two, env)[0] != first
    assert places(tmp_path / "." / "one.toml", {}) == (beside,)
    assert places(one, {"XDG_RUNTIME_DIR": str(tmp_path / "absent")}) == (beside,)
    assert places(one, {"XDG_RUNTIME_DIR": "relative"}) == (beside,)
