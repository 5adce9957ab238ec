"""A changed configuration in a running gateway: real mitmdump, mitmweb and `llmitm serve`."""

from __future__ import annotations

import json
import logging
import os
import pty
import signal
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from llmitm.cli.certs import make_pair, write_pair
from llmitm.edge.start import world_or_exit
from support.backstage import Backstage
from support.gateway import BIN, Gateway

CONFIG = """[server]
port = 0
{more}
[endpoints.{name}]
target_base = "{url}"
"""


def text(provider: Backstage, name: str, more: str = "") -> str:
    return CONFIG.format(url=provider.url, name=name, more=more)


def replace(path: Path, content: str) -> None:
    """As editors and configuration management do: a new file takes the name of the old one."""
    fresh = path.with_name("fresh")
    fresh.write_text(content)
    os.replace(fresh, path)


def status(running: Gateway, path: str, **options: object) -> int:
    answer = httpx.get(running.url + path, timeout=10, **options)  # type: ignore[arg-type]
    return answer.status_code


@pytest.mark.parametrize("host", ["mitmdump", "mitmweb", "serve"])
def test_a_file_that_is_replaced_is_taken_each_time(provider: Backstage, tmp_path: Path, host: str) -> None:
    with Gateway(text(provider, "one"), tmp_path, host=host) as running:
        assert (status(running, "/one/echo"), status(running, "/two/echo")) == (200, 404)
        for name in ("two", "three", "four"):
            replace(running.config_path, text(provider, name))
            running.wait_for(rf"changed endpoints\.\w+ \(gone\), endpoints\.{name} \(new\)")
            assert (status(running, f"/{name}/echo"), status(running, "/one/echo")) == (200, 404)
        assert "Traceback" not in running.output()


def test_a_mounted_volume_that_is_switched_over_is_taken(provider: Backstage, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for number, name in (("1", "one"), ("2", "two")):
        (volume / number).mkdir(parents=True)
        (volume / number / "config.toml").write_text(text(provider, name))
    (volume / "..data").symlink_to("1")
    (volume / "config.toml").symlink_to("..data/config.toml")
    env = {"CONFIG_PATH": str(volume / "config.toml")}
    with Gateway(text(provider, "unused"), tmp_path, host="serve", env=env) as running:
        assert status(running, "/one/echo") == 200
        (volume / "..data_tmp").symlink_to("2")
        os.replace(volume / "..data_tmp", volume / "..data")
        running.wait_for(r"endpoints\.two \(new\)")
        assert status(running, "/two/echo") == 200


def test_a_broken_file_leaves_the_old_one_in_force(provider: Backstage, tmp_path: Path) -> None:
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        replace(running.config_path, text(provider, "two", "prot = 1\nbody_limit_mb = -1"))
        running.wait_for("the one in force stays as it is")
        assert "server.prot: unknown key" in running.output()
        assert "server.body_limit_mb: " in running.output()
        assert (status(running, "/one/echo"), status(running, "/two/echo")) == (200, 404)
        running.config_path.unlink()
        running.wait_for("config.toml: is gone")
        assert status(running, "/one/echo") == 200
        running.config_path.write_text(text(provider, "two"))
        running.wait_for(r"endpoints\.two \(new\)")
        assert status(running, "/two/echo") == 200


@pytest.mark.parametrize("host", ["mitmdump", "serve"])
def test_a_signal_has_it_read_by_hand(provider: Backstage, tmp_path: Path, host: str) -> None:
    with Gateway(text(provider, "one"), tmp_path, host=host) as running:
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("nothing changed")
        assert status(running, "/one/echo") == 200


def test_a_request_under_way_keeps_the_configuration_that_it_began_with(
    provider: Backstage, tmp_path: Path
) -> None:
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        with httpx.stream("GET", f"{running.url}/one/sse?n=60&interval_ms=30", timeout=10) as answer:
            pieces = answer.iter_raw()
            body = next(pieces)
            more = "[timeouts]\nfirst_byte_s = 0.01\nidle_s = 0.01\nexchange_s = 0.01"
            replace(running.config_path, text(provider, "two") + more)
            running.wait_for(r"endpoints\.two \(new\)")
            assert status(running, "/one/echo") == 404
            body += b"".join(pieces)
        assert body.count(b"\n\n") >= 60


def test_no_request_fails_while_it_changes_and_changes(provider: Backstage, tmp_path: Path) -> None:
    """Broken files, removed ones, and good ones in between: each request has a whole configuration."""
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        is_over = threading.Event()

        def ask() -> list[int]:
            found = []
            with httpx.Client(base_url=running.url, timeout=10) as client:
                while not is_over.is_set():
                    found.append(client.get("/one/bytes?n=1000").status_code)
            return found

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            try:
                for number in range(5):
                    replace(running.config_path, text(provider, "one") + "[")
                    running.wait_for(rf"(?s)(stays as it is.*){{{2 * number + 1}}}")
                    running.config_path.unlink()
                    running.wait_for(rf"(?s)(stays as it is.*){{{2 * number + 2}}}")
                    running.config_path.write_text(
                        text(provider, "one") + f"[timeouts]\nidle_s = {number + 1}\n"
                    )
                    running.wait_for(rf"(?s)(changed timeouts.*){{{number + 1}}}")
            finally:
                is_over.set()
            answers = [status for one in asking for status in one.result()]
        assert len(answers) > 50
        assert set(answers) == {200}


def test_timeouts_follow(provider: Backstage, tmp_path: Path) -> None:
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        replace(running.config_path, text(provider, "one") + "[timeouts]\nfirst_byte_s = 0.2\n")
        running.wait_for(r"changed timeouts\.first_byte_s")
        assert status(running, "/one/v1/models", headers={"x-demo-fault": "stall"}) == 504


def test_keys_of_clients_follow_and_none_is_shown(provider: Backstage, tmp_path: Path) -> None:
    keyed = '[[auth_keys]]\nname = "laptop"\nkey = "a-word-of-its-own"\n'
    headers = {"x-llmitm-key": "a-word-of-its-own"}
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        assert status(running, "/one/echo") == 200
        replace(running.config_path, text(provider, "one") + keyed)
        running.wait_for("changed auth_keys")
        assert (status(running, "/one/echo"), status(running, "/one/echo", headers=headers)) == (401, 200)
        replace(running.config_path, text(provider, "one") + keyed + "disabled = true\n")
        running.wait_for(r"changed auth_keys\.laptop\.disabled")
        assert status(running, "/one/echo", headers=headers) == 401
        assert "a-word-of-its-own" not in running.output()


def test_what_needs_a_restart_is_said_and_the_rest_is_taken(provider: Backstage, tmp_path: Path) -> None:
    with Gateway(text(provider, "one"), tmp_path, host="serve") as running:
        replace(running.config_path, text(provider, "two").replace("port = 0", "port = 1"))
        running.wait_for(r"needs a restart, and stays as it was until then: server\.port")
        assert status(running, "/two/echo") == 200


def test_the_log_follows(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url="http://127.0.0.1:1", name="one", more=""))
    logger = logging.getLogger("llmitm")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers.clear()
    try:
        world = world_or_exit(path)
        log = tmp_path / "llmitm.log"
        path.write_text(path.read_text() + f'[log]\nlevel = "error"\nfile = "{log}"\n')
        assert world.source is not None
        world.follow(world.source.read())
        logger.warning("unheard")
        logger.error("heard")
        assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["heard"]
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers[:], logger.level, logger.propagate = before


def test_a_certificate_at_another_place_is_taken(provider: Backstage, tmp_path: Path) -> None:
    write_pair(tmp_path, ("localhost", "127.0.0.1"), 5, force=False)
    more = 'tls_cert = "cert.pem"\ntls_key = "key.pem"'
    with Gateway(text(provider, "one", more), tmp_path, host="serve") as running:
        cert, key = make_pair(("localhost", "127.0.0.1"), 9, datetime.now(UTC))
        (tmp_path / "other.pem").write_bytes(cert)
        (tmp_path / "other.key").write_bytes(key)
        replace(
            running.config_path,
            text(provider, "one", 'tls_cert = "other.pem"\ntls_key = "other.key"\nhttp2 = true'),
        )
        running.wait_for("changed server.tls_cert, server.tls_key")
        shown = ssl.get_server_certificate(("127.0.0.1", running.port))
        assert shown.encode().strip() == cert.strip()


@pytest.mark.parametrize("command", ["serve", "run"])
@pytest.mark.parametrize("prefix", [(), ("nohup",)], ids=["plain", "nohup"])
def test_a_terminal_that_closes_ends_what_ran_in_it(
    tmp_path: Path, command: str, prefix: tuple[str, ...]
) -> None:
    """Unless it was asked to outlive it: then the signal is what it is by hand."""
    (tmp_path / "config.toml").write_text(CONFIG.format(url="http://127.0.0.1:1", name="one", more=""))
    ours, theirs = pty.openpty()
    log = tmp_path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            # the shell's part: a session of its own, led by the gateway, with the terminal
            ["setsid", "--ctty", "--wait", *prefix, str(BIN / "llmitm"), command],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdin=theirs,
            stdout=out,
            stderr=out,
        )
    os.close(theirs)
    try:
        wait_for(log, "listening on", running)
        os.close(ours)
        if prefix:
            wait_for(log, "nothing changed", running)
        else:
            assert running.wait(15) == 0
            assert "configuration read" not in log.read_text()
    finally:
        running.kill()
        running.wait()


def wait_for(log: Path, words: str, running: subprocess.Popen[bytes]) -> None:
    """Waits until a file that a process writes to holds these words."""
    while words not in log.read_text():
        try:
            running.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        assert words in log.read_text(), log.read_text()
