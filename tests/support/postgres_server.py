"""A real PostgreSQL server of our own on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []
BINARIES = os.pathsep.join(map(str, (*reversed(_FOUND), *os.environ["PATH"].split(os.pathsep))))
BINARY = shutil.which("postgres", path=BINARIES)
NO_BINARY = "there is no PostgreSQL server on this machine (Debian: apt-get install postgresql)"
PASSWORD = "a-password-that-nobody-may-see"


def _other_user() -> dict[str, Any]:
    """Root may not run a server: somebody else does."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            known = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    raise AssertionError("root may not run PostgreSQL, and there is no user postgres or nobody")


class PostgresServer:
    """Started and stopped by its process id; keeps its port and its data."""

    def __init__(self) -> None:
        assert BINARY is not None
        self._programs = Path(BINARY).parent
        self._as = _other_user()
        self.folder = Path(tempfile.mkdtemp(prefix="llmitm-postgres-"))
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self._data = self.folder / "data"
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        options = ("-U", "llmitm", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
        self._run("initdb", "-D", str(self._data), *options)
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def _run(self, program: str, *arguments: str) -> None:
        made = subprocess.run(
            [self._programs / program, *arguments], cwd="/", capture_output=True, text=True, **self._as
        )
        assert made.returncode == 0, made.stderr

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://llmitm:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = (
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            "unix_socket_directories=",
            "fsync=off",
        )
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    "-D",
                    str(self._data),
                    *(word for one in settings for word in ("-c", one)),
                ],
                cwd="/",
                stdout=log,
                stderr=log,
                **self._as,
            )
        until_s = time.monotonic() + 20
        while b"ready to accept connections" not in (self.folder / "log").read_bytes()[self._read :]:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until_s, "PostgreSQL does not answer"
            time.sleep(0.02)
        self._read = len((self.folder / "log").read_bytes())

    _read = 0

    def stop(self) -> None:
        """At once, as if the machine had failed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def database(self) -> str:
        """The URL of a new, empty one."""
        import asyncpg

        self._made += 1
        name = f"ledger{self._made}"
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.url(name)
