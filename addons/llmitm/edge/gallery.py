"""Where mitmweb shows the flows of an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ANY: Final = frozenset({"", "0.0.0.0", "::"})
"""Names of every interface."""


class MitmwebGallery:
    """A `world.Gallery`. The addresses hold no token: who opens one logs in at mitmweb."""

    def __init__(self, master: Any) -> None:
        self._master = master

    def addresses(self, exchange: str) -> Mapping[int | None, str] | None:
        if self._master.options.web_port == 0:  # mitmweb takes a free one and keeps it to itself
            return None
        view = self._master.addons.get("view")
        if view is None:
            return {}
        found: dict[int | None, str] = {}
        for one in tuple(view._store.values()):
            if one.metadata.get("llmitm.exchange") == exchange:
                is_client = one.metadata.get("llmitm.leg") == "client"
                number = None if is_client else one.metadata.get("llmitm.attempt")
                found[number] = f"{self._origin()}/#/flows/{one.id}/request"
        return found

    def _origin(self) -> str:
        options = self._master.options
        host = "127.0.0.1" if options.web_host in _ANY else options.web_host
        return f"http://{f'[{host}]' if ':' in host else host}:{options.web_port}"
