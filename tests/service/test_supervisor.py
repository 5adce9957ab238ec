"""What a service manager is told, read from a socket of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from llmitm.service.supervisor import Supervisor
from support.clocks import HandClock
from support.gateway import Gateway

CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[hooks]
modules = ["hooks.py"]
[providers.openai]
base_url = "http://127.0.0.1:1/v1"
api_keys = ["sk-first-provider-key"]
"""
HANGING = """
from pathlib import Path
from llmitm.hooks import Refuse

def on_request(request):
    Path("hangs").write_text("")  # pipes: both wait for who is at the other end
    Path("goes-on").read_text()
    raise Refuse(403, "done")
"""


class Manager:
    """A service manager: what it is told, a datagram a dictionary."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def told(self, timeout_s: float = 30) -> dict[str, str]:
        """Raises TimeoutError."""
        self._socket.settimeout(timeout_s)
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def waits_for(self, name: str) -> dict[str, str]:
        while name not in (told := self.told()):
            pass
        return told

    def forget(self) -> None:
        """What was told before."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(4096):
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.mark.parametrize(
    ("env", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_the_one_that_looks_at_this_process(
    env: dict[str, str], watchdog_s: float | None
) -> None:
    found = Supervisor.of({"NOTIFY_SOCKET": "/nowhere/notify", **env})
    assert found is not None
    found.close()
    assert found.watchdog_s == watchdog_s


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_nobody_is_told_who_did_not_ask(env: dict[str, str]) -> None:
    assert Supervisor.of(env) is None


def test_a_service_manager_that_is_gone_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="llmitm")
    found = Supervisor("/nowhere/notify", None)
    found.ready("http://127.0.0.1:1")
    found.go_on()
    found.close()
    assert len(caplog.records) == 1  # said once, not with every word


def test_a_configuration_that_is_refused_is_told_in_one_line(manager: Manager) -> None:
    found = Supervisor(str(manager.path), None)
    found.ready("http://127.0.0.1:1")
    manager.told()
    found.reloading()
    assert set(manager.told()) == {"RELOADING", "MONOTONIC_USEC"}
    found.reloaded(("server.port: must be a number\nREADY=0",))
    found.go_on()
    told = manager.told()
    found.close()
    assert told["READY"] == "1"
    assert "not in force: server.port: must be a number READY=0" in told["STATUS"]


def test_a_name_without_a_path_is_reached_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0llmitm-test-{os.getpid()}")
        found = Supervisor(f"@llmitm-test-{os.getpid()}", None)
        found.stopping(42.5)
        found.close()
        assert b"EXTEND_TIMEOUT_USEC=42500000" in heard.recv(4096).splitlines()


async def test_it_beats_three_times_within_the_time_that_it_is_given(manager: Manager) -> None:
    slept_s: list[float] = []

    class Clock(HandClock):
        async def sleep(self, duration_s: float) -> None:
            slept_s.append(duration_s)
            if len(slept_s) == 4:
                raise asyncio.CancelledError

    found = Supervisor(str(manager.path), 30.0)
    with pytest.raises(asyncio.CancelledError):
        await found.beat(Clock())
    found.close()
    assert slept_s == [10.0] * 4
    assert [manager.told() for _ in slept_s] == [{"WATCHDOG": "1"}] * 4


def test_a_gateway_tells_its_service_manager_all_its_life(tmp_path: Path, manager: Manager) -> None:
    """Ready, reloaded, alive, hung in a function of a user's, alive again, stopping."""
    (tmp_path / "hooks.py").write_text(HANGING)
    for pipe in ("hangs", "goes-on"):
        os.mkfifo(tmp_path / pipe)
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "150000"}
    with Gateway(CONFIG, tmp_path, host="serve", env=env) as running, ThreadPoolExecutor(1) as other:
        assert manager.waits_for("READY")["STATUS"] == f"listening on {running.url}"
        running.process.send_signal(signal.SIGHUP)
        manager.waits_for("RELOADING")
        assert "not in force" not in manager.waits_for("READY")["STATUS"]
        (tmp_path / "config.toml").write_text("[server")
        assert "not in force" in manager.waits_for("READY")["STATUS"]
        manager.waits_for("WATCHDOG")

        body = {"model": "gpt-demo", "messages": [{"role": "user", "content": "hello"}]}
        asked = other.submit(httpx.post, f"{running.url}/all/v1/chat/completions", json=body)
        (tmp_path / "hangs").read_text()
        manager.forget()
        with pytest.raises(TimeoutError):
            manager.told(timeout_s=0.5)
        (tmp_path / "goes-on").write_text("")
        assert asked.result(30).status_code == 403
        manager.waits_for("WATCHDOG")

        running.process.send_signal(signal.SIGTERM)
        assert int(manager.waits_for("STOPPING")["EXTEND_TIMEOUT_USEC"]) > 30_000_000
