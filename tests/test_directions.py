"""Who may import whom. The layout's rules, held by walking the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "addons" / "llmitm"
STATIONS = {"accept", "route", "translate", "shape", "send", "record", "state"}
DRIVERS = {"aiohttp", "aiohttp_socks", "httpx", "redis", "sqlalchemy", "asyncpg", "aiosqlite"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def folder(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_their_direction(path: Path) -> None:
    own = folder(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top in ("mitmproxy", "mitmproxy_rs", "h2", "OpenSSL"):
            assert own == "edge", f"{name}: only edge/ knows mitmproxy"
        if top in DRIVERS:
            assert own in ("send", "admin", "state", "record", "demo", "cli"), f"{name}: no driver in {own}/"
        if name.startswith("llmitm.state.store"):
            continue  # the protocol of the store that stations are handed, no station's work
        if top == "llmitm" and own in STATIONS:
            other = rest.split(".")[0]
            assert other not in (STATIONS - {own}), f"{name}: stations do not import one another"
            assert other not in ("edge", "cli", "journey", "trip", "world", "demo"), f"{name}: points upward"
        if top == "llmitm" and own == "trip":
            assert rest.split(".")[0] not in ("edge", "cli", "journey"), f"{name}: points upward"


def test_nothing_but_the_entry_script_and_the_package_lies_in_addons() -> None:
    """mitmproxy puts `addons/` on `sys.path`: any other module there would become a top-level name."""
    names = {path.name for path in PACKAGE.parent.iterdir()} - {"__pycache__"}
    assert names == {"gateway.py", "llmitm"}
