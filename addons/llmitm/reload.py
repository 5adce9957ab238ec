"""A new configuration in place of the one in force: whole or not at all.

What hangs on things that are open since the start (the address, the store) stays as it is, and is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from llmitm.config.auth_keys import AuthKey
from llmitm.config.hooks import Hooks
from llmitm.config.identified import Identified
from llmitm.config.schema import Config
from llmitm.config.telemetry import Telemetry
from llmitm.config.watch import Source

FIXED: Final = {
    "server": ("host", "port"),
    "state": ("url",),
    "ledger": ("enabled", "url"),
    "dashboard": ("enabled", "host", "port"),
    "telemetry": tuple(Telemetry.model_fields),
}
"""Keys that count at the start only. Nor is TLS switched on or off, while its files may change."""
_TLS: Final = ("tls_cert", "tls_key")
_NOT_COMPARED: Final = ("source", "warnings")
_DEPTH: Final = 3
"""Parts of a name: what lies deeper is told as what it lies in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    config: Config
    """What can be in force from now on."""
    changed: tuple[str, ...]
    """Names of what differs from before, such as `endpoints.dev.proxy_url` or `auth_keys.laptop (new)`."""
    fixed: tuple[str, ...]
    """Names of what was changed and stays as it was until a restart."""


def read_change(source: Source, running: Config) -> Change:
    """Reads the configuration anew, and compares it with the one in force.

    Raises:
        ConfigError: it cannot be used; also where it could only be used at another address than the one
            that is open, such as one that asks for no key.
    """
    wanted = source.read()
    found = compare(running, wanted)
    if wanted.server.host == running.server.host:
        return found
    judged = compare(running, source.read(host=running.server.host))
    return Change(config=judged.config, changed=judged.changed, fixed=found.fixed)


def compare(running: Config, wanted: Config) -> Change:
    config, fixed = wanted, []
    for table, keys in FIXED.items():
        before, after = getattr(running, table), getattr(config, table)
        kept = {key: getattr(before, key) for key in keys if getattr(before, key) != getattr(after, key)}
        if table == "server" and (before.tls_cert is None) != (after.tls_cert is None):
            kept |= {key: getattr(before, key) for key in _TLS}
        if kept:
            config = config.model_copy(update={table: after.model_copy(update=kept)})
            fixed += [f"{table}.{key}" for key in kept]
    return Change(
        config=config, changed=tuple(dict.fromkeys(_differing(running, config))), fixed=tuple(fixed)
    )


def _differing(before: Any, after: Any, at: tuple[str, ...] = ()) -> Iterator[str]:
    if len(at) == _DEPTH:
        if before != after:
            yield ".".join(at)
        return
    ours, theirs = _parts(before), _parts(after)
    if ours is None or theirs is None:
        if before != after:
            yield ".".join(at)
        return
    for name in {**ours, **theirs}:
        place = (*at, name)
        if name not in theirs:
            yield f"{'.'.join(place)} (gone)"
        elif name not in ours:
            yield f"{'.'.join(place)} (new)"
        else:
            yield from _differing(ours[name], theirs[name], place)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """What a value is made of, by name; None where it is compared whole."""
    match value:
        case Hooks():
            return {"modules": (value.modules, value.loaded)}
        case BaseModel():
            names = type(value).model_fields
            parts = {name: getattr(value, name) for name in names if name not in _NOT_COMPARED}
            return {**parts, "TLS files": value.identity} if isinstance(value, Identified) else parts
        case Mapping():
            return value
        case (AuthKey(), *_):
            return {key.name: key for key in value}
        case _:
            return None


def shown(names: tuple[str, ...], most: int = 12) -> str:
    """Names in one line."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
