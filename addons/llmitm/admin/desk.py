"""What the handlers of the admin API share. One for a process that has a dashboard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from llmitm.accept.forwarded import client_of, is_trusted
from llmitm.admin.auth.doorman import Doorman
from llmitm.admin.auth.first_link import FirstLink
from llmitm.admin.auth.session import Cookies, cookies_of
from llmitm.admin.replays import Replays
from llmitm.admin.watching import Watching
from llmitm.control import Control
from llmitm.doctor.finding import Report
from llmitm.world import World


@dataclass(slots=True, kw_only=True)
class Desk:
    world: World
    control: Control
    doorman: Doorman
    first_link: FirstLink
    watching: Watching
    replays: Replays = field(default_factory=Replays)
    examination: asyncio.Task[Report] | None = None
    """The last one of the whole gateway; who asks while it is under way waits for the same."""

    def cookies(self, request: web.Request) -> Cookies:
        return cookies_of(request, is_secure=self.scheme(request) == "https")

    def scheme(self, request: web.Request) -> str:
        """What the browser speaks, also where a trusted proxy speaks TLS for us."""
        if request.secure:
            return "https"
        if is_trusted(request.remote, self.world.config.server.trusted_proxies):
            told = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
            if told == "https":
                return "https"
        return "http"

    def address(self, request: web.Request) -> str:
        """Of the client; behind trusted proxies the one that the last of them saw."""
        told = request.headers.getall("X-Forwarded-For", ())
        return client_of(request.remote or "", told, self.world.config.server.trusted_proxies)
