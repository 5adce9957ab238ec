"""`llmitm run`, `status`, `reload` and `stop`: one gateway a configuration, found by its PID file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from llmitm.cli.daemon import Herald, NotStarted, start
from llmitm.cli.pidfile import Facts, PidFile, Process, Strange, Taken, look, places
from llmitm.config.path import find
from llmitm.errors import ConfigError

NOT_RUNNING: Final = 3
MARGIN_S: Final = 5.0
"""What `stop` waits beyond the time that requests are given."""
RELOAD_S: Final = 10.0
PLACES: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Where an address that means all of them is reached."""


def run(
    config: Path | None,
    *,
    host: str | None,
    port: int | None,
    pid_file: Path | None,
    log_file: Path | None,
    daemon: bool,
    handed: str | None,
) -> int:
    """Runs the gateway and keeps its PID file. Returns the exit status: 2 for a bad configuration.

    `handed` holds two descriptors: of a PID file that is held already, and of a pipe that waits for word.
    """
    from llmitm.config.watch import Source

    path = find(config, os.environ)
    if handed is not None:
        return _run_handed(path, host, port, pid_file, handed)
    source = Source(path, env=os.environ, host=host, port=port)
    try:
        loaded = source.read()
    except ConfigError as error:
        return _say(str(error), 2)
    try:
        held = _claim(path, pid_file)
    except Taken as taken:
        who = f"runs already, pid {taken.pid}" if taken.pid else "is starting already"
        return _say(f"a gateway with this configuration {who} ({taken.path})", 1)
    except OSError as error:
        place = error.filename or pid_file or places(path, os.environ)[0]
        return _say(f"the PID file {place} cannot be used: {error.strerror}; --pid-file names another", 1)
    if daemon:
        log_path = log_file or loaded.log.file or source.path.parent / "llmitm.log"
        return _start(_arguments(source.path, host, port, held.path), held, log_path)
    return _serve(path, host, port, held, None)


def _arguments(config: Path, host: str | None, port: int | None, pid_file: Path) -> list[str]:
    named = {"--config": config, "--host": host, "--port": port, "--pid-file": os.path.abspath(pid_file)}
    return [word for name, value in named.items() if value is not None for word in (name, str(value))]


def _claim(config: Path, pid_file: Path | None) -> PidFile:
    """Raises Taken where it is held in any place that it may be in."""
    every = (pid_file,) if pid_file else places(config, os.environ)
    for place in every[1:]:
        if (other := look(place)) is not None:
            raise Taken(place, other.facts.pid)
    return PidFile.claim(every[0])


def _run_handed(path: Path, host: str | None, port: int | None, pid_file: Path | None, handed: str) -> int:
    lock, _, tell = handed.partition(",")
    assert pid_file is not None
    held = PidFile(pid_file, int(lock))
    return _serve(path, host, port, held, int(tell))


def _serve(path: Path, host: str | None, port: int | None, held: PidFile, tell: int | None) -> int:
    from llmitm.edge import serve
    from llmitm.edge.start import world_or_exit

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        # a reload that comes before the gateway listens to signals must not end it
        signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        held.hold(Path(os.path.abspath(path)))
        board = held if tell is None else Herald(held, tell)
        return serve.run(world_or_exit(path, host=host, port=port), board)
    finally:
        held.release()


def _start(arguments: list[str], held: PidFile, log_path: Path) -> int:
    try:
        started = start(arguments, held, log_path)
    except NotStarted as error:
        held.release()
        return _say(f"it did not start (see {log_path}):\n{error}", 1)
    except OSError as error:
        held.release()
        return _say(f"the log {log_path} cannot be opened: {error.strerror}; --log-file names another", 1)
    held.leave()
    print(f"runs, pid {started.pid}, at {started.url}, log {log_path}")
    return 0


def _say(text: str, status: int) -> int:
    print(f"llmitm: {text}", file=sys.stderr)
    return status


# -- the commands that look for a running one


def _found(config: Path | None, pid_file: Path | None) -> Process | int:
    """The running gateway, or an exit status when that was said."""
    path = find(config, os.environ)
    every = (pid_file,) if pid_file else places(path, os.environ)
    try:
        for place in every:
            if (running := look(place)) is not None:
                return running
    except Taken as taken:
        return _say(f"it is starting ({taken.path})", 1)
    except OSError as error:
        return _say(f"the PID file {error.filename} cannot be read: {error.strerror}", 1)
    return _say(f"not running ({' and '.join(map(str, every))} not held)", NOT_RUNNING)


def status(config: Path | None, pid_file: Path | None) -> int:
    """0 where it runs, 3 where it does not."""
    running = _found(config, pid_file)
    if isinstance(running, int):
        return running
    facts = running.facts
    lines = {
        "running": f"pid {facts.pid}",
        "config": facts.config,
        "address": facts.url or "not listening yet",
        "up": duration(max(0.0, time.time() - facts.since_s)),
        **_health(facts),
    }
    for name, value in lines.items():
        print(f"{name:<10} {value}")
    for problem in facts.problems:
        print(f"llmitm: not in force: {problem}", file=sys.stderr)
    return 0


def _health(facts: Facts) -> dict[str, str]:
    """What it answers to /ready."""
    import httpx

    if facts.url is None:
        return {}
    url = facts.url
    for every, one in PLACES.items():
        url = url.replace(f"//{every}:", f"//{one}:")
    try:
        # nothing secret is sent, and a certificate of its own names its public host
        answer = httpx.get(f"{url}/ready", verify=False, trust_env=False, timeout=3)
        known: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError):
        return {"answers": "no"}
    found = {"answers": str(known.get("status", answer.status_code))}
    if "in_flight" in known:
        found["in flight"] = str(known["in_flight"])
    if "version" in known:
        found["version"] = str(known["version"])
    return found


def gateway_url(config: Path | None) -> str | int:
    """Where the gateway of this configuration is reached, by its PID file; where it has none, by what the
    configuration says. An exit status when it was said that there is none."""
    from llmitm.config.watch import Source

    path = find(config, os.environ)
    for place in places(path, os.environ):
        try:
            running = look(place)
        except (Taken, OSError):
            continue
        if running is not None and running.facts.url is not None:
            return running.facts.url
    try:
        server = Source(path, env=os.environ).read().server
    except ConfigError as error:
        return _say(str(error), 2)
    scheme = "https" if server.tls_cert is not None else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{scheme}://{host}:{server.port}"


def duration(seconds: float) -> str:
    """In the two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def reload(config: Path | None, pid_file: Path | None) -> int:
    """Has the running gateway read its configuration anew. 2 where that cannot be used."""
    running = _found(config, pid_file)
    if isinstance(running, int):
        return running
    if running.facts.url is None:
        return _say(f"pid {running.facts.pid} is starting, and reads its configuration anyway", 1)
    if (failed := _signal(running, signal.SIGHUP)) is not None:
        return failed
    after = running.wait_read(RELOAD_S)
    if after is None:
        return _say(f"pid {running.facts.pid} was asked, and has not answered in {RELOAD_S:g} s", 1)
    if after.problems:
        for problem in after.problems:
            print(f"llmitm: {problem}", file=sys.stderr)
        return _say("the configuration cannot be used; the one in force stays as it is", 2)
    print("the configuration was read anew")
    return 0


def stop(config: Path | None, pid_file: Path | None, timeout_s: float | None) -> int:
    """Stops the running gateway, and waits until it has ended.

    Returns 0 when it has, 1 where it has not in time, 3 where none runs.
    """
    running = _found(config, pid_file)
    if isinstance(running, int):
        return running
    pid = running.facts.pid
    if timeout_s is None:
        timeout_s = _drain_s(running.facts) + MARGIN_S
    started_s = time.monotonic()
    if (failed := _signal(running, signal.SIGTERM)) is not None:
        return failed
    print(f"pid {pid} stops; requests under way are waited for, at most {timeout_s:g} s", flush=True)
    if not running.wait(timeout_s):
        return _say(f"pid {pid} still runs after {timeout_s:g} s; a second stop cuts what is under way", 1)
    print(f"stopped after {time.monotonic() - started_s:.1f} s")
    return 0


def _signal(running: Process, number: signal.Signals) -> int | None:
    """None where it was sent, else an exit status."""
    try:
        running.signal(number)
    except ProcessLookupError:
        return _say("not running: it has just ended", NOT_RUNNING)
    except PermissionError:
        return _say(f"pid {running.facts.pid} belongs to another user", 1)
    except Strange as strange:
        return _say(f"{strange}; nothing was signalled", 1)
    return None


def _drain_s(facts: Facts) -> float:
    """How long it waits for what is under way, as far as its configuration can be read from here."""
    from llmitm.config.server import Server
    from llmitm.config.watch import Source

    try:
        config = Source(Path(facts.config), env=os.environ).read()
    except ConfigError:
        return Server().shutdown_timeout_s
    return config.server.shutdown_timeout_s
