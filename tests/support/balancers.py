"""nginx and HAProxy with the recipes of deploy/, on a free loopback port, before gateways of ours."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from support.gateway import ROOT

_SBIN: Final = "/usr/sbin:/usr/local/sbin"
BINARIES: Final = {
    name: shutil.which(name) or shutil.which(name, path=_SBIN) for name in ("nginx", "haproxy")
}
RECIPES: Final = {
    "nginx": ROOT / "deploy" / "nginx" / "llmitm.conf",
    "haproxy": ROOT / "deploy" / "haproxy" / "haproxy.cfg",
}
_SERVER = re.compile(r"(?m)^(?P<before> +server .*?)10\.0\.0\.\d+:8811(?P<after>.*)\n")
_LISTEN = re.compile(r"(?m)^(?P<before> +(?:listen|bind) )\S*:?8080")
_NGINX: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/llmitm.conf;
}}
"""


def absent(name: str) -> str:
    return f"there is no {name} on this machine (Debian: apt-get install {name})"


def recipe(name: str, port: int, gateways: Sequence[int]) -> str:
    """The recipe as it stands in deploy/, with these ports of 127.0.0.1 in the place of its addresses."""
    text = RECIPES[name].read_text()
    found = list(_SERVER.finditer(text))
    servers = "".join(
        f"{_named(found[0]['before'], number)}127.0.0.1:{gateway}{found[0]['after']}\n"
        for number, gateway in enumerate(gateways)
    )
    text = text[: found[0].start()] + servers + text[found[-1].end() :]
    text, count = _LISTEN.subn(lambda listen: f"{listen['before']}127.0.0.1:{port}", text)
    assert len(found) == 3 and count == 1, f"the recipe of {name} has changed"
    return text


def _named(line: str, number: int) -> str:
    """HAProxy's servers have names, which must differ."""
    return re.sub(r"server [a-z]\w*", f"server number{number}", line)


class Balancer:
    """A running one. Use it as a context manager. `gateways` are ports."""

    def __init__(self, name: str, folder: Path, gateways: Sequence[int]) -> None:
        self.name = name
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._config = folder / ("llmitm.conf" if name == "nginx" else "haproxy.cfg")
        self._config.write_text(recipe(name, self.port, gateways))
        if name == "nginx":
            (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        binary = BINARIES[self.name]
        assert binary is not None, absent(self.name)
        if self.name == "nginx":
            return [binary, "-p", str(self._folder), "-e", "stderr", "-c", str(self._folder / "nginx.conf")]
        return [binary, "-f", str(self._config)]

    def checked(self) -> str:
        """What the program says of its configuration, which it must accept."""
        option = "-t" if self.name == "nginx" else "-c"
        done = subprocess.run([*self._command(), option], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def output(self) -> str:
        return (self._folder / "balancer.log").read_text()

    def __enter__(self) -> Balancer:
        options = ["-db"] if self.name == "haproxy" else []
        with open(self._folder / "balancer.log", "ab") as log:
            self._process = subprocess.Popen([*self._command(), *options], stdout=log, stderr=log)
        until_s = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self._process.poll() is None, self.output()
                assert time.monotonic() < until_s, f"{self.name} does not listen"
                time.sleep(0.01)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
