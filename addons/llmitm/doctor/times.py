"""Whether the clock goes right: budgets, logins, expiry of keys and certificates hang on it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Final

from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient, Told

EARLIEST_S: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
"""This version was not there before."""
ODD_S: Final = 30.0
WRONG_S: Final = 300.0
"""From here on certificates and signed tokens are refused."""
STEP_S: Final = 1.0
"""So much the two clocks may differ over one examination."""
FIX: Final = "have it set by NTP: `timedatectl set-ntp true`, or chrony"


async def clock(patient: Patient, notes: Notes, *, began: tuple[float, float]) -> None:
    """`began` is what both clocks said at the beginning: seconds since the epoch, and ticks."""
    now_s, tick_s = patient.clock.now_s(), patient.clock.tick_s()
    if now_s < EARLIEST_S:
        notes.error(f"it says {_shown(now_s)}, which is past", FIX)
        return
    if tick_s < began[1]:
        notes.error("the monotonic clock went back", "restart the machine, or move to another")
        return
    drift_s = (now_s - began[0]) - (tick_s - began[1])
    if abs(drift_s) > STEP_S:
        notes.warning(f"it was set by {drift_s:+.1f} s during this examination", FIX)
    offs = [off for off in map(_off_s, patient.told) if off is not None]
    if not offs:
        notes.ok(f"it says {_shown(now_s)}; nobody was asked whether that is right")
        return
    off_s = median(offs)
    tell = "one answer tells" if len(offs) == 1 else f"{len(offs)} answers tell"
    how = f"it is {abs(off_s):.0f} s {'slow' if off_s > 0 else 'fast'}, as {tell}"
    if abs(off_s) >= WRONG_S:
        notes.error(how, FIX)
    elif abs(off_s) >= ODD_S:
        notes.warning(how, FIX)
    else:
        notes.ok(f"it agrees with {_hosts(patient)} to a few seconds")


def _hosts(patient: Patient) -> str:
    hosts = list(dict.fromkeys(one.host for one in patient.told))
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more"


def _off_s(told: Told) -> float | None:
    """How far we are behind a server, in seconds. None where it says no time; what may be its own delay, or
    the second that a Date is cut to, is no difference."""
    try:
        theirs_s = parsedate_to_datetime(told.date).timestamp() + 0.5
    except (ValueError, TypeError, OverflowError):
        return None
    off_s = theirs_s - told.at_s
    slack_s = told.late_s + 0.5
    return 0.0 if abs(off_s) <= slack_s else off_s - slack_s if off_s > 0 else off_s + slack_s


def _shown(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
