"""What the configuration's file has said, by whom and when: kept beside it, for who wants to go back.

A folder that only its owner may read (versions hold keys as the file does), a file a version. Numbers
rise by one and are never used again. The oldest go where there are too many.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FOLDER: Final = ".llmitm-history"
MOST: Final = 100
"""Versions that are kept."""
MOST_BYTES: Final = 16 * 1_048_576
FOUND: Final = "as it was found"
"""What is said of a version that somebody else wrote."""


def etag_of(content: bytes) -> str:
    """Changes with any byte of the file."""
    return hashlib.sha256(content).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What the file said from a moment on."""

    number: int
    at: str
    """RFC 3339."""
    who: str
    """Empty where it was not written through us."""
    what: str
    etag: str
    size_bytes: int


class History:
    """Of one file. Its methods block, and are called while the file is nobody else's to edit."""

    def __init__(self, path: Path) -> None:
        """`path` is the configuration's file; links are followed."""
        place = Path(os.path.realpath(path))
        self._folder = place.parent / FOLDER / place.name

    def versions(self) -> list[Version]:
        """The newest first. Those that cannot be read are left out."""
        found = [self._read(number) for number in reversed(self._numbers())]
        return [one[0] for one in found if one is not None]

    def content(self, number: int) -> bytes:
        """What the file said.

        Raises:
            LookupError: there is no such version, or none any more.
        """
        found = self._read(number)
        if found is None:
            raise LookupError(f"there is no version {number} of the configuration")
        return found[1]

    def keep(self, before: bytes, after: bytes, *, who: str, what: str, at_s: float) -> tuple[int, ...]:
        """Notes a change that is about to be made, and what stood there, where nobody has noted that.

        Returns the new numbers, for `forget` where the change is not made after all.

        Raises:
            OSError: it cannot be written.
        """
        self._ready()
        numbers = self._numbers()
        newest = self._read(numbers[-1]) if numbers else None
        number = numbers[-1] + 1 if numbers else 1
        made = []
        if before and (newest is None or newest[1] != before):
            self._write(number, before, "", FOUND, at_s)
            made.append(number)
            number += 1
        self._write(number, after, who, what, at_s)
        made.append(number)
        return tuple(made)

    def forget(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            self._path(number).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Lets go of what is too much, the oldest first; the newest always stays."""
        total = 0
        for count, number in enumerate(reversed(self._numbers())):
            path = self._path(number)
            total += path.stat().st_size
            if count and (count >= MOST or total > MOST_BYTES):
                path.unlink(missing_ok=True)

    def _ready(self) -> None:
        root = self._folder.parent
        for folder in (root, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        ignored = root / ".gitignore"  # it holds keys: nobody commits it by mistake
        if not ignored.exists():
            ignored.write_text("*\n")

    def _write(self, number: int, content: bytes, who: str, what: str, at_s: float) -> None:
        at = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        note = {"number": number, "at": at, "who": who, "what": what, "etag": etag_of(content)}
        head = json.dumps(note).encode()
        # never over one that is there
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(head + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())

    def _read(self, number: int) -> tuple[Version, bytes] | None:
        try:
            head, _, content = self._path(number).read_bytes().partition(b"\n")
            note = json.loads(head)
            version = Version(**note, size_bytes=len(content))
        except (OSError, ValueError, TypeError):
            return None
        return (version, content) if version.etag == etag_of(content) else None

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        return sorted(int(name.removesuffix(".toml")) for name in names if name[:-5].isdecimal())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.toml"
