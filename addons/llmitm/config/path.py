"""Which file is the configuration. Commands that only look for a running gateway read no more than this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_PATH: Final = Path("config.toml")


def find(option: Path | None, env: Mapping[str, str]) -> Path:
    """The file to read: the option, else CONFIG_PATH, else config.toml here."""
    if option is not None:
        return option
    return Path(env["CONFIG_PATH"]) if env.get("CONFIG_PATH") else DEFAULT_PATH
