"""A real redis-server of our own on a free loopback port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

BINARY = shutil.which("redis-server")
NO_BINARY = "there is no redis-server on this machine (Debian: apt-get install redis-server)"


class RedisServer:
    """Started and stopped by its process id; keeps its port, and nothing on disk."""

    def __init__(self, folder: Path, *options: str, tls: bool = False) -> None:
        """`options` are those of redis.conf; with `tls` they name the files of a certificate."""
        self.folder = folder
        self.options = options
        self._is_tls = tls
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert BINARY is not None
        fixed = ("--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "", "--appendonly", "no")
        port = ("--port", "0", "--tls-port") if self._is_tls else ("--port",)
        with open(self.folder / "redis.log", "ab") as log:
            self._process = subprocess.Popen(
                [BINARY, *fixed, *port, str(self.port), *self.options], stdout=log, stderr=log
            )
        until_s = time.monotonic() + 10
        while not self._is_up():
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < until_s, "redis-server does not answer"
            time.sleep(0.01)

    def _is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as asked:
                if not self._is_tls:
                    asked.sendall(b"PING\r\n")
                    return bool(asked.recv(1))
                return True
        except OSError:
            return False

    def flush(self) -> None:
        """As if it began anew, but for its scripts."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as asked:
            asked.sendall(b"FLUSHALL\r\n")
            assert asked.recv(5) == b"+OK\r\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
