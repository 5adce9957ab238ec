"""Wheel and source, looked into and run: `python -m support.package_proof [--dist FOLDER]`.

Without `--dist` they are built first. The wheel is installed into a fresh environment with the versions that
requirements.txt pins, checked by hash, and its gateway is asked. pipx and uvx run it, where there are any.
Nothing but Python is needed where `--dist` is given.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = "addons/llmitm"
BESIDE: Final = ("share/llmitm/gateway.py", "share/llmitm/config.toml.example")
CONFIG: Final = """
[server]
port = 0
[endpoints.dev]
target_base = "http://127.0.0.1:1"
[dashboard]
enabled = true
port = 0
"""


@dataclass(frozen=True, slots=True)
class Dist:
    wheel: Path
    source: Path

    @classmethod
    def of(cls, folder: Path) -> Dist:
        """Raises ValueError: there is not one of each."""
        (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
        return cls(wheel, source)


def built(folder: Path) -> Dist:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return Dist.of(folder)


def missing_in_wheel(dist: Dist, root: Path = ROOT) -> set[str]:
    """Files that the gateway needs and the wheel has not."""
    package = root / PACKAGE
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    wanted = {f"llmitm/{path.relative_to(package)}" for path in files}
    with zipfile.ZipFile(dist.wheel) as wheel:
        names = set(wheel.namelist())
    info = next(name for name in names if name.endswith(".dist-info/METADATA")).removesuffix("METADATA")
    wanted |= {f"{info}licenses/LICENSE", f"{info}entry_points.txt"}
    wanted |= {f"{info.replace('.dist-info/', '.data')}/data/{name}" for name in BESIDE}
    return wanted - names


def missing_in_source(dist: Dist, root: Path = ROOT) -> set[str]:
    """Files of the repository that the source distribution has not."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True)
    with tarfile.open(dist.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    return {name for name in listed.stdout.splitlines() if (root / name).exists()} - names


class Installed:
    """A fresh environment that has the wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    @classmethod
    def beside_ours(cls, wheel: Path, folder: Path) -> Installed:
        """What the wheel needs is taken from the environment of this process: quick, and without an index."""
        venv.create(folder, with_pip=False, symlinks=True)
        made = cls(folder)
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (site,) = (folder / "lib").glob("python*/site-packages")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
        (site / "ours.pth").write_text(f"{ours}\n")
        return made

    @classmethod
    def with_ours(cls, wheel: Path, folder: Path) -> Installed:
        """As `beside_ours`, for installers that look into their own folder alone: second names of ours."""
        venv.create(folder, with_pip=False, symlinks=True)
        made = cls(folder)
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (site,) = (folder / "lib").glob("python*/site-packages")
        not_ours = shutil.ignore_patterns("llmitm-*", "*_llmitm*")
        shutil.copytree(
            ours, site, symlinks=True, ignore=not_ours, copy_function=_second_name, dirs_exist_ok=True
        )
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
        return made

    @classmethod
    def alone(cls, wheel: Path, folder: Path) -> Installed:
        venv.create(folder, with_pip=True, symlinks=True)
        made = cls(folder)
        pip = (str(made.python), "-m", "pip", "install", "-q")
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.txt")], check=True)
        subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
        return made

    def __call__(self, *words: str) -> str:
        """What `llmitm` printed. Raises CalledProcessError."""
        command = [str(self.python), "-P", "-m", "llmitm", *words]
        ran = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=self.env)
        if ran.returncode != 0:
            raise AssertionError(f"{words} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout + ran.stderr

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def place(self) -> Path:
        """The folder that the package is imported from."""
        told = "import llmitm; print(llmitm.__path__[0])"
        command = [str(self.python), "-P", "-c", told]
        ran = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=self.env, check=True
        )
        return Path(ran.stdout.strip())

    def pages(self) -> dict[str, int]:
        """Path and length in bytes of the dashboard's first page and of all that it names."""
        from support.gateway import Gateway

        found: dict[str, int] = {}
        with Gateway(CONFIG, self.folder, python=self.python) as running:
            url = running.wait_for(r"dashboard on (http://[^\s,\"]+)")[1]
            index = _fetched(f"{url}/")
            found["/"] = len(index)
            for name in re.findall(r'(?:src|href)="(/[^"]+)"', index.decode()):
                found[name] = len(_fetched(f"{url}{name}"))
        return found


def _fetched(url: str) -> bytes:
    """Raises OSError: also for what is not there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def _second_name(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, help="folder with one wheel and one source distribution")
    given = parser.parse_args().dist
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dist = Dist.of(given.resolve()) if given else built(folder / "dist")
        failures = [f"{dist.wheel.name} has no {one}" for one in sorted(missing_in_wheel(dist))]
        failures += [f"{dist.source.name} has no {one}" for one in sorted(missing_in_source(dist))]
        installed = Installed.alone(dist.wheel, folder / "venv")
        print(installed("--version").strip())
        print(installed("demo").strip().splitlines()[-1])
        print(f"dashboard: {installed.pages()}")
        for runner in (f"pipx run --python {sys.executable} --spec", f"uvx --python {sys.executable} --from"):
            program, *words = runner.split()
            found = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
            if found is None:
                print(f"{program}: not installed, not tried")
                continue
            ran = subprocess.run(
                [found, *words, str(dist.wheel), "llmitm", "--version"], capture_output=True, text=True
            )
            print(f"{program}: {ran.stdout.strip()}")
            failures += [f"{program}: {ran.stderr}"] if ran.returncode else []
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
