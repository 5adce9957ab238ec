"""snake: Cloudflare gateways and keys of providers, in TOML."""

from __future__ import annotations

from typing import Final

from llmitm.imports.plan import Account, Endpoint, Gateway, Plan
from llmitm.imports.table import Table

_EVERYWHERE: Final = (
    "listened at every address and asked nobody for a key; this listens on 127.0.0.1. For other machines set "
    "[server] host, and add [[auth_keys]] (`llmitm keys new`)"
)


def read(table: Table) -> Plan:
    plan = Plan()
    _server(table, plan)
    for at, one in enumerate(table.tables("gateways")):
        _gateway(one, plan, at)
    for name, one in table.table("providers").children():
        _provider(name, one, plan)
    plan.endpoints["default"] = Endpoint(source="every path", kind="cloudflare")
    table.found.changed(
        "",
        "streams were simulated word by word; here they are Cloudflare's own. simulate_stream = true of the "
        "endpoint brings the old way back",
    )
    table.found.changed(
        "",
        "every path led to chat/completions; here each leads to its own, and models are listed at /v1/models",
    )
    table.lost("github_token", "`llmitm update` takes a token as its option --token")
    if not plan.gateways:
        table.found.wrong("gateways", "at least one is expected, with account_id and gateway_id")
    table.done()
    return plan


def _server(table: Table, plan: Plan) -> None:
    is_https = table.flag("https_server") or False
    http_port, https_port = table.count("host_port"), table.count("https_port")
    cert, key = table.text("tls_cert_path"), table.text("tls_key_path")
    plan.put("server.port", (https_port or 443) if is_https else (http_port or 3000))
    unused = ("host_port",) if is_https else ("https_port", "tls_cert_path", "tls_key_path")
    for name in unused:
        why = "https_server is true" if is_https else "https_server is not true"
        table.lost(name, f"was not used: {why}")
    if is_https:
        plan.path("server.tls_cert", cert or "cert.pem")
        plan.path("server.tls_key", key or "key.pem")
        plan.put("server.http2", True)
    table.found.changed("host", _EVERYWHERE)


def _gateway(table: Table, plan: Plan, at: int) -> None:
    account, gateway = table.text("account_id"), table.text("gateway_id")
    token = table.secret("token")
    if account is None or gateway is None:
        table.found.wrong(table.path, "account_id and gateway_id are expected")
    else:
        plan.gateways.append(
            Gateway(source=f"gateways[{at}]", account_id=account, gateway_id=gateway, token=token)
        )
    table.done()


def _provider(name: str, table: Table, plan: Plan) -> None:
    test_model = table.text("test_model")
    keys = table.secrets("api_keys")
    for path, key in keys:
        plan.add(name, Account(source=path, api_key=key, test_model=test_model))
    if not keys:
        table.found.changed(table.path, "has no keys, so that clients need their own; it was left out")
    table.done()
