"""What is installed as it is now, to come back to: exact, at once, and without a network.

Installers do not write into files that are there; they put new ones in their place. So a second name of each
file keeps what it holds, and costs no space.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

_BEFORE: Final = "llmitm-before"
_FAILED: Final = "llmitm-failed"


class Snapshot:
    """A folder with second names of all files of another."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.kept = place.with_name(f".{place.name}.{_BEFORE}")

    def take(self) -> None:
        """Raises OSError: it may not be written there, or there is no space."""
        self.forget()
        shutil.copytree(self.place, self.kept, symlinks=True, copy_function=_second_name)

    def restore(self) -> None:
        """Raises OSError."""
        failed = self.place.with_name(f".{self.place.name}.{_FAILED}")
        shutil.rmtree(failed, ignore_errors=True)
        self.place.rename(failed)
        self.kept.rename(self.place)
        shutil.rmtree(failed, ignore_errors=True)

    def forget(self) -> None:
        shutil.rmtree(self.kept, ignore_errors=True)


def _second_name(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without them, or a file of another owner
        shutil.copy2(source, target, follow_symlinks=False)
    return target
