"""A client that was let in may send the pieces of a file without its key, to the address that it was given.

Libraries send them so, since Google's own address is secret and good for one upload only. The ticket in ours
is good for that upload too, as long as the key that it was made with is. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qsl

from llmitm.config.auth_keys import AuthKey
from llmitm.config.schema import Config

NAME: Final = "llmitm_ticket"
PATH: Final = b"/upload/"
"""Tickets are good below it alone."""


def added(query: str, upload_id: str, auth_key: str | None, config: Config) -> str:
    """The query of an address, with a ticket for the client's key where it has one."""
    key = None if auth_key is None else config.auth_keys_by_name.get(auth_key)
    return query if key is None else f"{query}&{NAME}={_ticket(key, upload_id)}"


def holder(query: bytes, config: Config) -> AuthKey | None:
    """The key that the ticket in this query was made with; None where there is none that is good."""
    pairs = parse_qsl(query.decode("latin-1"))
    ids = [value for name, value in pairs if name == "upload_id"]
    shown = [value for name, value in pairs if name == NAME]
    if len(ids) != 1 or len(shown) != 1:
        return None
    found = None
    for key in config.auth_keys_by_mask.get(shown[0].partition(".")[0], ()):
        if hmac.compare_digest(_ticket(key, ids[0]).encode(), shown[0].encode()):
            found = key
    return found


def without(query: bytes) -> bytes:
    """The query as it goes on."""
    name = NAME.encode() + b"="
    return b"&".join(one for one in query.split(b"&") if not one.startswith(name))


def _ticket(key: AuthKey, upload_id: str) -> str:
    """Begins with what tells which key it may be: anybody may show one, and keys may be thousands."""
    seal = hmac.new(key.digest, f"upload {upload_id}".encode(), hashlib.sha256).hexdigest()
    return f"{key.mask}.{seal}"
