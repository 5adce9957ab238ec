"""What the system allows this user: how many files and sockets at once."""

from __future__ import annotations

from typing import Final

from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient

FEW: Final = 4096
"""A stream takes two: one to the client, one to the provider."""
TOO_FEW: Final = 512


def open_files() -> tuple[int, int] | None:
    """How many may be open, and how far that may be raised; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)


async def limits(patient: Patient, notes: Notes, allowed: tuple[int, int] | None = None) -> None:
    found = allowed or open_files()
    if found is None:
        notes.ok("this system does not say how many files may be open")
        return
    soft, hard = found
    if soft < 0:
        notes.ok("any number of files may be open")
        return
    streams = max(0, soft - 64) // 2
    told = f"{soft} files may be open: about {streams} streams at once"
    more = 65_536 if hard < 0 else min(hard, 65_536)
    by_hand = f"`ulimit -n {more}` before it is started" if more > soft else "raise /etc/security/limits.conf"
    fix = f"{by_hand}; in a systemd unit LimitNOFILE=65536"
    if soft < TOO_FEW:
        notes.error(told, fix)
    elif soft < FEW:
        notes.warning(told, fix)
    else:
        notes.ok(told)
