"""The version: `version.py` prints it, `version.py patch|minor|major|X.Y.Z` sets the next one.

It stands in addons/llmitm/__init__.py alone. What CHANGELOG.md says under Unreleased becomes the new
version's, with the day of today.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = "addons/llmitm/__init__.py"
_LINE = re.compile(r'(?m)^__version__ = "(.+)"$')
_FORM = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?")
"""Three numbers, and for one that is tried first which try it is: 1.2.0rc1."""
_FINAL = "z"
"""The kind of a version that is no try: it comes after all of them."""


class Wrong(Exception):
    """The text says why."""


def read(root: Path) -> str:
    found = _LINE.search((root / PLACE).read_text())
    if found is None:
        raise Wrong(f"{PLACE} has no __version__")
    return found[1]


def next_version(now: str, wanted: str) -> str:
    """`wanted` is patch, minor, major, or a version that is later than `now`."""
    major, minor, patch, kind, _ = parsed(now)
    match wanted:
        case "major":
            return f"{major + 1}.0.0"
        case "minor":
            return f"{major}.{minor + 1}.0"
        case "patch":  # a last try is followed by what it tried
            return f"{major}.{minor}.{patch + 1 if kind == _FINAL else patch}"
    if parsed(wanted) <= parsed(now):
        raise Wrong(f"{wanted} is not later than {now}")
    return wanted


def parsed(version: str) -> tuple[int, int, int, str, int]:
    """In the order of versions."""
    found = _FORM.fullmatch(version)
    if found is None:
        raise Wrong(f"{version} is no version; one looks like 1.2.3 or 1.2.3rc1")
    return int(found[1]), int(found[2]), int(found[3]), found[4] or _FINAL, int(found[5] or 0)


def write(root: Path, version: str, today: datetime.date) -> None:
    place, changes = root / PLACE, root / "CHANGELOG.md"
    place.write_text(_LINE.sub(f'__version__ = "{version}"', place.read_text(), count=1))
    text = changes.read_text()
    if "## Unreleased\n" not in text:
        raise Wrong("CHANGELOG.md has no section Unreleased")
    changes.write_text(text.replace("## Unreleased\n", f"## Unreleased\n\n## {version} - {today}\n", 1))


def main(words: list[str], root: Path = ROOT, today: datetime.date | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "wanted", nargs="?", help="patch, minor, major or X.Y.Z; without it nothing is changed"
    )
    wanted = parser.parse_args(words).wanted
    try:
        version = read(root)
        if wanted is not None:
            version = next_version(version, wanted)
            write(root, version, today or datetime.date.today())
    except Wrong as wrong:
        print(f"version: {wrong}", file=sys.stderr)
        return 1
    print(version)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
