"""The database of the ledger, and Redis: there, of the right kind, and ready to be written to."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from llmitm.doctor.finding import Notes
from llmitm.doctor.patient import Patient
from llmitm.doctor.ports import is_here
from llmitm.record.ledger.place import Place as LedgerPlace
from llmitm.state.place import Place as StatePlace

DEADLINE_S: Final = 6.0
LEAST_REDIS: Final = (5, 0)
SLOW_MS: Final = 50.0
"""Every request waits for it; a call that takes 250 ms has failed."""


async def ledger(patient: Patient, notes: Notes) -> None:
    config = patient.config
    if config is None:
        return
    if not config.ledger.enabled:
        notes.ok("none is kept ([ledger] enabled = false)")
        return
    try:
        place = LedgerPlace.of(config.ledger.url, patient.folder)
    except ValueError:
        return  # the configuration's own check has told it
    if (
        patient.is_offline
        and place.url is not None
        and not is_here(urlsplit(place.url.reveal()).hostname or "localhost")
    ):
        notes.ok("not asked (--offline)", subject=place.name)
        return
    from llmitm.record.ledger import looked  # costs memory where none is kept

    try:
        async with asyncio.timeout(DEADLINE_S):
            found = await looked.look(place)
    except TimeoutError:
        fix = "is the way there open? another process may hold a lock on it"
        notes.error(f"no answer within {DEADLINE_S:g} s", fix, subject=place.name)
        return
    except Exception as error:
        why, fix = looked.why(place, error)
        notes.error(why, fix, subject=place.name)
        return
    _ledger(found.state, found.text, notes, place.name)


def _ledger(state: str, text: str, notes: Notes, name: str) -> None:
    match state:
        case "ready":
            notes.ok(text, subject=name)
        case "absent":
            notes.ok(f"{text}; it is made at the start", subject=name)
        case "old":
            notes.ok(f"{text}; it is migrated at the start", subject=name)
        case "new":
            notes.error(text, "take that version of llmitm again, or another [ledger] url", subject=name)
        case "read-only":
            notes.error(text, "give the gateway's user the right to write it", subject=name)
        case _:
            notes.error(text, "name another with [ledger] url", subject=name)


async def redis(patient: Patient, notes: Notes) -> None:
    config = patient.config
    if config is None:
        return
    try:
        place = StatePlace.of(config.state.url)
    except ValueError:
        return
    if place.is_memory:
        notes.ok("none: limits are counted in this process alone ([state] url)")
        return
    if patient.is_offline and not is_here(place.host):
        notes.ok("not asked (--offline)", subject=place.name)
        return
    from llmitm.state import looked

    try:
        async with asyncio.timeout(DEADLINE_S):
            found = await looked.look(place, patient.clock)
    except TimeoutError:
        notes.error(
            f"no answer within {DEADLINE_S:g} s", "check [state] url, and the way there", subject=place.name
        )
        return
    except Exception as error:
        notes.error(looked.why(place, error), "start it, or mend [state] url", subject=place.name)
        return
    _redis(found, notes, place.name)


def _redis(found: object, notes: Notes, name: str) -> None:
    from llmitm.state.looked import Looked

    assert isinstance(found, Looked)
    before = len(notes.found)
    if found.version < LEAST_REDIS:
        shown = ".".join(map(str, found.version))
        notes.error(f"is version {shown}", "version 5 or later is needed", subject=name)
    if found.is_replica:
        fix = "name the primary with [state] url"
        notes.error("is a replica that only reads", fix, subject=name)
    if found.is_cluster:
        notes.error(
            "is one node of a cluster, which is not supported", "take a server of its own", subject=name
        )
    if found.refusal is not None:
        fix = "permit this user the keys llmitm:* and scripts (ACL SETUSER)"
        notes.error(f"cannot be written to: {found.refusal}", fix, subject=name)
    if found.most_bytes and found.policy not in (None, "noeviction"):
        fix = "CONFIG SET maxmemory-policy noeviction, or give it more memory"
        notes.warning(
            f"throws counts away when it is full (maxmemory-policy {found.policy})", fix, subject=name
        )
    if found.most_bytes and found.used_bytes > 0.9 * found.most_bytes:
        notes.warning("is nearly out of memory", "give it more: CONFIG SET maxmemory", subject=name)
    if found.answer_ms > SLOW_MS:
        fix = "every request waits for it: move it nearer"
        notes.warning(f"answers in {found.answer_ms:.0f} ms", fix, subject=name)
    if len(notes.found) == before:
        shown = ".".join(map(str, found.version))
        notes.ok(f"version {shown}, answers in {found.answer_ms:.1f} ms, and is written to", subject=name)
