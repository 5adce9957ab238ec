"""What every gateway that holds keys says alike: where it listens, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmitm.imports.plan import AuthKey, Endpoint, Plan
from llmitm.imports.references import written
from llmitm.imports.table import Table
from llmitm.secret import Secret
from llmitm.shape.headers import wrong

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def clients(plan: Plan, keys: Sequence[tuple[str, Secret]], name: str | None = None) -> None:
    """Keys of clients, which may have a name; the same key twice is one."""
    for path, key in keys:
        if all(written(key) != written(one.key) for one in plan.auth_keys):
            names = {one.name for one in plan.auth_keys}
            made = name if name is not None and name not in names else f"client-{len(names) + 1}"
            plan.auth_keys.append(AuthKey(source=path, name=made, key=key))


def listens(plan: Plan, table: Table, host: str, port: int) -> None:
    """An address that others reach stays where clients need keys; else nobody else may spend yours."""
    if host in ("", "[::]"):
        host = "0.0.0.0" if host == "" else "::"
    if host not in LOOPBACK and not plan.auth_keys:
        table.found.changed(
            table.at("host") if table.has("host") else "",
            "it listened for other machines and asked nobody for a key; this listens on 127.0.0.1. To "
            "open it, "
            "add [[auth_keys]] (`llmitm keys new`) and set [server] host",
        )
        host = "127.0.0.1"
    plan.put("server.host", host)
    plan.put("server.port", port)


def served(plan: Plan, table: Table, *, host: str, port: int) -> None:
    """`host`, `port`, `tls` and `proxy-url` at the top, with what they are where they are not said."""
    said = table.text("host")
    given_port = table.count("port")
    listens(plan, table, host if said is None else said, port if given_port is None else given_port)
    plan.put("server.proxy_url", table.secret("proxy-url"))
    tls = table.table("tls")
    is_on, cert, key = tls.flag("enable"), tls.text("cert"), tls.text("key")
    tls.done()
    if is_on and (cert is None or key is None):
        tls.found.wrong(tls.path, "cert and key are expected where enable is true")
    elif is_on:
        plan.path("server.tls_cert", cert)
        plan.path("server.tls_key", key)
    elif cert or key:
        tls.found.lost(tls.path, "was not enabled")
    plan.endpoints["default"] = Endpoint(source="every path, by model", kind="gateway")


def passing(plan: Plan, table: Table, headers: Sequence[str]) -> None:
    for at, name in enumerate(headers):
        if (why := wrong(name)) is not None:
            table.found.lost(f"{table.at('passthrough-headers')}[{at}]", why)
        else:
            plan.passthrough_headers.append(name)
