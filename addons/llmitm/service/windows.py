"""Windows: a PowerShell script for NSSM, which runs any program as a service."""

from __future__ import annotations

import shutil
from pathlib import Path

from llmitm.service.plan import Action, Command, Service


class Windows:
    title = "Windows"
    is_tried = False

    def file(self, service: Service) -> Path:
        return service.folder / f"{service.name}-service.ps1"

    def text(self, service: Service) -> str:
        name = service.name
        log = str(service.folder / f"{name}.log")
        program, *arguments = service.program
        # `run` keeps a PID file with a lock that Windows does not have
        arguments += ["serve", "--config", str(service.config)]
        settings = (
            ("AppDirectory", str(service.folder)),
            ("AppParameters", " ".join(_argument(word) for word in arguments)),
            ("AppStdout", log),
            ("AppStderr", log),
            ("AppRotateFiles", "1"),
            ("AppRotateBytes", "10485760"),
            ("AppStopMethodConsole", str(int(service.shutdown_s * 1000))),
            ("AppExit", "2", "Exit"),  # a configuration that cannot be used does not mend itself
            ("AppRestartDelay", "2000"),
            ("Start", "SERVICE_AUTO_START"),
            # an account that Windows makes for this service alone, without a password or rights
            ("ObjectName", f"NT SERVICE\\{name}", ""),
        )
        return "\r\n".join(
            (
                "# Run as Administrator. Needs nssm.exe in the PATH.",
                "$ErrorActionPreference = 'Stop'",
                f"nssm install {name} {_string(program)}",
                *(f"nssm set {name} {one[0]} {' '.join(map(_string, one[1:]))}" for one in settings),
                f"icacls {_string(str(service.folder))} /grant {_string(f'NT SERVICE\\{name}:(OI)(CI)M')}",
                f"nssm start {name}",
                "",
            )
        )

    def config(self, text: str) -> Path | None:
        return None  # `llmitm serve`, which it runs, keeps no PID file to ask after it by

    def commands(self, action: Action, service: Service) -> tuple[Command, ...]:
        name = service.name
        match action:
            case Action.INSTALL:
                script = str(self.file(service))
                return (("powershell", "-ExecutionPolicy", "Bypass", "-File", script),)
            case Action.UNINSTALL:
                return (("nssm", "stop", name), ("nssm", "remove", name, "confirm"))
            case Action.IS_ACTIVE:
                return (("nssm", "status", name),)
            case _:
                return (("nssm", action.value, name),)

    def last(self, service: Service) -> tuple[Command, ...]:
        return ()

    def problem(self, service: Service) -> str | None:
        if shutil.which("powershell") is None:
            return "this is not Windows"
        return None if shutil.which("nssm") else "nssm.exe is not in the PATH"

    def hints(self, service: Service) -> tuple[str, ...]:
        return (f"its log: {service.folder / f'{service.name}.log'}",)


def _string(word: str) -> str:
    """Of PowerShell, with nothing in it that is expanded. It hands quotes on only after a backslash."""
    return "'" + word.replace("'", "''").replace('"', '\\"') + "'"


def _argument(word: str) -> str:
    """A word of a Windows command line."""
    return f'"{word}"' if " " in word or not word else word
