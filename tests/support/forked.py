"""Processes of `llmitm`, mitmdump and mitmweb that are copies of one which has read their modules already.

Of the 1.5 s of CPU that a gateway takes to start, nine tenths go into reading modules. One process of the
tests reads them once, and forks for every start: what comes then is what the program does, in a process of
its own, with arguments, environment, folder, output, signals and exit status of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Never

IS_POSSIBLE: Final = hasattr(os, "pidfd_open") and "PYTEST_VERSION" in os.environ
"""Linux has what it takes; elsewhere each start reads all modules, as where time and memory are measured."""
_READ_ANYWAY: Final = ("PYTHON", "LD_", "OPENSSL_", "SSL_")
"""What a process looks at before it runs our first line: such an environment needs a real start."""


def is_possible(env: Mapping[str, str]) -> bool:
    named = [name for name in env if name.startswith(_READ_ANYWAY) and name != "PYTHONUNBUFFERED"]
    return IS_POSSIBLE and not named


class Forked:
    """As much of `subprocess.Popen` as tests use. Without files given, `stdout` is both of its outputs."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        files: tuple[IO[bytes], IO[bytes]] | None = None,
        program: str = "llmitm",
    ) -> None:
        """`files` takes what it prints to standard output and to standard error. `program` is
        `llmitm`, `mitmdump` or `mitmweb`."""
        self.program = program
        words = [program, *arguments]
        self.stdout: IO[bytes] | None = None
        self.returncode: int | None = None
        self._status, theirs = os.pipe()
        try:
            if files is not None:
                self.pid = _original().start(words, cwd, env, [file.fileno() for file in files], theirs)
                return
            reading, writing = os.pipe()
            self.stdout = os.fdopen(reading, "rb")
            try:
                self.pid = _original().start(words, cwd, env, [writing, writing], theirs)
            finally:
                os.close(writing)
        finally:
            os.close(theirs)

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        status = self._look(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.program, timeout)
        return status

    def _look(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float = 60,
    program: str = "llmitm",
) -> subprocess.CompletedProcess[str]:
    """What the program printed with these arguments, and its exit status."""
    if not is_possible(env):
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Forked(arguments, cwd=cwd, env=env, files=(out, err), program=program)
        try:
            status = process.wait(timeout_s)
        finally:
            process.kill()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(
            list(arguments), status, out.read().decode("utf-8"), err.read().decode("utf-8")
        )


def programs() -> Path:
    """A folder for the PATH of a shell: the `llmitm`, `mitmdump` and `mitmweb` in it are forked, as is what
    `llmitm` starts in the background. The folder of the real ones where that is not possible."""
    return _original().programs if IS_POSSIBLE else Path(sys.executable).parent


class _Original:
    """The process that forks, as seen from the tests. It ends when they do."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="llmitm-")
        self.programs = Path(self._folder.name, "programs")
        self.programs.mkdir()
        text = Path(__file__).with_name("forked_program.py").read_text()
        for name in ("llmitm", "mitmdump", "mitmweb", "python"):
            (self.programs / name).write_text(f"#!{sys.executable} -IS\n{text}")
            (self.programs / name).chmod(0o700)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.bind(f"{self.programs}.asked")
            door.listen()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", __file__, str(theirs.fileno()), str(door.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), door.fileno()],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            )
        atexit.register(self.close)

    def start(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], outputs: list[int], status: int
    ) -> int:
        """The pid. The first of the `words` is the program. What it prints goes to the `outputs`, its exit
        status, in decimal, to `status`."""
        asked = {"words": list(words), "cwd": str(cwd), "env": dict(env), "numbers": [1, 2]}
        socket.send_fds(self._socket, [json.dumps(asked).encode()], [*outputs, status])
        return int(self._socket.recv(16))

    def close(self) -> None:
        self._socket.close()
        self._process.wait()
        self._folder.cleanup()


_started: list[_Original] = []


def _original() -> _Original:
    if not _started:
        _started.append(_Original())
    return _started[0]


# -- the process that forks


def _serve(ours: socket.socket, door: socket.socket) -> dict[str, Any] | None:
    """Returns in each copy what it is to be, with its `descriptors`, and None where nobody asks any more.

    What is asked at the `door` is told there, too: first the pid, and in the end the exit status.
    """
    children: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([ours.fileno(), door.fileno(), *children], [], [])[0]:
            if ready in children:
                pid, status = children.pop(ready)
                _, ended = os.waitpid(pid, 0)
                _tell(status, os.waitstatus_to_exitcode(ended))
                os.close(ready)
                continue
            asking = ours if ready == ours.fileno() else door.accept()[0]
            asked, numbers, _, _ = socket.recv_fds(asking, 1 << 20, 64)
            if not asked and asking is ours:
                return None
            if not asked:  # killed before it could ask
                asking.close()
                continue
            if asking is ours:
                *descriptors, status = numbers
            else:
                descriptors, status = numbers, os.dup(asking.fileno())
            if (pid := os.fork()) == 0:
                asking.close()
                for number in (status, *children, *(pipe for _, pipe in children.values())):
                    os.close(number)
                ours.close()
                door.close()
                return {**json.loads(asked), "descriptors": descriptors}
            for number in descriptors:
                os.close(number)
            children[os.pidfd_open(pid)] = (pid, status)
            asking.send(str(pid).encode())
            if asking is not ours:
                asking.close()


def _tell(status: int, code: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(status, str(code).encode())
    os.close(status)


def _become(asked: dict[str, Any]) -> None:
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    if asked.get("is_of_own_session"):
        os.setsid()
    # out of the way first: what came under one's number may be another's
    raised = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64) for number in asked["descriptors"]]
    for number in asked["descriptors"]:
        os.close(number)
    for number, one in zip(asked["numbers"], raised, strict=True):
        os.dup2(one, number)
        os.close(one)
    sys.argv = asked["words"]
    sys.executable = asked.get("executable", sys.executable)


def _read_modules() -> None:
    import aiosqlite  # noqa: F401
    import httpx  # noqa: F401
    import mitmproxy.tools.dump
    import mitmproxy.tools.web.master  # noqa: F401
    import sqlalchemy.ext.asyncio  # noqa: F401
    import typer.rich_utils  # noqa: F401

    import llmitm.cli
    import llmitm.config.watch
    import llmitm.edge.serve
    import llmitm.edge.start
    import llmitm.send.upstream

    for command in pkgutil.iter_modules(llmitm.cli.__path__, "llmitm.cli."):
        importlib.import_module(command.name)


def _run() -> None:
    from mitmproxy.tools.main import mitmdump, mitmweb

    from llmitm.cli.main import main

    match sys.argv[0]:
        case "mitmdump":
            mitmdump()
        case "mitmweb":
            mitmweb()
        case "llmitm":
            main()


def _status() -> int:
    """Runs the program, to the exit status that the interpreter would make of its end."""
    try:
        _run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(status: int) -> Never:
    """As the interpreter ends, but for its modules: to take those apart, a copy would copy them first."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # tells of what was not closed
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _read_modules()
    gc.collect()
    gc.freeze()  # a copy that looked through all of that would have to copy it first
    if (wanted := _serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))) is not None:
        _become(wanted)
        _end(_status())
