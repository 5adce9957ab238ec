"""`llmitm doctor` as people run it, and the same over HTTP: what is printed, how it ends, what is kept."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from llmitm.cli.certs import make_pair
from llmitm.cli.doctor import show
from llmitm.doctor.finding import Finding, Level, Report
from support import forked
from support.backstage import Backstage
from support.gateway import Gateway

PASSWORD = "a long password of tests"
HASH = "$argon2id$v=19$m=8192,t=1,p=1$7BqykFXlekTkWry5eXHNWw$HkA4TtJV1xmFydS3LHGyPa9BpJlrkZJE29WEOTAYUfg"
KEY = "sk-canary-of-the-provider"
CONFIG = """
[server]
port = {port}
[endpoints.dev]
target_base = "{url}"
[providers.main]
base_url = "{url}/v1"
api_keys = ["{key}"]
[dashboard]
enabled = true
port = 0
password_hash = "{hash}"
[[dashboard.users]]
name = "viewer"
password_hash = "{hash}"
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(port=free_port(), url=upstream.url, hash=HASH, key=KEY)
    with Gateway(config, tmp_path_factory.mktemp("gateway"), host="serve") as running:
        running.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")
        yield running


def doctor(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **env}
    return forked.run(["doctor", *words], cwd=folder, env=env, timeout_s=30)


def test_a_gateway_that_runs_well(gateway: Gateway) -> None:
    told = doctor(gateway.folder, "--json")
    assert told.returncode == 0 and not told.stderr, told
    report = json.loads(told.stdout)
    assert set(report) == {
        *("status", "version", "config", "at", "took_s", "is_offline", "counts", "findings")
    }
    assert report["counts"]["error"] == 0
    found: dict[str, list[dict[str, Any]]] = {}
    for one in report["findings"]:
        assert set(one) == {"check", "subject", "level", "text", "fix"}
        found.setdefault(one["check"], []).append(one)
    assert found["credential"][0]["text"].startswith("works: main answered")
    (port,) = [one for one in found["ports"] if one["subject"].endswith(f":{gateway.port}")]
    assert port["level"] == "warning" and f"pid {gateway.process.pid}" in port["text"]
    assert found["ledger"][0]["level"] == "ok" and "can be written" in found["ledger"][0]["text"]
    assert KEY not in told.stdout


def login(gateway: Gateway, name: str) -> httpx.Client:
    url = gateway.wait_for(r"dashboard on (http://127\.0\.0\.1:\d+)")[1]
    known = {"username": name, "password": PASSWORD}
    token = httpx.post(f"{url}/api/dashboard/auth/login", json=known, trust_env=False).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)


def test_over_http_it_is_for_operators(gateway: Gateway) -> None:
    with login(gateway, "viewer") as viewer, login(gateway, "admin") as admin:
        assert viewer.get("/api/dashboard/system/doctor").status_code == 403
        answer = admin.get("/api/dashboard/system/doctor")
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert report["counts"]["error"] == 0 and KEY not in answer.text
        ports = [one for one in report["findings"] if one["check"] == "ports"]
        assert {one["level"] for one in ports} == {"ok"}  # its own
        offline = admin.get("/api/dashboard/system/doctor", params={"offline": "true"}).json()
        assert offline["is_offline"] is True


def test_everything_wrong_at_once_is_told_at_once(tmp_path: Path) -> None:
    cert, key = make_pair(("llm.example.com",), 10, datetime.now(UTC) - timedelta(days=30))
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "config.toml").write_text(
            f'[server]\nport = {taken.getsockname()[1]}\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n'
            f'[providers.near]\nbase_url = "http://127.0.0.1:1/v1"\napi_keys = ["{KEY}"]\n'
            '[providers.far]\nbase_url = "http://127.0.0.1:2/v1"\n'
            'proxy_url = "http://user:canary-word@127.0.0.1:3"\n'
            '[ledger]\nurl = "postgresql://user:canary-word@127.0.0.1:4/ledger"\n'
            '[state]\nurl = "redis://:canary-word@127.0.0.1:5/0"\n'
        )
        told = doctor(tmp_path, COLUMNS="80")
    assert told.returncode == 1 and not told.stderr
    unwrapped = " ".join(told.stdout.split())
    for words in (
        "taken by",
        "expired on",
        "refused the connection",
        "cannot be reached: connection refused",
        "postgresql://127.0.0.1:4/ledger",
        "redis://127.0.0.1:5/0",
        "may read it",
    ):
        assert words in unwrapped, words
    assert "canary" not in told.stdout and "\x1b" not in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert all(line == line.rstrip() for line in told.stdout.splitlines())


def test_without_a_configuration_the_rest_is_looked_at(tmp_path: Path) -> None:
    told = doctor(tmp_path, "--offline")
    assert told.returncode == 1 and "`llmitm init` writes one" in told.stdout
    assert "files may be open" in told.stdout and "Python 3." in told.stdout and "offline)" in told.stdout


REPORT = Report(
    version="1",
    config="config.toml",
    at="2026-11-21T12:00:00Z",
    took_s=0.1,
    is_offline=False,
    findings=(
        Finding(check="ports", level=Level.OK, text="free"),
        Finding(check="disk", level=Level.ERROR, text="full " * 40, fix="make room " * 20),
    ),
)


@pytest.mark.parametrize(
    ("width", "is_terminal", "no_color"), [(80, True, False), (40, True, True), (80, False, False)]
)
def test_colours_are_for_terminals_that_want_them(width: int, is_terminal: bool, no_color: bool) -> None:
    out = StringIO()
    colours = "standard" if is_terminal else None
    console = Console(
        file=out, force_terminal=is_terminal, no_color=no_color, width=width, color_system=colours
    )
    show(REPORT, console)
    coloured = re.search(r"\x1b\[(\d;)?31m", out.getvalue()) is not None
    assert coloured is (is_terminal and not no_color)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "1 error, 1 fine" in plain and max(map(len, plain.splitlines())) <= width
