"""systemd: a unit of the system's or of a user's own."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmitm.service.plan import Action, Command, Service

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
USER: Final = "llmitm"
"""Whom a service of the system runs as, unless it is said."""
STATE: Final = Path("/var/lib")
_RUNS: Final = Path("/run/systemd/system")
_HOMES: Final = ("/home", "/root", "/run/user")
_TEMPORARY: Final = ("/tmp", "/var/tmp")
_WATCHDOG_S: Final = 30
_MARGIN_S: Final = 15

_ANYWHERE: Final = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""
_SYSTEM_ONLY: Final = """\
ProtectSystem=strict
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
"""


class Systemd:
    title = "systemd"
    is_tried = True

    def __init__(self, runs: Path = _RUNS) -> None:
        """`runs` is there where systemd is the machine's first process."""
        self._runs = runs

    def file(self, service: Service) -> Path:
        folder = SYSTEM_UNITS if service.is_system else service.home / ".config/systemd/user"
        return folder / f"{service.name}.service"

    def text(self, service: Service) -> str:
        return "\n".join(
            (
                "[Unit]",
                "Description=LLM gateway (llmitm)",
                "Wants=network-online.target",
                "After=network-online.target",
                "# it is needed more than its failures are feared",
                "StartLimitIntervalSec=0",
                "",
                "[Service]",
                *_running(service),
                "",
                "# what it may not do, even where it is broken into",
                *_hardened(service),
                "",
                "[Install]",
                f"WantedBy={'multi-user' if service.is_system else 'default'}.target",
                "",
            )
        )

    def config(self, text: str) -> Path | None:
        found = re.search(r"(?m)^ExecStart=(.*)$", text)
        words = shlex.split(found[1].replace("%%", "%").replace("$$", "$")) if found else []
        return Path(words[words.index("--config") + 1]) if "--config" in words[:-1] else None

    def commands(self, action: Action, service: Service) -> tuple[Command, ...]:
        control = ("systemctl",) if service.is_system else ("systemctl", "--user")
        unit = f"{service.name}.service"
        match action:
            case Action.INSTALL:
                return ((*control, "daemon-reload"), (*control, "enable", unit), (*control, "restart", unit))
            case Action.UNINSTALL:
                return ((*control, "disable", "--now", unit),)
            case Action.STATUS:
                return ((*control, "status", "--no-pager", "--lines=10", unit),)
            case _:
                return ((*control, action.value, unit),)

    def last(self, service: Service) -> tuple[Command, ...]:
        return (("systemctl", *(() if service.is_system else ("--user",)), "daemon-reload"),)

    def problem(self, service: Service) -> str | None:
        if shutil.which("systemctl") is None or not self._runs.exists():
            return "systemd does not run here"
        return None

    def hints(self, service: Service) -> tuple[str, ...]:
        scope = "" if service.is_system else "--user "
        said = (f"its log: journalctl {scope}-u {service.name} -f",)
        if service.is_system:
            return said
        return (*said, "it ends with your last session, unless you once run: loginctl enable-linger")


def _running(service: Service) -> Iterator[str]:
    command = (*service.program, "run", "--config", str(service.config))
    reload = (*service.program, "reload", "--config", str(service.config))
    yield "Type=notify"
    yield f"ExecStart={_words(command)}"
    yield "# says whether the configuration could be used"
    yield f"ExecReload={_words(reload)}"
    yield f"WorkingDirectory={_escaped(str(service.folder))}"
    if service.is_system:
        yield f"User={service.run_as or USER}"
        if service.folder.parent == STATE:
            yield f"StateDirectory={_escaped(service.folder.name)}"
            yield "StateDirectoryMode=0700"
    yield "Restart=on-failure"
    yield "RestartSec=2"
    yield "# a configuration that cannot be used does not mend itself"
    yield "RestartPreventExitStatus=2"
    yield f"WatchdogSec={_WATCHDOG_S}"
    yield "TimeoutStartSec=60"
    yield f"TimeoutStopSec={service.shutdown_s + _MARGIN_S:g}"
    yield "KillMode=mixed"
    yield "LimitNOFILE=65536"


def _hardened(service: Service) -> Iterator[str]:
    yield from _ANYWHERE.splitlines()
    if not service.is_system:
        return  # the rest needs more than a user's own manager can give everywhere
    yield from _SYSTEM_ONLY.splitlines()
    yield f"ReadWritePaths={_quoted(str(service.folder))}"
    yield f"ProtectHome={'read-only' if service.lies_in(*_HOMES) else 'yes'}"
    if not service.lies_in(*_TEMPORARY):
        yield "PrivateTmp=yes"
    allowed = "CAP_NET_BIND_SERVICE" if service.binds_low else ""
    yield f"CapabilityBoundingSet={allowed}"
    yield f"AmbientCapabilities={allowed}"


def _words(command: Command) -> str:
    """A command line of a unit, with nothing in it that systemd would expand."""
    return " ".join(_quoted(word).replace("$", "$$") for word in command)


def _quoted(word: str) -> str:
    escaped = _escaped(word)
    if not any(sign in escaped for sign in " \t\"'\\;"):
        return escaped
    inner = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _escaped(word: str) -> str:
    return word.replace("%", "%%")
