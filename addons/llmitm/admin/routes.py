"""All operations of the admin API."""

from __future__ import annotations

from typing import Final

from llmitm.admin.auth import session
from llmitm.admin.route import Route

ROUTES: Final[tuple[Route, ...]] = (*session.ROUTES,)
