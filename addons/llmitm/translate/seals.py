"""Sealed reasoning on its way through a foreign dialect: the envelope, and whose seal it is. Pure.

A vendor's signature or encrypted reasoning must come back to that vendor byte-equal, also where the client
speaks another dialect. It travels there in an envelope, `gws1.` and base64url of a small JSON object, in
the one field of that dialect which clients send back. An envelope is never sent to any vendor.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import orjson

from llmitm.translate.neutral import Sealed

PREFIX: Final = "gws1."
_KINDS: Final = frozenset({"thinking", "redacted", "encrypted", "part"})


def envelope(sealed: Sealed) -> str:
    """The seal as one string of `A-Za-z0-9_.-`."""
    members = {
        "v": sealed.vendor,
        "k": sealed.kind,
        "m": sealed.model,
        "s": sealed.scope,
        "i": sealed.item_id,
        "r": sealed.ref,
        "d": sealed.data,
    }
    text = orjson.dumps({name: value for name, value in members.items() if value is not None})
    return PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")


def envelope_base64(sealed: Sealed) -> str:
    """The envelope where only base64 may stand (Gemini's `thoughtSignature`)."""
    return base64.b64encode(envelope(sealed).encode()).decode()


def is_envelope(text: str) -> bool:
    return text.startswith(PREFIX)


def is_envelope_base64(text: str) -> bool:
    return text.startswith("Z3dzMS")


def opened(text: str) -> Sealed | None:
    """The seal in an envelope (also one in base64); None where it is damaged."""
    try:
        if is_envelope_base64(text):
            text = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
        if not is_envelope(text):
            return None
        body = text.removeprefix(PREFIX)
        made = orjson.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(made, dict) or made.get("k") not in _KINDS:
        return None
    if not all(isinstance(made.get(name), str | None) for name in "vmsird") or not made.get("v"):
        return None
    return Sealed(
        vendor=made["v"],
        kind=made["k"],
        model=made.get("m"),
        scope=made.get("s"),
        item_id=made.get("i"),
        ref=made.get("r"),
        data=made.get("d"),
    )
