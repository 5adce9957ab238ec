"""launchd of macOS: an agent of a user's, or a daemon of the machine."""

from __future__ import annotations

import os
import plistlib
import shutil
from pathlib import Path
from typing import Any, Final

from llmitm.service.plan import Action, Command, Service

_DAEMONS: Final = Path("/Library/LaunchDaemons")
_MARGIN_S: Final = 15


class Launchd:
    title = "launchd"
    is_tried = False

    def file(self, service: Service) -> Path:
        folder = _DAEMONS if service.is_system else service.home / "Library/LaunchAgents"
        return folder / f"{service.name}.plist"

    def text(self, service: Service) -> str:
        log = str(service.folder / f"{service.name}.log")
        job: dict[str, Any] = {
            "Label": service.name,
            "ProgramArguments": [*service.program, "run", "--config", str(service.config)],
            "WorkingDirectory": str(service.folder),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            "ExitTimeOut": int(service.shutdown_s + _MARGIN_S),
            "ProcessType": "Interactive",  # else it is given less of the machine than programs with windows
            "SoftResourceLimits": {"NumberOfFiles": 65536},
            "HardResourceLimits": {"NumberOfFiles": 65536},
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
        if service.is_system:
            job["UserName"] = service.run_as or "nobody"
        return plistlib.dumps(job, sort_keys=False).decode()

    def config(self, text: str) -> Path | None:
        try:
            words = plistlib.loads(text.encode())["ProgramArguments"]
            return Path(words[words.index("--config") + 1])
        except (plistlib.InvalidFileException, ValueError, LookupError, TypeError):
            return None

    def commands(self, action: Action, service: Service) -> tuple[Command, ...]:
        domain = "system" if service.is_system else f"gui/{os.getuid()}"
        job = f"{domain}/{service.name}"
        match action:
            case Action.INSTALL:
                return (("launchctl", "bootstrap", domain, str(self.file(service))),)
            case Action.UNINSTALL | Action.STOP:
                return (("launchctl", "bootout", job),)
            case Action.START:
                return (("launchctl", "bootstrap", domain, str(self.file(service))),)
            case Action.RESTART:
                return (("launchctl", "kickstart", "-k", job),)
            case Action.STATUS | Action.IS_ACTIVE:
                return (("launchctl", "print", job),)

    def last(self, service: Service) -> tuple[Command, ...]:
        return ()

    def problem(self, service: Service) -> str | None:
        return None if shutil.which("launchctl") else "launchd does not run here"

    def hints(self, service: Service) -> tuple[str, ...]:
        return (f"its log: {service.folder / f'{service.name}.log'}",)
