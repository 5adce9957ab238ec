"""All operations of the admin API."""

from __future__ import annotations

from typing import Final

from llmitm.admin import (
    budgets,
    configuration,
    doctor,
    doors,
    keys,
    logs,
    playground,
    providers,
    replaying,
    routing,
    socket,
    system,
    used,
)
from llmitm.admin.auth import session
from llmitm.admin.route import Route

ROUTES: Final[tuple[Route, ...]] = (
    *session.ROUTES,
    *logs.ROUTES,
    *used.ROUTES,
    *system.ROUTES,
    *doctor.ROUTES,
    *doors.ROUTES,
    *socket.ROUTES,
    *playground.ROUTES,
    *replaying.ROUTES,
    *providers.ROUTES,
    *keys.ROUTES,
    *routing.ROUTES,
    *budgets.ROUTES,
    *configuration.ROUTES,
)
