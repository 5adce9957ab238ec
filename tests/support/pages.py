"""Pages of docs/ as somebody would follow them: configurations are written, commands run, in order.

What a block of a page is for stands behind its language: `toml config` is the whole configuration, `toml
more` is put at its end, `sh run` is run, `sh start` runs until the next one or the page's end. Others are
only shown. What is set stays. Providers are the embedded one, ports are free ones; all else is as it stands
there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import httpx

from support import forked
from support.backstage import Backstage
from support.gateway import BIN, ROOT

DOCS: Final = ROOT / "docs"
_BLOCK: Final = re.compile(r"^```(\w[\w ]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FORMATS: Final = {
    "openai": ("openai-chat", "/v1"),
    "anthropic": ("anthropic-messages", ""),
    "gemini": ("gemini", ""),
}
_PORTS: Final = ("8811", "8812", "8081")
_READY_S: Final = 20.0


class Block(NamedTuple):
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall((DOCS / page).read_text("utf-8"))]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


class Reader:
    """Follows one page, in a folder of its own. `said` is what each block that was run printed."""

    def __init__(self, folder: Path, provider: Backstage, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.provider = provider
        self.ports = {name: str(free_port()) for name in _PORTS}
        self.said: list[str] = []
        self._config = folder / "config.toml"
        self._running: subprocess.Popen[bytes] | None = None
        self._env = {
            "PATH": f"{forked.programs()}:{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "BROWSER": "true",
            "PORT": self.ports["8811"],
            **(env or {}),
        }
        (folder / "addons").symlink_to(ROOT / "addons")

    def follow(self, page: str) -> str:
        """Everything that was printed, in order."""
        for block in blocks(page):
            match block.kind:
                case "toml config":
                    self._config.write_text(self._here(block.text))
                case "toml more":
                    with self._config.open("a") as file:
                        file.write(self._here(block.text))
                case "sh run":
                    self.said.append(self._run(self._here(block.text)))
                case "sh start":
                    self._start(self._here(block.text))
        return "".join(self.said)

    def _here(self, text: str) -> str:
        for name, port in self.ports.items():
            text = re.sub(rf"\b{name}\b", port, text)
        text = text.replace("https://api.openai.com", self.provider.url)
        text = text.replace("mitmweb -s", f"mitmweb --web-port {self.ports['8081']} -s")
        for name, (form, path) in _FORMATS.items():
            table = f"[providers.{name}]\n"
            text = text.replace(table, f'{table}base_url = "{self.provider.url}{path}"\nformat = "{form}"\n')
        if "[[gateways]]" in text and "[cloudflare]" not in text:
            text += f'\n[cloudflare]\nbase_url = "{self.provider.url}"\n'
        return text

    def _run(self, lines: str) -> str:
        exported = self.folder / "exported"
        made = subprocess.run(
            ["bash", "-aeuo", "pipefail", "-c", f"{lines}\nenv -0 > {exported}"],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert made.returncode == 0, f"{lines}\n{made.stdout}{made.stderr}"
        assert "Traceback" not in made.stdout + made.stderr, made.stderr
        found = (one.split("=", 1) for one in exported.read_text().split("\0") if "=" in one)
        self._env |= {name: value for name, value in found if name not in ("_", "PWD", "SHLVL")}
        return made.stdout + made.stderr

    def _start(self, line: str) -> None:
        """Returns once the gateway answers."""
        self._stop()
        log = (self.folder / "started.log").open("wb")
        with log:
            self._running = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + _READY_S
        while not self._is_ready():
            told = (self.folder / "started.log").read_text("utf-8", "replace")
            assert self._running.poll() is None, f"{line}\n{told}"
            assert time.monotonic() < deadline_s, f"{line}\n{told}"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.ports['8811']}/ready", trust_env=False, timeout=2)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def _stop(self) -> None:
        if self._running is not None:
            self._running.send_signal(signal.SIGTERM)
            self._running.wait(20)
            self._running = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        # what `llmitm run --daemon` left, where the page did not come to its end
        stop = [str(forked.programs() / "llmitm"), "stop", "--timeout", "5"]
        if error is not None and self._config.exists():
            subprocess.run(stop, cwd=self.folder, env=self._env, capture_output=True, check=False)
