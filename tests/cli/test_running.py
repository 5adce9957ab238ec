"""`llmitm run`, `status`, `reload` and `stop` as an operator uses them: real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llmitm.cli.pidfile import look, places
from llmitm.cli.running import duration
from support import forked
from support.backstage import Backstage
from support.gateway import BIN

CONFIG = '[server]\nport = 0\n[endpoints.dev]\ntarget_base = "{url}"\n'


class Shell:
    """A folder with a configuration, and commands run in it. What still runs at the end is stopped."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.is_warm = True
        """Otherwise what runs in the background is started anew, not forked."""
        self.config = folder / "config.toml"
        self.config.write_text(config)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}

    def __call__(self, *words: str, status: int = 0) -> str:
        """What a command printed, on both streams. Fails where its exit status is another."""
        if self.is_warm:
            command = [str(forked.programs() / "llmitm"), *words]
            ran = subprocess.run(
                command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60
            )
        else:
            ran = forked.run(words, cwd=self.folder, env=self.env)
        said = ran.stdout + ran.stderr
        assert ran.returncode == status, said
        assert "Traceback" not in said
        return said

    def pid_file(self) -> Path:
        return places(self.config, self.env)[0]

    def start(self) -> tuple[int, str]:
        """Pid and address."""
        found = re.search(r"runs, pid (\d+), at (http://127\.0\.0\.1:\d+)", self("run", "--daemon"))
        running = look(self.pid_file())
        assert found is not None and running is not None
        assert self.is_warm or running.facts.pid == int(found[1])
        return running.facts.pid, found[2]

    def close(self) -> None:
        running = look(self.pid_file())
        if running is not None:
            running.signal(signal.SIGKILL)
            running.wait(10)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, CONFIG.format(url="http://127.0.0.1:1"))
    yield shell
    shell.close()


@pytest.fixture
def installed(shell: Shell) -> Shell:
    shell.is_warm = False
    return shell


def answers(url: str) -> int:
    return httpx.get(f"{url}/health", trust_env=False).status_code


def is_of_no_session_and_of_no_parent(pid: int, folder: Path) -> None:
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {str(folder / "llmitm.log")}
    assert os.readlink(f"/proc/{pid}/cwd") == str(folder)


def test_a_day_of_a_daemon(installed: Shell) -> None:
    shell = installed
    assert "not running" in shell("status", status=3)
    assert "not running" in shell("stop", status=3)
    assert "not running" in shell("reload", status=3)
    pid, url = shell.start()
    assert answers(url) == 200
    is_of_no_session_and_of_no_parent(pid, shell.folder)
    said = shell("status")
    assert f"pid {pid}" in said and url in said and "answers    ok" in said

    # a second start, in either way, says so and harms nothing
    for words in (("run", "--daemon"), ("run",)):
        assert f"runs already, pid {pid}" in shell(*words, status=1)
    assert f"pid {pid}" in shell("status")
    assert answers(url) == 200

    shell.config.write_text(shell.config.read_text().replace("dev", "prod"))
    assert "read anew" in shell("reload")
    shell.config.write_text("[server]\nprot = 1\n")
    said = shell("reload", status=2)
    assert "server.prot: unknown key" in said and "in force" in said
    assert "server.prot: unknown key" in shell("status")

    assert "stopped after" in shell("stop")
    assert not shell.pid_file().exists()
    assert "not running" in shell("status", status=3)
    with pytest.raises(httpx.ConnectError):
        answers(url)
    assert "endpoints.prod (new)" in (shell.folder / "llmitm.log").read_text()


def test_a_broken_configuration_starts_nothing(shell: Shell) -> None:
    shell.config.write_text('[server]\nprot = 1\n[endpoints.v1]\ntarget_base = "x"\n')
    for words in (("run", "--daemon"), ("run",)):
        said = shell(*words, status=2)
        assert "server.prot: unknown key" in said and "endpoints" in said
    assert sorted(path.name for path in shell.folder.iterdir()) == ["config.toml"]


def test_what_goes_wrong_in_the_background_is_told_in_the_foreground(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        shell.config.write_text(shell.config.read_text().replace("port = 0", f"port = {port}"))
        said = shell("run", "--daemon", status=1)
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in said
    assert not shell.pid_file().exists()
    assert "not running" in shell("status", status=3)


@pytest.mark.parametrize("option", ["--pid-file", "--log-file"])
def test_a_place_that_cannot_be_used_is_named_with_the_way_out(shell: Shell, option: str) -> None:
    place = shell.folder / "absent" / "file"
    said = shell("run", "--daemon", option, str(place), status=1)
    assert f"{place} cannot be" in said and f"{option} names another" in said
    assert "not running" in shell("status", status=3)


def test_options_are_handed_on(shell: Shell, tmp_path: Path) -> None:
    pid_file, log = tmp_path / "mine.pid", tmp_path / "mine.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ("--pid-file", str(pid_file), "--log-file", str(log), "--port", str(port))
    assert f":{port}, log {log}" in shell("run", "-d", *options)
    try:
        assert int(pid_file.read_text().split("\n")[0])
        assert "not running" in shell("status", status=3)
        assert f":{port}" in shell("status", "--pid-file", str(pid_file))
    finally:
        shell("stop", "--pid-file", str(pid_file))
    assert "listening on" in log.read_text()


def test_it_is_found_by_its_configuration_alone(shell: Shell) -> None:
    pid, _ = shell.start()

    # a login has a runtime folder, a cron job has none
    shell.env["XDG_RUNTIME_DIR"] = str(shell.folder / "run")
    (shell.folder / "run").mkdir()
    assert f"pid {pid}" in shell("status")
    assert f"runs already, pid {pid}" in shell("run", "-d", status=1)
    del shell.env["XDG_RUNTIME_DIR"]

    # another configuration runs beside it
    other = shell.folder / "other.toml"
    other.write_text(shell.config.read_text())
    said = shell("--config", str(other), "run", "--daemon", "--log-file", "other.log")
    try:
        assert str(pid) not in said
        assert f"pid {pid}" in shell("status")
    finally:
        shell("stop", "--config", str(other))
    assert f"pid {pid}" in shell("status")

    # after a kill it starts again
    running = look(shell.pid_file())
    assert running is not None
    running.signal(signal.SIGKILL)
    assert running.wait(10)
    assert shell.pid_file().exists()
    assert "not running" in shell("status", status=3)
    again, url = shell.start()
    assert again != pid
    assert answers(url) == 200


def test_stop_waits_for_what_is_under_way_and_says_when_it_is_too_long(tmp_path: Path) -> None:
    with Backstage() as provider:
        shell = Shell(tmp_path, CONFIG.format(url=provider.url))
        try:
            pid, url = shell.start()
            with httpx.stream(
                "GET", f"{url}/dev/sse?n=100&interval_ms=50", trust_env=False, timeout=10
            ) as answer:
                pieces = answer.iter_raw()
                body = next(pieces)
                said = shell("stop", "--timeout", "0.2", status=1)
                assert f"pid {pid} still runs after 0.2 s" in said
                assert "answers    " in shell("status")
                body += b"".join(pieces)
            assert body.count(b"\n\n") >= 100
            running = look(shell.pid_file())
            assert running is None or running.wait(10)
        finally:
            shell.close()


def test_in_the_foreground_it_keeps_a_pid_file_too(shell: Shell) -> None:
    process = subprocess.Popen(
        [str(BIN / "llmitm"), "run"],
        cwd=shell.folder,
        env=shell.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "listening on" in line:
            break
    assert f"pid {process.pid}" in shell("status")
    assert "stopped after" in shell("stop")
    assert process.wait(10) == 0
    process.stdout.close()
    assert not shell.pid_file().exists()


def test_looking_for_a_gateway_reads_no_configuration() -> None:
    """Its schema takes as long to load as all else."""
    heavy = "{'pydantic', 'cryptography', 'httpx', 'llmitm.config.schema'}"
    code = f"import sys, llmitm.cli.running; sys.exit(str({heavy} & set(sys.modules) or ''))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr.strip() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_told_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
