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

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert BINARY is not None
        fixed = ("--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "", "--appendonly", "no")
        port = () if "--port" in self.options else ("--port", str(self.port))
        with open(self.folder / "redis.log", "ab") as log:
            self._process = subprocess.Popen([BINARY, *fixed, *port, *self.options], stdout=log, stderr=log)
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as asked:
                    asked.sendall(b"PING\r\n")
                    if asked.recv(1) or "--tls-port" in self.options:
                        return
            except OSError:
                assert self._process.poll() is None, (self.folder / "redis.log").read_text()
                time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

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
