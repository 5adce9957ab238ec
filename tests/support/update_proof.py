"""`llmitm update` with whole wheels: `python -m support.update_proof`. Takes about a minute.

A gateway runs as a service of an environment of its own, is updated from an index on loopback by pip and by
uv, and gets its version back where the newer one does not run, or does not use its configuration.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from llmitm.service.probe import ask_by_config
from support.package_proof import Installed, built

CONFIG = '[server]\nport = 0\n[endpoints.dev]\ntarget_base = "http://127.0.0.1:1"\n'
SYSTEMCTL = """#!/bin/sh
# a service manager with one service
shift  # --user
case "$1" in
    is-active) exec "{python}" -P -m llmitm status ;;
    restart) "{python}" -P -m llmitm stop; exec "{python}" -P -m llmitm run --daemon ;;
esac
"""
ENDS = '\nraise SystemExit("this one does not run")\n'


def repacked(
    wheel: Path, folder: Path, version: str, installer: str, more: Mapping[str, str] | None = None
) -> Path:
    """The wheel as another version, as installed by that one, with something at the end of some modules."""
    with zipfile.ZipFile(wheel) as packed:
        files = {name: packed.read(name) for name in packed.namelist() if not name.endswith("RECORD")}
    old = wheel.name.split("-")[1]
    init = "llmitm/__init__.py"
    files[init] = files[init].replace(f'"{old}"'.encode(), f'"{version}"'.encode())
    for name, text in (more or {}).items():
        files[name] += text.encode()
    files = {name.replace(f"llmitm-{old}.", f"llmitm-{version}."): data for name, data in files.items()}
    info = f"llmitm-{version}.dist-info"
    files[f"{info}/METADATA"] = files[f"{info}/METADATA"].replace(
        f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode()
    )
    files[f"{info}/INSTALLER"] = installer.encode()
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    made = folder / f"llmitm-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as packing:
        for name, data in files.items():
            packing.writestr(name, data)
    return made


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: object) -> None: ...


class Host:
    """A machine on which llmitm is installed and runs as a service."""

    def __init__(self, wheel: Path, folder: Path, installer: str) -> None:
        self.index = folder / "simple" / "llmitm"
        self.index.mkdir(parents=True)
        self._wheel = wheel
        self._installer = installer
        venv = folder / "venv"
        make = Installed.with_ours if installer == "uv" else Installed.beside_ours
        self.environment = make(self.offer("1.0.0"), venv)
        if uv := shutil.which("uv", path=str(Path(sys.executable).parent)):
            (venv / "bin" / "uv").symlink_to(uv)
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG)
        unit = folder / ".config/systemd/user/llmitm.service"
        unit.parent.mkdir(parents=True)
        unit.write_text(f"ExecStart=llmitm run --config {self.config}\n")
        systemctl = venv / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(python=self.environment.python))
        systemctl.chmod(0o755)
        self.env = {
            "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "CONFIG_PATH": str(self.config),
            "PIP_INDEX_URL": (url := self._serve(folder)),
            "UV_DEFAULT_INDEX": url,
            "UV_CACHE_DIR": str(folder / "cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def offer(self, version: str, more: Mapping[str, str] | None = None) -> Path:
        return repacked(self._wheel, self.index, version, self._installer, more)

    def _serve(self, folder: Path) -> str:
        """The folder as an index: a list of files is all that one is."""
        handler = functools.partial(_Quiet, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/simple/"

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.environment.python), "-P", *words]
        return subprocess.run(
            command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )

    def __call__(self, *words: str, status: int = 0) -> str:
        ran = self.python("-m", "llmitm", *words)
        assert ran.returncode == status, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout + ran.stderr

    def serves(self) -> str | None:
        """The version that answers."""
        return ask_by_config(self.config).version


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        wheel = built(Path(name) / "dist").wheel
        for installer in ("pip", "uv"):
            folder = Path(name) / installer
            folder.mkdir()
            host = Host(wheel, folder, installer)
            try:
                _prove(host)
            finally:
                host.python("-m", "llmitm", "stop")
            print(f"{installer}: updated, and what did not run undone")
    return 0


def _prove(host: Host) -> None:
    host("run", "--daemon")
    assert host.serves() == "1.0.0"
    assert "no newer version" in host("update", "--check")
    host.offer("1.1.0")
    assert "there is 1.1.0" in host("update", "--check", status=4)
    assert "-y says yes" in host("update", status=1)
    assert host.serves() == "1.0.0"
    print(host("update", "-y"))
    assert host.serves() == "1.1.0"
    for version, module, ends in (
        ("1.2.0", "llmitm/edge/serve.py", "this one does not run"),
        ("1.3.0", "llmitm/config/load.py", "this one does not run"),
    ):
        host.offer(version, {module: ENDS})
        said = host("update", "-y", status=1)
        print(said)
        assert ends in said and "1.1.0 is in place again" in said
        assert host("--version").strip() == "llmitm 1.1.0"
        assert host.serves() == "1.1.0"


if __name__ == "__main__":
    sys.exit(main())
