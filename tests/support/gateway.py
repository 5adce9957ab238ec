"""Runs the gateway as a process of its own: mitmdump, mitmweb or `llmitm serve`, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from support import forked

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "addons" / "gateway.py"
BIN = Path(sys.executable).parent
_LISTENING = re.compile(r"listening on (https?)://[^\s,\"]*?:(\d+)")


def times_over(words: str, times: int) -> str:
    """A pattern of output that has these words so many times, or more often."""
    words = re.escape(words)
    return f"(?s)\\A(?:(?:(?!{words}).)*{words}){{{times}}}"


class Gateway:
    """A running gateway. `url` is where it listens; `output()` what it printed on both streams."""

    def __init__(
        self,
        config: str,
        folder: Path,
        *,
        host: str = "mitmdump",
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
        python: Path | None = None,
        is_warm: bool = True,
    ) -> None:
        """`python` is that of another environment, which runs its own `llmitm serve`. Not `is_warm`: the
        process reads all modules itself, which takes a second and a half."""
        self.folder = folder
        self.config_path = folder / "config.toml"
        self.config_path.write_text(config)
        commands = {
            "mitmdump": [str(BIN / "mitmdump"), "-s", str(SCRIPT), *options],
            "mitmweb": [str(BIN / "mitmweb"), "-s", str(SCRIPT), "--no-web-open-browser", *options],
            "serve": [str(BIN / "llmitm"), "serve", *options],
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CONFIG_PATH": str(self.config_path),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            **(env or {}),
        }
        command = commands[host]
        if python is not None:
            command = [str(python), "-P", "-m", "llmitm", "serve", *options]
        elif host != "serve":
            command += ["--set", f"confdir={folder / 'mitm'}"]
        self.process = self._started(command, is_warm=is_warm and python is None)
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""
        self.port = 0

    def _started(self, command: list[str], *, is_warm: bool) -> subprocess.Popen[bytes] | forked.Forked:
        if is_warm and forked.is_possible(self.environment):
            program = Path(command[0]).name
            return forked.Forked(command[1:], cwd=self.folder, env=self.environment, program=program)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            with self._changed:
                self._lines.append(raw.decode("utf-8", "replace"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def output(self) -> str:
        return "".join(self._lines)

    def lines_from(self, number: int) -> list[str]:
        """What it printed from that line on, 0 being the first."""
        return self._lines[number:]

    def wait_for(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """Waits until the output matches; fails, showing it, where the process ends or time is up."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if found := re.search(pattern, self.output()):
                    return found
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or self._ended:
                    raise AssertionError(f"no {pattern!r} in the output:\n{self.output()}")
                self._changed.wait(left_s)

    def start(self, timeout_s: float = 20.0) -> Gateway:
        found = self.wait_for(_LISTENING.pattern, timeout_s)
        self.port = int(found[2])
        self.url = f"{found[1]}://127.0.0.1:{self.port}"
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the end. Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def rss_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = self.stop()
        if error is None and status not in (0, -signal.SIGKILL):
            raise AssertionError(f"the gateway ended with status {status}:\n{self.output()}")
