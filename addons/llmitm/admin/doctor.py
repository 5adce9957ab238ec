"""The gateway looked over, as `llmitm doctor` does it, from within."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final, Literal

from llmitm.admin.asking import Query
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.doctor.finding import Report


class DoctorAsked(Query):
    offline: bool = False
    """Ask nobody beyond this machine."""


class FindingShown(Shown):
    check: str
    """What was looked at, such as `ports`."""
    subject: str | None
    """Which of them; null: there is only one."""
    level: Literal["ok", "warning", "error"]
    text: str
    fix: str | None
    """null: nothing is to be done, or the text says it."""


class Counts(Shown):
    ok: int
    warning: int
    error: int


class Examined(Shown):
    status: Literal["ok", "warning", "error"]
    """The worst that was found."""
    version: str
    config: str
    at: str
    took_s: float
    is_offline: bool
    counts: Counts
    findings: list[FindingShown]
    """Those of one check stand together."""


async def _doctor(asked: Asked) -> Examined:
    """Everything that the gateway stands on, looked over now. Takes up to 20 seconds, and spends nothing."""
    desk = asked.desk
    under_way = desk.examination
    if under_way is None or under_way.done():
        under_way = desk.examination = asyncio.create_task(_examine(asked))
    report = await asyncio.shield(under_way)
    return Examined.model_validate(report.as_data())


async def _examine(asked: Asked) -> Report:
    from llmitm.doctor.rounds import look_over  # heavy, and seldom asked for

    world = asked.world
    query: DoctorAsked = asked.query
    own = {world.port or 0, _port_of(asked)} - {0}
    return await look_over(
        Path(world.config.source) if world.source is None else world.source.path,
        os.environ,
        world.clock,
        is_offline=query.offline,
        own_ports=frozenset(own),
        in_force=world.config,
    )


def _port_of(asked: Asked) -> int:
    """That this request came in on; 0 where that is not known."""
    transport = asked.http.transport
    name: Any = None if transport is None else transport.get_extra_info("sockname")
    return int(name[1]) if isinstance(name, tuple) and len(name) > 1 else 0


ROUTES: Final = (
    Route("GET", f"{BASE}/system/doctor", _doctor, Role.OPERATOR, query=DoctorAsked, gives=Examined),
)
