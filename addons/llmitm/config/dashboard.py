"""Who may look at the gateway and change it, as the configuration says it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from llmitm.config.table import Table
from llmitm.config.values import HostName, wrong
from llmitm.errors import Problem
from llmitm.secret import Secret

SECRET_VARIABLE: Final = "DASHBOARD_JWT_SECRET"
LEAST_SECRET_SIGNS: Final = 16
MOST_TTL_S: Final = 12 * 3600
"""As long as a login can last at all."""
_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>\d{1,7}),t=(?P<time>\d{1,2}),p=\d{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}"
    r"|\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}"
)
_MOST_MEMORY_KIB: Final = 1_048_576


def _as_secret(value: Any) -> Secret:
    if isinstance(value, str):
        value = Secret(value)
    if not isinstance(value, Secret):
        raise wrong("a string is expected")
    return value


def _hash(value: Any) -> Secret:
    secret = _as_secret(value)
    if (why := wrong_hash(secret.reveal())) is not None:
        raise wrong(why)
    return secret


def wrong_hash(made: str) -> str | None:
    """Why no password can be compared with it; None where one can."""
    found = _HASH.fullmatch(made)
    if found is None:
        return "a hash of a password is expected, argon2id or bcrypt; `llmitm dashboard password` makes one"
    if found["cost"] is not None and not 10 <= int(found["cost"]) <= 15:
        return f"has a bcrypt cost of {int(found['cost'])}; 10 to 15 are taken"
    if found["memory"] is not None and not 8 * 1024 <= int(found["memory"]) <= _MOST_MEMORY_KIB:
        return "has an argon2 memory of less than 8 MiB, or more than 1 GiB"
    if found["time"] is not None and not 1 <= int(found["time"]) <= 16:
        return "has an argon2 time of 0, or more than 16"
    return None


def _jwt_secret(value: Any) -> Secret:
    secret = _as_secret(value)
    if len(secret.reveal().strip()) < LEAST_SECRET_SIGNS:
        raise wrong(
            f"has less than {LEAST_SECRET_SIGNS} characters and could be guessed; without one, one is made"
        )
    return secret


PasswordHash = Annotated[Secret, BeforeValidator(_hash)]
UserName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s\x00-\x1f\x7f]+$")]


class User(Table):
    name: UserName
    password_hash: PasswordHash
    role: Literal["viewer", "operator", "admin"] = "viewer"


class Dashboard(Table):
    enabled: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8812
    hosts: tuple[HostName, ...] = ()
    """Names that it may be reached by, beside addresses and localhost."""
    username: UserName = "admin"
    password_hash: PasswordHash | None = None
    """Of `username`, who may do everything."""
    users: tuple[User, ...] = ()
    jwt_secret: Annotated[Secret, BeforeValidator(_jwt_secret)] | None = None
    """None: made at the first start, and kept in a file beside the configuration."""
    jwt_ttl_secs: Annotated[int, Field(ge=60, le=MOST_TTL_S)] = 3600
    request_log_capacity: Annotated[int, Field(ge=1)] = 10_000

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [user.name for user in self.users]
        if self.password_hash is not None:
            names.append(self.username)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise wrong(f"two users are called {', '.join(twice)}")
        return self

    @property
    def accounts(self) -> dict[str, User]:
        """Everybody who has a password."""
        found = {user.name: user for user in self.users}
        if self.password_hash is not None:
            found[self.username] = User(name=self.username, password_hash=self.password_hash, role="admin")
        return found

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def names(self) -> frozenset[str]:
        return frozenset({*self.hosts, self.host.lower()})


def fill_in(raw: Mapping[str, Any], env: Mapping[str, str], places: dict[str, str]) -> None:
    """What `[dashboard]` leaves out, from the environment."""
    table = raw.get("dashboard")
    value = env.get(SECRET_VARIABLE, "")
    if isinstance(table, dict) and "jwt_secret" not in table and value:
        table["jwt_secret"] = Secret(value, f"env:{SECRET_VARIABLE}")
        places["dashboard.jwt_secret"] = SECRET_VARIABLE


def check(dashboard: Dashboard, port: int, has_tls: bool, problems: list[Problem]) -> list[str]:
    """Adds problems. `port` is that of the gateway itself, whose certificate serves for both.

    Returns what the operator should know although it is possible.
    """
    if not dashboard.enabled:
        return []
    if dashboard.port and dashboard.port == port:
        problems.append(Problem("dashboard.port", f"{port} is the port of [server], too; take another"))
    if not dashboard.is_loopback and not has_tls:
        return [
            f"passwords for the dashboard at {dashboard.host}:{dashboard.port} cross the network as they are "
            "typed: set [server] tls_cert and tls_key, or have a proxy speak TLS in front of it"
        ]
    return []
