"""Keys that were revoked while gateways run: a mark that all which share a store look at. Pure.

The configuration of each process says it too, once it was loaded again; the mark is there at once.
"""

from __future__ import annotations

from llmitm.state.store import Mark


def look(digest: bytes) -> Mark:
    """Its value is 0 where the key with this SHA-256 is not revoked."""
    return Mark(key=_name(digest))


def revoke(digest: bytes, ttl_s: float | None = None) -> Mark:
    """Sets it for `ttl_s` seconds; None: for good."""
    return Mark(key=_name(digest), value=1, ttl_s=ttl_s)


def restore(digest: bytes) -> Mark:
    """Takes it away."""
    return Mark(key=_name(digest), is_over=True)


def _name(digest: bytes) -> str:
    return f"revoked:{digest.hex()}"
