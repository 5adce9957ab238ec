"""How llmitm came onto this machine, and what brings another version.

Which index is asked, and how, is the installer's own matter: its environment and its configuration say so.
"""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

NAME: Final = "llmitm"

type Command = tuple[str, ...]


class How(StrEnum):
    PIP = "pip"
    PIPX = "pipx"
    UV = "uv pip"
    UV_TOOL = "uv tool"
    EDITABLE = "a clone"
    CONTAINER = "a container"
    SYSTEM = "a package of the system"
    SOURCE = "sources that are not installed"


INDEXES: Final[Mapping[How, tuple[str, ...]]] = {
    How.PIP: ("PIP_INDEX_URL",),
    How.PIPX: ("PIP_INDEX_URL",),
    How.UV: ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    How.UV_TOOL: ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
}
"""The variables that name an installer's index, the one that wins first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    how: How
    version: str
    place: Path
    """The folder that holds the package, and with it what was installed beside it."""
    python: str = sys.executable
    prefix: Path = Path(sys.prefix)

    @property
    def can_change(self) -> bool:
        """Whether its installer can be asked from here."""
        return self.how in INDEXES

    def asks(self) -> Command:
        """Prints which version an upgrade would bring: see `newest`. Changes nothing."""
        wanted = ("--dry-run", "--upgrade", "--no-deps", NAME)
        match self.how:
            case How.PIP:
                return (self.python, "-m", "pip", "install", "--quiet", "--report", "-", *wanted)
            case How.PIPX:
                return ("pipx", "runpip", NAME, "install", "--quiet", "--report", "-", *wanted)
            case _:
                return ("uv", "pip", "install", "--python", self.python, *wanted)

    def brings(self, version: str) -> Command:
        """Installs that version."""
        wanted = f"{NAME}=={version}"
        match self.how:
            case How.PIP:
                return (self.python, "-m", "pip", "install", "--quiet", "--upgrade", wanted)
            case How.PIPX:
                return ("pipx", "runpip", NAME, "install", "--quiet", "--upgrade", wanted)
            case _:  # also into the environment of a tool, whose receipt stays as it was asked for
                return ("uv", "pip", "install", "--quiet", "--python", self.python, wanted)

    def advice(self) -> str:
        """What a person does where its installer cannot be asked."""
        match self.how:
            case How.CONTAINER:
                return (
                    "It runs in a container, which is replaced and not changed: pull or build a newer image,"
                    " and start it anew (docker compose up --build --detach --wait)."
                )
            case How.EDITABLE:
                return (
                    f"It is installed from a clone, {self.place}: run git pull there, then"
                    f" {self.python} -m pip install -r requirements.txt, and restart what runs."
                )
            case How.SYSTEM:
                return "It is a package of the system: that one's package manager brings newer versions."
            case _:
                return f"It runs from sources that no installer knows ({self.place}): replace those."


def newest(how: How, said: str) -> str | None:
    """The version that an upgrade would bring, as `asks` was answered; None: there is no newer one.

    Raises:
        ValueError: that is no answer.
    """
    if how in (How.PIP, How.PIPX):
        # warnings may stand before it and behind it
        report, _ = json.JSONDecoder().raw_decode(said, said.index("{"))
        found = [one["metadata"] for one in report["install"]]
        versions = [str(one["version"]) for one in found if one["name"].lower() == NAME]
        return versions[0] if versions else None
    if not re.search(r"(?m)^(Would|Audited|Checked|Resolved)", said):
        raise ValueError(said)
    added = re.search(rf"(?m)^ \+ {NAME}==(\S+)", said)
    return added[1] if added else None


def find(env: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> Installed:
    """How the package that runs was installed."""
    here = Path(__file__).resolve().parents[1]
    if env.get("LLMITM_INSTALLED_AS") == "container":
        return Installed(how=How.CONTAINER, version=_version(), place=here.parent)
    try:
        found = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        return Installed(how=How.SOURCE, version=_version(), place=here)
    direct: dict[str, Any] = json.loads(found.read_text("direct_url.json") or "{}")
    if direct.get("dir_info", {}).get("editable"):
        clone = Path(unquote(urlsplit(direct["url"]).path))
        return Installed(how=How.EDITABLE, version=found.version, place=clone)
    place = Path(str(found.locate_file("")))
    if not here.is_relative_to(place.resolve()):
        return Installed(how=How.SOURCE, version=_version(), place=here)
    installer = (found.read_text("INSTALLER") or "").strip()
    return Installed(how=how_installed(prefix, installer), version=found.version, place=place)


def how_installed(prefix: Path, installer: str) -> How:
    """`prefix` is the environment's folder, `installer` what says so beside the package."""
    if (prefix / "uv-receipt.toml").exists():
        return How.UV_TOOL
    if (prefix / "pipx_metadata.json").exists():
        return How.PIPX
    is_own = sys.prefix != sys.base_prefix
    if not is_own and (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists():
        return How.SYSTEM
    return {"pip": How.PIP, "uv": How.UV}.get(installer, How.SYSTEM)


def _version() -> str:
    from llmitm import __version__

    return __version__


def with_token(how: How, env: Mapping[str, str], token: str) -> dict[str, str]:
    """The environment in which the installer shows its index a token.

    Raises:
        LookupError: no variable names an index that it could be shown. The text says which are read.
    """
    for name in INDEXES[how]:
        if url := env.get(name):
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
            return {**env, name: urlunsplit(parts._replace(netloc=f"__token__:{token}@{host}"))}
    raise LookupError(f"--token is for an index of your own: {' or '.join(INDEXES[how])} names it")
