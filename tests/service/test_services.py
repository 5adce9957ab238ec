"""What service managers are given: read by their own linters, or by readers of the format."""

from __future__ import annotations

import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmitm.cli.main import app
from llmitm.cli.service import Here, Ran, run
from llmitm.service.launchd import Launchd
from llmitm.service.plan import Action, Command, Service
from llmitm.service.systemd import Systemd
from llmitm.service.windows import Windows

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 2.0
"""What `systemd-analyze security` may find at most, of 10."""
STRANGE = Path("/srv/a folder/100%/it's $HOME/config.toml")


def service(config: Path = Path("/var/lib/llmitm/config.toml"), **more: object) -> Service:
    given = {"is_system": True, "home": Path("/home/somebody"), "needs": (Path("/opt/llmitm"),), **more}
    return Service(config=config, **given)  # type: ignore[arg-type]


def keys(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", unit):
        found.setdefault(name, []).append(value)
    return found


class Machine:
    """A service manager that does as it is told, and a machine that has it."""

    def __init__(self, folder: Path, failing: str = "") -> None:
        self.ran: list[str] = []
        self._failing = failing
        (folder / "runs").touch()
        self.manager = Systemd(runs=folder / "runs")
        self.here = Here(env={"HOME": str(folder)}, is_root=False, run=self._run)
        self.unit = folder / ".config/systemd/user/llmitm.service"

    def _run(self, command: Command) -> Ran:
        self.ran.append(" ".join(command))
        is_failing = bool(self._failing) and self._failing in self.ran[-1]
        return Ran(1, "it would not") if is_failing else Ran(0, "")

    def __call__(self, action: Action, config: Path | None = None) -> int:
        return run(action, config, here=self.here, asked=self.manager)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("is_system", [True, False])
@pytest.mark.parametrize("config", [Path("/var/lib/llmitm/config.toml"), STRANGE], ids=["usual", "strange"])
def test_systemd_finds_nothing_wrong_with_its_unit(tmp_path: Path, config: Path, is_system: bool) -> None:
    unit = tmp_path / "llmitm.service"
    unit.write_text(Systemd().text(service(config, is_system=is_system)))
    scope = "--system" if is_system else "--user"
    ran = subprocess.run(
        [ANALYZE or "", "verify", scope, "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    ours = [line for line in ran.stderr.splitlines() if "llmitm" in line]
    assert ours == [] and ran.returncode == 0


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_a_service_of_the_system_is_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "llmitm.service"
    unit.write_text(Systemd().text(service()))
    limit = f"--threshold={EXPOSURE * 10:g}"
    ran = subprocess.run(
        [ANALYZE or "", "security", "--offline=true", limit, "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("made", "rules"),
    [
        (service(), {"User": ["llmitm"], "StateDirectory": ["llmitm"], "ProtectHome": ["yes"]}),
        (
            service(Path("/etc/llmitm/config.toml")),
            {"ReadWritePaths": ["/etc/llmitm"], "PrivateTmp": ["yes"]},
        ),
        (
            service(run_as="me", config=Path("/home/me/c.toml")),
            {"User": ["me"], "ProtectHome": ["read-only"]},
        ),
        *(
            (service(needs=(Path(homes, "programs"),)), {"ProtectHome": ["read-only"]})
            for homes in ("/home", "/root", "/run/user")
        ),
        (service(binds_low=True), {"CapabilityBoundingSet": ["CAP_NET_BIND_SERVICE"]}),
        (service(), {"CapabilityBoundingSet": [""], "AmbientCapabilities": [""]}),
        (service(shutdown_s=300), {"TimeoutStopSec": ["315"], "RestartPreventExitStatus": ["2"]}),
        (service(), {"Type": ["notify"], "WatchdogSec": ["30"], "Restart": ["on-failure"]}),
        (service(is_system=False), {"WantedBy": ["default.target"], "NoNewPrivileges": ["yes"]}),
    ],
)
def test_a_unit_says(made: Service, rules: dict[str, list[str]]) -> None:
    found = keys(Systemd().text(made))
    assert {name: found.get(name) for name in rules} == rules


@pytest.mark.parametrize(
    ("made", "absent"),
    [
        (service(Path("/etc/llmitm/config.toml")), {"StateDirectory"}),
        (service(Path("/tmp/x/config.toml")), {"PrivateTmp"}),
        (service(is_system=False), {"User", "StateDirectory", "ProtectSystem", "CapabilityBoundingSet"}),
    ],
)
def test_a_unit_does_not_say(made: Service, absent: set[str]) -> None:
    assert absent & set(keys(Systemd().text(made))) == set()


def test_a_line_of_a_unit_is_the_command_that_was_meant() -> None:
    found = keys(Systemd().text(service(STRANGE)))
    line = found["ExecStart"][0].replace("%%", "%").replace("$$", "$")
    assert shlex.split(line) == [sys.executable, "-P", "-m", "llmitm", "run", "--config", str(STRANGE)]


@pytest.mark.parametrize("manager", [Systemd(), Launchd()])
@pytest.mark.parametrize("config", [Path("/var/lib/llmitm/config.toml"), STRANGE], ids=["usual", "strange"])
def test_what_a_service_was_written_for_is_read_from_it(manager: Systemd | Launchd, config: Path) -> None:
    assert manager.config(manager.text(service(config))) == config
    assert manager.config("[Service]\nExecStart=/bin/true --config\n") is None
    assert manager.config("") is None


def test_launchd_is_given_a_property_list() -> None:
    made = service(STRANGE, is_system=True, run_as="me", shutdown_s=60)
    job = plistlib.loads(Launchd().text(made).encode())
    assert job["ProgramArguments"][-2:] == ["--config", str(STRANGE)]
    assert job["KeepAlive"] == {"SuccessfulExit": False} and job["RunAtLoad"] is True
    assert (job["UserName"], job["ExitTimeOut"], job["Umask"]) == ("me", 75, 0o077)
    assert "UserName" not in plistlib.loads(Launchd().text(service(is_system=False)).encode())


def test_windows_is_given_a_script_that_expands_nothing() -> None:
    script = Windows().text(service(STRANGE))
    assert all(line.count("'") % 2 == 0 for line in script.splitlines())
    assert "it''s $HOME" in script and '"' not in script.replace('\\"', "")
    assert "ObjectName 'NT SERVICE\\llmitm' ''" in script


@pytest.mark.parametrize("manager", ["systemd", "launchd", "windows"])
@pytest.mark.parametrize("before", [True, False])
def test_it_is_printed_without_a_configuration_or_a_service_manager(manager: str, before: bool) -> None:
    given = ["--config", "/nowhere/at all/llmitm.toml"]
    words = ["service", "install", "--print", "--for", manager]
    ran = CliRunner().invoke(app, [*given, *words] if before else [*words, *given])
    assert ran.exit_code == 0
    assert "/nowhere/at all" in ran.stdout and "llmitm.toml" in ran.stdout
    assert ("never tried" in ran.stderr) == (manager != "systemd")
    assert str(Path.cwd()) not in ran.stdout.replace(sys.prefix, "")


def test_a_service_is_checked_written_and_started_and_removed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    config = tmp_path / "config.toml"
    assert machine(Action.INSTALL, config) == 0
    assert f"--config {config}" in machine.unit.read_text()
    assert "env -i " in machine.ran[0] and f"config check --config {config}" in machine.ran[0]
    control = "systemctl --user"
    assert machine.ran[1:] == [
        f"{control} daemon-reload",
        f"{control} enable llmitm.service",
        f"{control} restart llmitm.service",
    ]
    machine.ran.clear()
    assert machine(Action.STATUS) == machine(Action.STOP) == machine(Action.START) == 0
    assert [line.split()[2] for line in machine.ran] == ["status", "stop", "start"]
    machine.ran.clear()
    assert machine(Action.UNINSTALL) == 0
    assert not machine.unit.exists()
    assert machine.ran == [f"{control} disable --now llmitm.service", f"{control} daemon-reload"]
    assert machine(Action.UNINSTALL) == 1


def test_a_configuration_that_the_service_could_not_use_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, failing="config check")
    assert machine(Action.INSTALL, tmp_path / "config.toml") == 1
    assert not machine.unit.exists() and len(machine.ran) == 1
    assert str(tmp_path / ".env") in capsys.readouterr().err


def test_services_of_the_system_are_roots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    assert run(Action.START, None, is_system=True, here=machine.here, asked=machine.manager) == 1
    assert "sudo" in capsys.readouterr().err and machine.ran == []


def test_where_no_service_manager_runs_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    absent = Systemd(runs=tmp_path / "absent")
    assert run(Action.INSTALL, None, here=machine.here, asked=absent) == 1
    assert "--print" in capsys.readouterr().err and machine.ran == []


def test_a_unit_lets_the_process_that_writes_the_ledger_be_nice() -> None:
    """What a filter of system calls forbids beyond the privileged ones, `os.nice` is not of it."""
    forbidden = [line for line in keys(Systemd().text(service()))["SystemCallFilter"] if line.startswith("~")]
    assert forbidden == ["~@privileged"]
