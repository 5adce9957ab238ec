"""`llmitm keys`: keys for clients. Only their hashes are kept, and a key is shown once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import tomlkit
from pydantic import ValidationError

from llmitm.config.auth_keys import AuthKey
from llmitm.config.load import load
from llmitm.config.path import find
from llmitm.config.raw import plain
from llmitm.config.schema import Config
from llmitm.config.write import add_auth_key, disable_auth_key, edit
from llmitm.errors import ConfigError, LlmitmError

PREFIX: Final = "sk-proxy-"
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_LIMITS: Final = ("rpm", "tpm", "concurrency")


def new(config: Path | None, name: str, options: Mapping[str, Any]) -> int:
    """Makes a key, writes its hash into the configuration, and prints it on standard output, alone.

    `options` are those of an `[[auth_keys]]` entry; None and empty ones are left out. `expires_at` may be a
    date, an RFC 3339 time, or a number of hours, days or weeks from now, such as 30d.
    """
    path = find(config, os.environ)
    if not path.exists():
        return _missing(path)
    key = PREFIX + secrets.token_hex(16)
    entry: dict[str, Any] = {"name": name, "key_hash": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}
    entry |= {option: value for option, value in options.items() if value not in (None, (), [])}
    try:
        if "expires_at" in entry:
            entry["expires_at"] = _moment(entry["expires_at"])
        is_first = not _entries(path)
        edit(path, lambda document: add_auth_key(document, entry), env=os.environ)
    except (ConfigError, ValueError) as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(f"{path} cannot be written: {error.strerror}; it is as it was", 1)
    print(key)
    print(f"key {name} is in {path} as a hash; this is the only time that it is shown", file=sys.stderr)
    if is_first:
        print("it is the first one: from now on every client needs a key", file=sys.stderr)
    return 0


def _moment(text: str) -> datetime:
    """Raises ValueError."""
    if found := re.fullmatch(r"(\d{1,5})([hdw])", text):
        return (datetime.now(UTC) + int(found[1]) * _UNITS[found[2]]).replace(microsecond=0)
    try:
        moment = AuthKey(name="x", key_hash=f"sha256:{'0' * 64}", expires_at=text).expires_at  # type: ignore[arg-type]
    except ValidationError:
        raise ValueError(
            "--expires: a date, an RFC 3339 time with its offset, or a time from now such as 12h, 30d or 4w"
        ) from None
    assert moment is not None
    if moment <= datetime.now(UTC):
        raise ValueError("--expires: this moment is over already")
    return moment


def show(config: Path | None) -> int:
    """Prints a table of the keys; of each only the beginning of its hash, or where it comes from."""
    path = find(config, os.environ)
    if not path.exists():
        return _missing(path)
    try:
        entries = [AuthKey.model_validate(entry) for entry in _entries(path)]
    except ValidationError:
        return _say(f"{path}: an entry of auth_keys is wrong; `llmitm config check` says what", 2)
    except ConfigError as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(f"{path} cannot be read: {error.strerror}", 2)
    if not entries:
        print("no keys", file=sys.stderr)
        return 0
    now = datetime.now(UTC)
    head = ("NAME", "KEY", "STATE", "EXPIRES", "MODELS", "ENDPOINTS", "LIMITS")
    rows: list[tuple[str, ...]] = [head, *(_row(key, now) for key in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(key: AuthKey, now: datetime) -> tuple[str, ...]:
    expires = key.expires_at
    state = "disabled" if key.disabled else "expired" if expires and expires <= now else "in use"
    limits = [f"{name} {value:g}" for name in _LIMITS if (value := getattr(key, name)) is not None]
    for name in ("budget_usd", "budget_tokens"):
        amounts = getattr(key, name)
        by_period = amounts if isinstance(amounts, Mapping) else {key.budget_period: amounts}
        limits += (f"{name} {one:g} {period}" for period, one in by_period.items() if one is not None)
    return (
        key.name,
        _origin(key),
        state,
        expires.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if expires else "-",
        " ".join(key.allowed_models) or "any",
        " ".join(key.allowed_endpoints) or "any",
        ", ".join(limits) or "-",
    )


def _origin(key: AuthKey) -> str:
    written = key.key.reveal() if key.key is not None else ""
    if written.startswith(("env:", "file:")):
        return written
    return f"sha256:{key.digest.hex()[:8]}..."


def revoke(config: Path | None, name: str) -> int:
    """Disables a key in the configuration, and at once for all gateways that share a store."""
    path = find(config, os.environ)
    if not path.exists():
        return _missing(path)
    try:
        edit(path, lambda document: _disable(document, name), env=os.environ)
    except LookupError as error:
        return _say(f"{error.args[0]} in {path}", 1)
    except ConfigError as error:
        return _say(str(error), 2)
    except OSError as error:
        return _say(f"{path} cannot be written: {error.strerror}; it is as it was", 1)
    print(f"key {name} is disabled in {path}", file=sys.stderr)
    return _revoke_everywhere(path, name)


def _disable(document: tomlkit.TOMLDocument, name: str) -> None:
    if not disable_auth_key(document, name):
        print(f"key {name} was disabled already", file=sys.stderr)


def _revoke_everywhere(path: Path, name: str) -> int:
    try:
        config = load(path, env=os.environ)
    except ConfigError as error:
        print(f"llmitm: the shared store, if there is one, was not told: {error}", file=sys.stderr)
        return 0
    if config.state.url.reveal().startswith("memory:"):
        return 0
    try:
        asyncio.run(_mark_revoked(config, name))
    except (LlmitmError, OSError, ValueError) as error:
        return _say(
            f"the shared store was not told: {error}; gateways take it from their configuration alone", 1
        )
    print("the shared store was told", file=sys.stderr)
    return 0


async def _mark_revoked(config: Config, name: str) -> None:
    from llmitm.accept.revoked import revoke as mark
    from llmitm.state.place import Place
    from llmitm.state.redis import RedisStore

    store = RedisStore(Place.of(config.state.url), timeout_s=5)
    try:
        await store.apply([mark(key.digest) for key in config.auth_keys or () if key.name == name])
    finally:
        await store.close()


def _entries(path: Path) -> Sequence[dict[str, Any]]:
    """The entries of `auth_keys` as they are written, references to secrets included.

    Raises:
        ConfigError: the file is no TOML.
    """
    try:
        raw = plain(path.read_bytes().decode("utf-8"))
    except ValueError:
        load(path, env=os.environ)  # says what is wrong with it
        raise
    entries = raw.get("auth_keys", raw.get("auth-keys", []))
    rows = entries if isinstance(entries, list) else []
    return [
        {name.replace("-", "_"): value for name, value in row.items()}
        for row in rows
        if isinstance(row, dict)
    ]


def _missing(path: Path) -> int:
    return _say(f"{path}: no such file; `llmitm init` writes one, or name another with --config", 2)


def _say(text: str, status: int) -> int:
    print(f"llmitm: {text}", file=sys.stderr)
    return status
