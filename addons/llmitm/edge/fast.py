"""Shortcuts through mitmproxy's dispatch. Each is small, can be switched off, and has a contract test."""

from __future__ import annotations

from typing import Any


def install(door: Any) -> None:
    """Nothing yet."""


def remove(door: Any) -> None:
    """Undoes `install`."""
