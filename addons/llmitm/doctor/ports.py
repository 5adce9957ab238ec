"""The ports that the gateway listens on: free, ours already, or somebody else's."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient, aside

ANSWER_S: Final = 1.0
_LISTENING: Final = "0A"


async def ports(patient: Patient, notes: Notes) -> None:
    config = patient.config
    if config is None:
        return
    wanted = {"server": (config.server.host, config.server.port)}
    if config.dashboard.enabled:
        wanted["dashboard"] = (config.dashboard.host, config.dashboard.port)
    for table, (host, port) in wanted.items():
        await aside(lambda table=table, host=host, port=port: _look(patient, notes, table, host, port))  # type: ignore[misc]


def _look(patient: Patient, notes: Notes, table: str, host: str, port: int) -> None:
    subject = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if port in patient.own_ports:
        notes.ok("this gateway listens here", subject=subject)
        return
    if port == 0:
        notes.ok("a free port is taken at each start", subject=subject)
        return
    try:
        error = _try(host, port)
    except OSError:
        notes.error(
            f"{host} is no address: the name is not known here",
            f'set [{table}] host = "127.0.0.1", or an address of this machine',
            subject=subject,
        )
        return
    match error:
        case None:
            notes.ok("free", subject=subject)
        case errno.EADDRINUSE:
            _taken(patient, notes, table, port, subject)
        case errno.EACCES:
            notes.error(
                f"port {port} may be opened by root only",
                f"set [{table}] port to 1024 or more, or give the service CAP_NET_BIND_SERVICE",
                subject=subject,
            )
        case errno.EADDRNOTAVAIL:
            notes.error(
                f"this machine does not have the address {host}",
                f'set [{table}] host = "127.0.0.1" (only this machine) or "0.0.0.0" (every address)',
                subject=subject,
            )
        case _:
            notes.error(
                f"cannot be opened: {os.strerror(error)}", f"change [{table}] host or port", subject=subject
            )


def _try(host: str, port: int) -> int | None:
    """Opens it for a moment. None, or why that did not work. Raises OSError for a host without address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                tried.bind(address)
                tried.listen(1)
            except OSError as error:
                return error.errno or errno.EINVAL
    return None


def _taken(patient: Patient, notes: Notes, table: str, port: int, subject: str) -> None:
    running = patient.running
    holder = holder_of(port)
    if running is not None and _is_of(running.url, running.pid, port, holder):
        notes.ok(f"the gateway of this configuration listens here (pid {running.pid})", subject=subject)
        return
    if holder is None:
        command = f"ss -ltnp sport = :{port}" if sys.platform == "linux" else f"lsof -nP -iTCP:{port}"
        who, fix = "a process that cannot be seen from here", f"`sudo {command}` names it"
    else:
        who, fix = f"{holder[1]} (pid {holder[0]})", "stop it"
    config = patient.config
    assert config is not None
    server = config.server
    if answers_as_ours(_reached_at(server.host), server.port, has_tls=server.tls_cert is not None):
        text = f"a gateway listens here already: {who}"
        notes.warning(text, f"if it is not this one, set [{table}] port to another", subject=subject)
    else:
        notes.error(f"taken by {who}", f"{fix}, or set [{table}] port to another", subject=subject)


def _reached_at(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def answers_as_ours(host: str, port: int, *, has_tls: bool) -> bool:
    """Whether what listens there says of itself what a gateway does."""
    if has_tls:
        # nothing secret is sent, and a certificate of its own names its public host
        unverified = ssl._create_unverified_context()
        asked: HTTPConnection = HTTPSConnection(host, port, timeout=ANSWER_S, context=unverified)
    else:
        asked = HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        asked.request("GET", "/ready")
        told = json.loads(asked.getresponse().read(4096))
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        asked.close()
    return isinstance(told, dict) and told.get("status") in ("ok", "draining") and "version" in told


def _is_of(url: str | None, pid: int, port: int, holder: tuple[int, str] | None) -> bool:
    if holder is not None:
        return holder[0] == pid
    try:
        return url is not None and urlsplit(url).port == port
    except ValueError:
        return False


def holder_of(port: int) -> tuple[int, str] | None:
    """Who listens there: process and name. None where nobody does, or it cannot be seen from here."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    if not inodes:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(one) in inodes for one in (folder / "fd").iterdir()):
                return int(folder.name), _named(folder)
        except OSError:
            continue
    return None


def _named(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        name = Path(os.fsdecode(words[0])).name
        script = Path(os.fsdecode(words[1])).name if len(words) > 2 and name.startswith("python") else ""
        return f"{name} {script}".strip() or (process / "comm").read_text().strip()
    except (OSError, IndexError):
        return "a process"


def _listening(port: int) -> set[str]:
    """Inodes of the sockets that listen on it, at whatever address."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def is_here(host: str) -> bool:
    """Whether a host is this machine, by its name alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
