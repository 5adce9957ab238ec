"""Pages in browsers that may call, by `[server] cors_origins`, and what their browsers are told. Pure.

Browsers let a page read an answer, and send anything but the plainest request, only where the answer to it
names the page's origin (CORS). Keys travel in headers here and never in cookies, so answers allow no
credentials of the browser's own, whatever the origin. What an upstream says of origins speaks for that
upstream: where pages are told anything of ours, it stays behind. Source: https://fetch.spec.whatwg.org/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, Headers, ResponseHead

ANY: Final = "*"
OF_PAGES: Final = frozenset({b"origin", b"referer"})
"""Headers that a browser adds on its own: some upstreams refuse what comes from pages, and whoever may call
here was asked about already."""
PREFLIGHT_S: Final = 7200
"""How long a browser need not ask again: the most that Chromium keeps."""

_ENTRY: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\*\.)?(?:\[[0-9a-f:.]+\]|[^\s/?#@*:\[\],]+)(?::(?:\d+|\*))?"
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, -]+")
_ALWAYS_READABLE: Final = frozenset(
    {
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
        b"vary",
        b"set-cookie",
    }
)
"""What pages read without being allowed to, and what they never do."""
_OURS: Final = b"access-control-"
_FROM_ELSEWHERE: Final = (b"cross-site", b"same-site")


def normal(entry: str) -> str:
    """An entry as browsers spell origins.

    Raises:
        ValueError: it is none, with what is expected.
    """
    entry = entry.strip().lower().rstrip("/")
    if entry == ANY:
        return entry
    if entry == "null":
        raise ValueError("null is the origin of every sandboxed page; name origins of yours")
    if not _ENTRY.fullmatch(entry):
        raise ValueError(
            'origins are expected, such as "https://app.example", "https://*.example" and '
            '"http://localhost:*", or "*" for all'
        )
    port = _DEFAULT_PORTS.get(entry.partition(":")[0])
    return entry.removesuffix(port) if port else entry


@lru_cache(maxsize=64)
def _pattern(entries: tuple[str, ...]) -> re.Pattern[str]:
    forms = (
        re.escape(one).replace(r"://\*\.", r"://(?:[^/:@]+\.)").replace(r":\*", r"(?::\d+)?")
        for one in entries
    )
    return re.compile("|".join(forms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One request as a page's browser sees it."""

    entries: tuple[str, ...]
    """Of the configuration; empty: pages are told nothing."""
    origin: bytes | None
    """Of the page; None: no page asks, as far as can be seen."""
    is_allowed: bool
    """Whether the page was named."""

    def is_preflight(self, request: ClientRequest) -> bool:
        """Whether a browser asks first, which is not for an upstream to answer."""
        if not self.entries or self.origin is None or request.method != "OPTIONS":
            return False
        return request.header(b"access-control-request-method") is not None

    def preflight(self, request: ClientRequest) -> ResponseHead:
        """The answer to a browser that asks first.

        Raises:
            Refused: 403, its page was not named.
        """
        if not self.is_allowed:
            raise stranger()
        headers = [*self._named(()), (b"access-control-allow-methods", _METHODS)]
        asked = request.header(b"access-control-request-headers")
        if asked is not None and _NAMES.fullmatch(asked):
            headers.append((b"access-control-allow-headers", asked))
        if request.header(b"access-control-request-private-network") == b"true" and ANY not in self.entries:
            headers.append((b"access-control-allow-private-network", b"true"))
        headers.append((b"access-control-max-age", b"%d" % PREFLIGHT_S))
        return ResponseHead(status=204, reason=b"No Content", headers=tuple(headers), whole=b"")

    def told(self, head: ResponseHead, *, is_ours: bool) -> ResponseHead:
        """An answer with what the browser is to know. `is_ours`: keys of ours were sent, or nothing was."""
        if head.status == 101 or not (self.entries or is_ours):
            return head
        headers = tuple(pair for pair in head.headers if not pair[0].lower().startswith(_OURS))
        if self.entries:
            headers += (*self._named(headers), *self._readable(headers))
        return replace(head, headers=headers)

    def _named(self, headers: Headers) -> Headers:
        if ANY in self.entries:
            return ((b"access-control-allow-origin", b"*"),)
        varies = () if any(_varies(*pair) for pair in headers) else ((b"vary", b"Origin"),)
        if self.origin is None or not self.is_allowed:
            return varies
        return ((b"access-control-allow-origin", self.origin), *varies)

    def _readable(self, headers: Headers) -> Headers:
        if not self.is_allowed:
            return ()
        names = dict.fromkeys(name.lower() for name, _ in headers)
        shown = b", ".join(name for name in names if name not in _ALWAYS_READABLE)
        return ((b"access-control-expose-headers", shown),) if shown else ()


def crossing(headers: Headers, entries: tuple[str, ...]) -> Crossing | None:
    """None: no page asks, and none is told anything. `headers` are the request's."""
    origin: bytes | None = None
    for name, value in headers:
        if len(name) == 6 and name.lower() == b"origin":  # every request comes by here
            origin = value
            break
    if origin is None and not entries:
        return None
    is_named = origin is not None and has(entries, origin)
    return Crossing(entries=entries, origin=origin, is_allowed=is_named)


def has(entries: tuple[str, ...], origin: bytes) -> bool:
    """Whether an origin was named."""
    if not entries:
        return False
    return ANY in entries or _pattern(entries).fullmatch(origin.decode("latin-1")) is not None


def check(found: Crossing | None, request: ClientRequest) -> None:
    """For what spends without a key. Any page that a browser has open can send a plain POST: it could not
    read the answer, but we would have paid for it. Browsers say that such a request comes from elsewhere, but
    to this machine and over TLS only; else its origin is to be that of the name that it was sent to.

    Raises:
        Refused: 403, a page of a browser's that was not named.
    """
    if found is None or found.origin is None or found.is_allowed:
        return
    site = request.header(b"sec-fetch-site")
    if site in _FROM_ELSEWHERE or (site is None and not _is_of(found.origin, request.header(b"host"))):
        raise stranger()


def _is_of(origin: bytes, host: bytes | None) -> bool:
    """Whether what asks is the host's own page, or no page of the web."""
    scheme, _, authority = origin.lower().partition(b"://")
    if scheme not in (b"http", b"https", b"null"):
        return True
    return host is not None and authority == host.lower()


def stranger() -> Refused:
    return Refused(
        403, "origin_not_allowed", "Pages of this origin may not call here; see [server] cors_origins."
    )


def _varies(name: bytes, value: bytes) -> bool:
    if name.lower() != b"vary":
        return False
    return any(one.strip().lower() in (b"*", b"origin") for one in value.split(b","))


__all__ = ["ANY", "OF_PAGES", "Crossing", "check", "crossing", "has", "normal", "stranger"]
