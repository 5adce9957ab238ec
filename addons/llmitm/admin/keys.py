"""Operations on the keys that clients present. Only hashes are kept, and a key is shown once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import AwareDatetime, Field, JsonValue

from llmitm.accept.revoked import restore, revoke
from llmitm.admin.changes import delete_auth_key, edit_auth_key, new_auth_key, rotate_auth_key
from llmitm.admin.changing import CHANGE_ERRORS, IF_MATCH, Changed, Taken, change
from llmitm.admin.editing import documented, lines
from llmitm.admin.route import BASE, Asked, Role, Route
from llmitm.admin.shown import Shown
from llmitm.config.auth_keys import AuthKey
from llmitm.errors import Refused

PREFIX: Final = "sk-proxy-"
MOST_OVERLAP_S: Final = 90 * 86_400
type Names = list[str] | None


class KeyFields(Taken):
    expires_at: AwareDatetime | None = None
    allowed_models: Names = None
    """Globs; null or empty: any."""
    allowed_endpoints: Names = None
    allowed_paths: Names = None
    rpm: int | None = Field(default=None, ge=1)
    tpm: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    budget_usd: float | dict[str, float] | None = None
    """For `budget_period`, or by period."""
    budget_tokens: int | dict[str, int] | None = None
    budget_period: Literal["daily", "weekly", "monthly", "total"] | None = None
    disabled: bool | None = None


class NewKey(KeyFields):
    name: str | None = Field(default=None, min_length=1, max_length=200)
    """null: the next that is free."""
    expires_in_days: int | None = Field(default=None, ge=1, le=36_500)


class EditedKey(KeyFields):
    name: str | None = Field(default=None, min_length=1, max_length=200)


class Rotated(Taken):
    overlap_s: float = Field(default=0, ge=0, le=MOST_OVERLAP_S)
    """So long the old key goes on; 0: it ends at once."""


class Key(Shown):
    id: str
    name: str
    key_masked: str
    """The beginning of its hash, or where it comes from."""
    state: Literal["in use", "disabled", "expired"]
    expires_at: str | None
    disabled: bool
    allowed_models: list[str]
    allowed_endpoints: list[str]
    allowed_paths: list[str]
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    budget_usd: JsonValue
    budget_tokens: JsonValue
    budget_period: str


class Keys(Shown):
    auth_keys: list[Key]
    is_open: bool
    """Whether nobody is asked for a key: none was ever made."""


class Made(Changed):
    name: str
    key: str
    """Shown this once."""
    expires_at: str | None


def shown(key: AuthKey, now_s: float) -> Key:
    expires = key.expires_at
    is_over = expires is not None and expires.timestamp() <= now_s
    reference = key.key.reference if key.key is not None else None
    return Key(
        id=key.name,
        name=key.name,
        key_masked=reference or f"sha256:{key.digest.hex()[:8]}...",
        state="disabled" if key.disabled else "expired" if is_over else "in use",
        expires_at=_moment(expires),
        disabled=key.disabled,
        allowed_models=list(key.allowed_models),
        allowed_endpoints=list(key.allowed_endpoints),
        allowed_paths=list(key.allowed_paths),
        rpm=key.rpm,
        tpm=key.tpm,
        concurrency=key.concurrency,
        budget_usd=_amount(key.budget_usd),
        budget_tokens=_amount(key.budget_tokens),
        budget_period=key.budget_period,
    )


def _amount(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _moment(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value is not None else None


async def every(asked: Asked) -> Keys:
    keys, now_s = asked.world.config.auth_keys, asked.world.clock.now_s()
    return Keys(auth_keys=[shown(key, now_s) for key in keys or ()], is_open=keys is None)


async def one(asked: Asked) -> Key:
    return shown(_found(asked), asked.world.clock.now_s())


def _found(asked: Asked) -> AuthKey:
    name = unquote(asked.path["id"])
    for key in asked.world.config.auth_keys or ():
        if key.name == name:
            return key
    raise LookupError(f"there is no auth key called {name}")


def _fresh() -> tuple[str, str]:
    """A key, and what is kept of it."""
    key = PREFIX + secrets.token_hex(16)
    return key, f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


async def create(asked: Asked) -> Made:
    told, now = asked.body.named(), _now(asked)
    days = told.pop("expires_in_days", None)
    if days is not None:
        told["expires_at"] = now + timedelta(days=days)
    if (expires := told.get("expires_at")) is not None and expires <= now:
        raise Refused(422, "validation_failed", "expires_at: this moment is over already.")
    name = told.pop("name", None) or _next_name(asked)
    key, key_hash = _fresh()
    is_first = asked.world.config.auth_keys is None
    entry = {"name": name, "key_hash": key_hash, **{field: one for field, one in told.items() if one != []}}
    done = await change(
        asked,
        documented(lambda document, config: new_auth_key(document, config, entry)),
        f"auth key {name}: created",
        message="The key is shown this once."
        + (" It is the first one: from now on every client needs a key." if is_first else ""),
        id=name,
    )
    return Made(**done.model_dump(), name=name, key=key, expires_at=_moment(told.get("expires_at")))


def _now(asked: Asked) -> datetime:
    return datetime.fromtimestamp(int(asked.world.clock.now_s()), UTC)


def _next_name(asked: Asked) -> str:
    taken = {key.name for key in asked.world.config.auth_keys or ()}
    return next(name for at in range(1, len(taken) + 2) if (name := f"key-{at}") not in taken)


async def edit(asked: Asked) -> Changed:
    key, told = _found(asked), asked.body.named()
    if told.get("name", key.name) is None:
        raise Refused(422, "validation_failed", "name: a key needs one.")
    for field in ("allowed_models", "allowed_endpoints", "allowed_paths"):
        if told.get(field) == []:
            told[field] = None  # written out it would say the same
    done = await change(
        asked,
        documented(lambda document, config: edit_auth_key(document, config, key.name, told)),
        f"auth key {key.name}: {', '.join(told) or 'nothing'}",
        message=f"The key {told.get('name', key.name)} was changed.",
        id=told.get("name", key.name),
    )
    if told.get("disabled"):
        await _end(asked, key)
    elif "disabled" in told:
        await asked.world.store.apply([restore(key.digest)])
    return done


async def rotate(asked: Asked) -> Made:
    key, overlap_s = _found(asked), asked.body.overlap_s
    fresh, key_hash = _fresh()
    old = None
    if overlap_s > 0:
        ends = _now(asked) + timedelta(seconds=overlap_s)
        if key.expires_at is not None:
            ends = min(ends, key.expires_at)
        old = {"name": f"{key.name} until {ends:%Y-%m-%d %H:%M:%S}", "expires_at": ends}
    done = await change(
        asked,
        documented(lambda document, config: rotate_auth_key(document, config, key.name, key_hash, old)),
        f"auth key {key.name}: rotated" + (f", the old one goes on for {overlap_s:g} s" if old else ""),
        message="The new key is shown this once; "
        + (f"the old one goes on as “{old['name']}”." if old else "the old one is over."),
        id=key.name,
    )
    if old is None:
        await _end(asked, key)
    return Made(**done.model_dump(), name=key.name, key=fresh, expires_at=_moment(key.expires_at))


async def delete(asked: Asked) -> Changed:
    key = _found(asked)
    is_last = len(asked.world.config.auth_keys or ()) == 1
    done = await change(
        asked,
        lines(lambda text, config: delete_auth_key(text, config, key.name)),
        f"auth key {key.name}: deleted",
        message=f"The key {key.name} is gone."
        + (" It was the last one: nobody is admitted now." if is_last else ""),
        id=key.name,
    )
    await _end(asked, key)
    return done


async def _end(asked: Asked, key: AuthKey) -> None:
    """At once for all gateways that share a store, and not only when they have read their configuration."""
    if asked.world.is_shared:
        await asked.world.store.apply([revoke(key.digest)])


_AT: Final = f"{BASE}/auth-keys"
_ONE: Final = f"{_AT}/{{id}}"
_A, _V = Role.ADMIN, Role.VIEWER
ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", _AT, every, _V, gives=Keys),
    Route("POST", _AT, create, _A, NewKey, Made, CHANGE_ERRORS, status=201, headers=IF_MATCH),
    Route("GET", _ONE, one, _V, gives=Key, errors=(404,)),
    Route("PATCH", _ONE, edit, _A, EditedKey, Changed, CHANGE_ERRORS, headers=IF_MATCH),
    Route("DELETE", _ONE, delete, _A, gives=Changed, errors=CHANGE_ERRORS, headers=IF_MATCH),
    Route("POST", f"{_ONE}/rotate", rotate, _A, Rotated, Made, CHANGE_ERRORS, headers=IF_MATCH),
)
