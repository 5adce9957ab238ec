"""Where files are written: room, and the right to write there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from llmitm.config.schema import Config
from llmitm.doctor.finding import Notes
from llmitm.doctor.network import reason
from llmitm.doctor.patient import Patient, aside
from llmitm.record.ledger.place import Place

LEAST_BYTES: Final = 100_000_000
FEW_BYTES: Final = 1_000_000_000
FEW_FILES: Final = 1_000


class Room(NamedTuple):
    free_bytes: int
    free_files: int | None
    """None: as many as there is room for."""


def room(folder: Path) -> Room:
    """Raises OSError."""
    told = os.statvfs(folder)
    return Room(told.f_bavail * told.f_frsize, told.f_favail if told.f_files else None)


async def disk(patient: Patient, notes: Notes, measure: Callable[[Path], Room] = room) -> None:
    for folder, what in folders(patient).items():
        await aside(lambda folder=folder, what=what: _look(patient.config, folder, what, measure, notes))  # type: ignore[misc]


def folders(patient: Patient) -> dict[Path, list[str]]:
    """Each with what lies there."""
    found: dict[Path, list[str]] = {}
    config = patient.config
    if config is not None and config.ledger.enabled:
        try:
            place = Place.of(config.ledger.url, patient.folder)
        except ValueError:
            place = None
        if place is not None:
            what = "the ledger" if place.path is not None else "what the ledger's database cannot take"
            found.setdefault(place.spill.parent.absolute(), []).append(what)
    if config is not None and config.log.file is not None:
        found.setdefault((patient.folder / config.log.file).parent.absolute(), []).append("the log")
    found.setdefault(patient.folder, []).append("the configuration")
    return found


def _look(
    config: Config | None, folder: Path, what: list[str], measure: Callable[[Path], Room], notes: Notes
) -> None:
    subject, told = str(folder), " and ".join(what)
    if not folder.is_dir():
        notes.error(f"there is no such folder, for {told}", f"mkdir -p {folder}", subject=subject)
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        why = reason(error)
        if what == ["the configuration"]:
            # that is how it should be where only the operator writes it
            notes.ok(f"{told} lies here, and is only read ({why})", subject=subject)
            return
        fix = f"give the user of the gateway the right to write there: chown {_user()} {folder}"
        notes.error(f"nothing can be written here ({why}), for {told}", fix, subject=subject)
        return
    free = measure(folder)
    size = shown(free.free_bytes)
    if free.free_bytes < LEAST_BYTES:
        notes.error(f"only {size} are free, for {told}", "make room", subject=subject)
    elif free.free_files is not None and free.free_files < FEW_FILES:
        notes.error(
            f"only {free.free_files} more files can be made here", "delete small files", subject=subject
        )
    elif free.free_bytes < FEW_BYTES:
        fix = "make room; [ledger] max_mb and retention_days keep the ledger small"
        notes.warning(f"only {size} are free, for {told}", fix, subject=subject)
    elif config is not None and (config.ledger.max_mb or 0) * 1_048_576 > free.free_bytes:
        fix = f"set [ledger] max_mb below {free.free_bytes // 1_048_576}"
        notes.warning(
            f"{size} are free, and the ledger may take {config.ledger.max_mb} MiB", fix, subject=subject
        )
    else:
        notes.ok(f"{size} free, for {told}", subject=subject)


def _user() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else "USER"


def shown(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
