"""What a request must look like before anybody reads it, and what answers tell browsers. Pure.

A page of another site can have a browser send requests here, and can have its own name point here
(DNS rebinding). So the name that a request came under must be one of ours, an address cannot be pointed
elsewhere, and what changes anything must come from a page of ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from llmitm.accept.hosts import hostname, is_address
from llmitm.errors import Refused

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER: Final = "X-Requested-With"
"""A page of another site cannot send it: browsers ask first, and are not told yes."""
CSRF_VALUE: Final = "llmitm"
HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""`Content-Security-Policy`."""


def check_host(host: str | None, names: Collection[str]) -> None:
    """`names` are those that the dashboard may be reached by, beside addresses and localhost.

    Raises:
        Refused: 421, the request came under another name.
    """
    name = hostname(host or "")
    if name is None or not (is_address(name) or name == "localhost" or name in names):
        raise Refused(
            421,
            "unknown_host",
            "The dashboard is not known by this name; add it to [dashboard] hosts, or use the address.",
        )


def check_origin(headers: Mapping[str, str], host: str, scheme: str) -> None:
    """That no page of another site is behind it.

    Raises:
        Refused: 403.
    """
    origin = headers.get("Origin")
    if origin is not None and not _is_same(origin, host, scheme):
        raise Refused(403, "foreign_origin", "Pages of other sites may not use the dashboard.")
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "foreign_origin", "Pages of other sites may not use the dashboard.")


def _is_same(origin: str, host: str, scheme: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == scheme and parts.netloc.lower() == host.lower()


def check_intent(headers: Mapping[str, str]) -> None:
    """Of a request that changes something and whose token a browser sent of its own accord.

    Raises:
        Refused: 403.
    """
    if headers.get(CSRF_HEADER) != CSRF_VALUE:
        raise Refused(
            403, "csrf", f"Requests with a cookie that change something carry {CSRF_HEADER}: {CSRF_VALUE}."
        )
