"""The Cloudflare proxy: one gateway, in variables of a `.env` file."""

from __future__ import annotations

from llmitm.imports.plan import Endpoint, Gateway, Plan
from llmitm.imports.table import Table


def read(table: Table) -> Plan:
    plan = Plan()
    account, gateway = table.text("ACCOUNT_ID"), table.text("GATEWAY_ID")
    for name, value in (("ACCOUNT_ID", account), ("GATEWAY_ID", gateway)):
        if value is None:
            table.found.wrong(name, "is expected, and written out")
    plan.put("server.port", table.count("HOST_PORT") or 3000)
    plan.endpoints["default"] = Endpoint(source="every path", kind="cloudflare")
    plan.gateways.append(
        Gateway(
            source="ACCOUNT_ID, GATEWAY_ID",
            account_id=account or "",
            gateway_id=gateway or "",
            token=table.secret("CF_AIG_TOKEN"),
        )
    )
    table.found.changed(
        "HOST_PORT",
        "it listened at every address; this listens on 127.0.0.1. For other machines set [server] host, and "
        "add [[auth_keys]] or allow_anonymous",
    )
    table.lost("RUST_LOG", "[log] level, or LLMITM_LOG in the environment, says how much is logged")
    table.done()
    return plan
