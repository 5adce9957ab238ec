"""Keeps credentials out of what is shown, saved and replayed.

A leg shows `***` where the client sent a key; the real values wait in a `Vault` beside the stream and
are put back when the journey takes the request over. A value that somebody edited is left as edited.
A mask whose vault is gone (a leg loaded from a file) is dropped: it was a key once, and is none now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from llmitm.exchange import Headers

MASK: Final = b"***"

HIDDEN: Final = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"x-goog-api-key",
        b"api-key",
        b"x-llmitm-key",
        b"cf-aig-authorization",
        b"cookie",
    }
)

_QUERY_KEY: Final = re.compile(rb"(?<=[?&])(key|api[-_]?key|access_token|token)=([^&#]*)", re.IGNORECASE)


@dataclass(slots=True)
class Vault:
    """What one request's masks stand for."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(lower-case name, real value) in order."""
    query: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Vault({len(self.headers)} headers, {len(self.query)} parameters)"


def _masked(value: bytes) -> bytes:
    scheme, space, rest = value.partition(b" ")
    return scheme + b" " + MASK if space and rest and scheme.isalpha() else MASK


def hide(headers: Headers, target: bytes) -> tuple[Headers, bytes, Vault]:
    """The same request with its credentials masked, and the vault that holds them."""
    vault = Vault()
    if b"=" in target:

        def keep(match: re.Match[bytes]) -> bytes:
            vault.query.append((match[1].lower(), match[2]))
            return match[1] + b"=" + MASK

        target = _QUERY_KEY.sub(keep, target)
    shown = headers
    for at, (name, value) in enumerate(headers):
        lower = name.lower()
        if lower in HIDDEN:
            vault.headers.append((lower, value))
            if shown is headers:
                shown = headers[:at]
            shown += ((name, _masked(value)),)
        elif shown is not headers:
            shown += ((name, value),)
    return shown, target, vault


def restore(headers: Headers, target: bytes, vault: Vault) -> tuple[Headers, bytes]:
    """Puts the real values back where the mask still stands, and drops masks without a value."""
    if vault.headers or any(name.lower() in HIDDEN for name, _ in headers):
        left = list(vault.headers)
        real: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name.lower() in HIDDEN and value.endswith(MASK):
                kept = next((pair for pair in left if pair[0] == name.lower()), None)
                if kept is None:
                    continue
                left.remove(kept)
                value = kept[1]
            real.append((name, value))
        headers = tuple(real)
    if MASK in target:
        waiting = list(vault.query)

        def put_back(match: re.Match[bytes]) -> bytes:
            if match[2] != MASK:
                return match[0]
            kept = next((pair for pair in waiting if pair[0] == match[1].lower()), None)
            if kept is None:
                return match[1] + b"="
            waiting.remove(kept)
            return match[1] + b"=" + kept[1]

        target = _QUERY_KEY.sub(put_back, target)
    return headers, target
