"""Keys that stand in a plan as text, put into the environment: names in their place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from llmitm.imports.plan import Plan
from llmitm.imports.references import to_variable
from llmitm.secret import Secret

_KEY_HEADERS: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_SETTINGS: Final = {
    "dashboard.password_hash": "DASHBOARD_PASSWORD_HASH",
    "dashboard.jwt_secret": "DASHBOARD_JWT_SECRET",
    "server.proxy_url": "PROXY_URL",
    "state.url": "REDIS_URL",
    "ledger.url": "LEDGER_URL",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands in a plan: an attribute of `owner`, or an entry of it where it is a dict."""

    owner: Any
    name: str
    source: str
    """In the file that it came from."""
    variable: str
    """What it would be called in the environment."""

    @property
    def secret(self) -> Secret | None:
        value = self.owner.get(self.name) if isinstance(self.owner, dict) else getattr(self.owner, self.name)
        return value if isinstance(value, Secret) else None

    def put(self, secret: Secret) -> None:
        if isinstance(self.owner, dict):
            self.owner[self.name] = secret
        else:
            setattr(self.owner, self.name, secret)


def places(plan: Plan) -> Iterator[Place]:
    """Every place that holds, or may hold, a secret."""
    for one in plan.gateways:
        yield Place(one, "token", one.source, "CF_AIG_TOKEN")
    for name, account in plan.accounts():
        upper = _upper(name)
        yield Place(account, "api_key", account.source, f"{upper}_API_KEY")
        yield Place(account, "proxy_url", account.source, f"{upper}_PROXY_URL")
        for header in account.headers:
            if _KEY_HEADERS.search(header):
                yield Place(account.headers, header, account.source, f"{upper}_{_upper(header)}")
    for client in plan.auth_keys:
        yield Place(client, "key", client.source, f"LLMITM_KEY_{_upper(client.name)}")
    for name, endpoint in plan.endpoints.items():
        yield Place(endpoint, "proxy_url", endpoint.source, f"{_upper(name)}_PROXY_URL")
    for place, variable in _SETTINGS.items():
        table, _, key = place.partition(".")
        if table in plan.settings:
            yield Place(plan.settings[table], key, place, variable)


def literals(plan: Plan) -> list[Place]:
    """Those that hold a secret as text; addresses only where a password is in them."""
    return [one for one in places(plan) if one.secret is not None and _is_literal(one.secret)]


def needed(plan: Plan) -> dict[str, str]:
    """The variables that it refers to, each with the first place that needs it."""
    made: dict[str, str] = {}
    for one in places(plan):
        if one.secret is not None and (variable := _variable(one.secret)) is not None:
            made.setdefault(variable, one.source)
    return made


def move(plan: Plan) -> dict[str, str]:
    """Puts a reference in the place of each secret, the same for the same secret.

    Returns the names of the variables to set, each with the place in the source that has its value.
    """
    taken = {_variable(one.secret) for one in places(plan) if one.secret is not None}
    named: dict[str, str] = {}
    made: dict[str, str] = {}
    for one in literals(plan):
        assert one.secret is not None
        text = one.secret.reveal()
        if text not in named:
            named[text] = _free(one.variable, taken)
            taken.add(named[text])
            made[named[text]] = one.source
        one.put(to_variable(named[text]))
    return made


def _is_literal(secret: Secret) -> bool:
    text = secret.reveal()
    if secret.reference is not None or not text:
        return False
    return "://" not in text or "@" in text.partition("://")[2].partition("/")[0]


def _variable(secret: Secret) -> str | None:
    reference = secret.reference or ""
    return reference.removeprefix("env:") if reference.startswith("env:") else None


def _free(name: str, taken: set[str | None]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _upper(name: str) -> str:
    text = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "PROVIDER"
    return f"P_{text}" if text[0].isdigit() else text
