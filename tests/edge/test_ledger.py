"""The ledger of a running gateway: nothing that a client saw the end of is missing in it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from support import forked
from support.backstage import Backstage
from support.gateway import Gateway
from support.postgres_server import BINARY, NO_BINARY, PASSWORD, PostgresServer

CONFIG = """
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.dev]
target_base = "{url}"
[providers.main]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-of-the-provider"]
[model_prices]
"gpt-*" = {{input = 1.0, output = 10.0}}
[ledger]
{ledger}
"""
CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


def config_of(upstream: Backstage, ledger: str = "") -> str:
    return CONFIG.format(url=upstream.url, ledger=ledger)


def ask(gateway: Gateway, count: int, *, at_once: int = 8) -> list[int]:
    """Sends so many requests, and returns the numbers of those that were answered to the end."""
    answered: list[int] = []
    with httpx.Client(base_url=gateway.url, timeout=20) as client:

        def one(number: int) -> None:
            body = {**CHAT, "stream": number % 2 == 0}
            try:
                answer = client.post("/all/v1/chat/completions", json=body)
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                answered.append(number)

        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(one, range(count)))
    return answered


def logs(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What `llmitm logs` prints."""
    asked = run(folder, "logs", "--json", "-n", "100000", *options)
    return [orjson.loads(line) for line in asked.stdout.splitlines()]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    return forked.run([*words, "-c", str(folder / "config.toml")], cwd=folder, env=env)


@pytest.mark.parametrize("host", ["serve", "mitmdump"])
def test_everything_is_there_after_sigterm(upstream: Backstage, tmp_path: Path, host: str) -> None:
    with Gateway(config_of(upstream, "flush_ms = 60000"), tmp_path, host=host) as gateway:
        assert len(ask(gateway, 40)) == 40
        began_s = time.monotonic()
        assert gateway.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 5
    lines = logs(tmp_path, "--attempts")
    assert len(lines) == 40
    assert {(line["status"], line["outcome"], len(line["attempt_list"])) for line in lines} == {
        (200, "ok", 1)
    }
    assert len({line["request_id"] for line in lines}) == 40
    assert all(line["cost"] and line["input_tokens"] and line["output_tokens"] for line in lines)
    verified = run(tmp_path, "ledger", "verify")
    assert verified.returncode == 0, verified.stdout
    assert not list(tmp_path.glob("*.spill"))


def test_what_is_over_is_there_within_a_second(upstream: Backstage, tmp_path: Path) -> None:
    with Gateway(config_of(upstream), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 3)) == 3
        deadline_s = time.monotonic() + 10
        while rows(tmp_path) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        verified = run(tmp_path, "ledger", "verify")
        assert "runs, 3 exchanges" in verified.stdout
        assert verified.returncode == 0


def rows(folder: Path) -> int:
    path = folder / "llmitm.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT COUNT(*) FROM exchanges").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    finally:
        connection.close()


def test_restarts_go_on_in_the_same_ledger(upstream: Backstage, tmp_path: Path) -> None:
    for _ in range(2):
        with Gateway(config_of(upstream), tmp_path, host="serve") as gateway:
            assert len(ask(gateway, 5)) == 5
    lines = logs(tmp_path)
    runs = {line["run"]: [] for line in lines}
    for line in lines:
        runs[line["run"]].append(line["number"])
    assert [sorted(numbers) for numbers in runs.values()] == [[1, 2, 3, 4, 5]] * 2


def test_a_gateway_that_is_killed_lacks_one_flush_at_most_and_that_is_told(
    upstream: Backstage, tmp_path: Path
) -> None:
    with Gateway(config_of(upstream, "flush_ms = 200"), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 30)) == 30
        deadline_s = time.monotonic() + 10
        while rows(tmp_path) < 30:  # one flush
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        ask(gateway, 1)
        gateway.stop(signal.SIGKILL)
    assert 30 <= len(logs(tmp_path)) <= 31
    verified = run(tmp_path, "ledger", "verify")
    assert verified.returncode == 1
    assert "did not stop properly" in verified.stdout
    with Gateway(config_of(upstream), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 2)) == 2
    assert len(logs(tmp_path)) >= 32


def test_a_full_disk_stops_no_request_and_loses_nothing_while_there_is_room_in_memory(
    upstream: Backstage, tmp_path: Path
) -> None:
    """The file may not grow: so does a full disk answer. Once there is room again, all is written."""
    with Gateway(config_of(upstream, "flush_ms = 50"), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 4)) == 4
        gateway.wait_for("listening")
        limit_file_size(gateway.process, 0)
        assert len(ask(gateway, 60)) == 60
        gateway.wait_for("they wait in memory|cannot be written")
        limit_file_size(gateway.process, None)
        assert len(ask(gateway, 4)) == 4
        assert gateway.stop(signal.SIGTERM) == 0
    assert len(logs(tmp_path)) == 68
    assert run(tmp_path, "ledger", "verify").returncode == 0


def limit_file_size(gateway: subprocess.Popen[bytes], most_bytes: int | None) -> None:
    """Of a gateway and the process that writes for it, once that runs."""
    limit = resource.RLIM_INFINITY if most_bytes is None else most_bytes
    of_gateway = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
    while not (children := of_gateway.read_text().split()):
        with suppress(subprocess.TimeoutExpired):
            gateway.wait(0.05)
    for one in (gateway.pid, *map(int, children)):
        resource.prlimit(one, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def test_nothing_is_kept_where_that_is_wanted(upstream: Backstage, tmp_path: Path) -> None:
    with Gateway(config_of(upstream, "enabled = false"), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 2)) == 2
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("llmitm.db")]


def test_bodies_are_kept_where_that_is_wanted_without_keys(upstream: Backstage, tmp_path: Path) -> None:
    with Gateway(config_of(upstream, "bodies = true"), tmp_path, host="serve") as gateway:
        secret = "sk-canary-of-the-client-1"
        with httpx.Client(base_url=gateway.url) as client:
            body = {**CHAT, "messages": [{"role": "user", "content": f"My key is {secret}."}]}
            client.post("/all/v1/chat/completions", json=body)
            client.post("/dev/v1/chat/completions", content=pieces(orjson.dumps(body)))
    lines = logs(tmp_path, "--bodies")
    for line in lines:
        assert "My key is ***" in line["bodies"]["request"] and "you say" in line["bodies"]["response"]
        assert line["request_bytes"] == len(orjson.dumps(body))
    assert not [path for path in tmp_path.glob("llmitm.db*") if secret.encode() in path.read_bytes()]


def pieces(body: bytes) -> Iterator[bytes]:
    yield body[:20]
    yield body[20:]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_postgresql_that_goes_away_and_comes_back(
    upstream: Backstage, tmp_path: Path, postgres: PostgresServer
) -> None:
    ledger = f'url = "{postgres.url()}"\nflush_ms = 50'
    with Gateway(config_of(upstream, ledger), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 20)) == 20
        postgres.stop()
        assert len(ask(gateway, 20)) == 20
        gateway.wait_for("cannot be written")
        assert PASSWORD not in gateway.output()
        postgres.start()
        deadline_s = time.monotonic() + 20
        while list(tmp_path.glob("*.spill")):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert len(ask(gateway, 20)) == 20
        assert gateway.stop(signal.SIGTERM) == 0
    lines = logs(tmp_path)
    assert len(lines) == len({line["request_id"] for line in lines}) == 60
    verified = run(tmp_path, "ledger", "verify")
    assert verified.returncode == 0, verified.stdout
    assert PASSWORD not in verified.stdout


def test_postgresql_that_is_not_there_keeps_nobody_waiting(upstream: Backstage, tmp_path: Path) -> None:
    ledger = f'url = "postgresql://llmitm:{PASSWORD}@127.0.0.1:9/none"\nflush_ms = 50'
    with Gateway(config_of(upstream, ledger), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 10)) == 10
        assert gateway.stop(signal.SIGTERM) == 0
    assert PASSWORD not in gateway.output()
    (spilled,) = tmp_path.glob("llmitm.db.*.spill")
    assert spilled.read_bytes().count(b'"exchange"') >= 10


def test_a_second_signal_loses_nothing_either(upstream: Backstage, tmp_path: Path) -> None:
    with Gateway(config_of(upstream, "flush_ms = 60000"), tmp_path, host="serve") as gateway:
        assert len(ask(gateway, 10)) == 10
        with (
            httpx.Client(base_url=gateway.url) as client,
            client.stream(
                "POST",
                "/all/v1/chat/completions",
                json={**CHAT, "stream": True},
                headers={"x-demo-fault": "stall-stream:2"},
            ) as answer,
        ):
            pieces = answer.iter_raw()  # whoever lets go of them leaves
            next(pieces)
            gateway.process.send_signal(signal.SIGTERM)
            gateway.wait_for("stopping: 1 in flight")
            os.kill(gateway.process.pid, signal.SIGTERM)
            gateway.process.wait(15)
    with Gateway(config_of(upstream), tmp_path, host="serve"):
        pass
    assert len(logs(tmp_path)) >= 10
