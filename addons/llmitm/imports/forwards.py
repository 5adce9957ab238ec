"""llm-api-proxy: named doors to targets, in TOML."""

from __future__ import annotations

import re
from typing import Final

from llmitm.config.endpoints import RESERVED
from llmitm.imports.plan import Endpoint, Plan
from llmitm.imports.table import Table

_SIGNS: Final = re.compile(r"[^A-Za-z0-9._~-]+")
_FALLBACK: Final = "https://api.anthropic.com"


def read(table: Table) -> Plan:
    plan = Plan()
    server = table.table("server")
    plan.put("server.port", server.count("port") or 8811)
    target = server.text("target_base")
    plan.put("server.target_base", target)
    server.done()
    for name, one in table.table("endpoints").children():
        _endpoint(name, one, plan, target)
    if not plan.endpoints:
        table.found.wrong("endpoints", "at least one [endpoints.NAME] is expected")
    table.found.changed(
        "",
        "paths of endpoints that are not named went to the server's target_base; here they are answered 404",
    )
    table.found.changed("", "listens on 127.0.0.1; for other machines set [server] host")
    table.done()
    return plan


def _endpoint(name: str, table: Table, plan: Plan, target: str | None) -> None:
    ours = _SIGNS.sub("-", name).strip("-._~") or "endpoint"
    if ours in RESERVED:
        ours = f"{ours}-endpoint"
    if ours != name:
        table.found.changed(
            table.path, f"is called {ours} here, since {name} cannot be the name of an endpoint"
        )
    base = table.text("target_base")
    if base is None and target is None:
        base = _FALLBACK
    plan.endpoints[ours] = Endpoint(source=table.path, target_base=base, proxy_url=table.secret("proxy_url"))
    table.lost("api_type", "was not used: requests pass as they are")
    table.done()
