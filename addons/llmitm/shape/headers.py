"""Which headers of clients reach which providers, beside what every hop passes on. Pure.

A client of the provider's own dialect keeps its headers, but for keys and for accounts that only its own
key could use. Across dialects nothing of a client's travels but what the operator lists, and what belongs
to a vendor is listed by its name: no `*` reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from functools import cached_property
from typing import Final

from llmitm.exchange import Headers

LISTS: Final = frozenset({b"anthropic-beta", b"openai-beta"})
"""Headers that switch features on: comma lists, to which clients and operators both add."""
ACCOUNTS: Final = frozenset({b"openai-organization", b"openai-project", b"x-goog-user-project"})
"""They name an account of the client's own key: with another key the provider refuses them, and the key."""
_KEYS: Final = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cf-aig-authorization",
        b"x-amz-security-token",
    }
)
_HOPS: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"host",
        b"expect",
        b"http2-settings",
    }
)
_BODIES: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-ranges",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"content-type",
        b"etag",
        b"range",
    }
)
"""They speak of one body, and translation makes another."""
_COOKIES: Final = frozenset({b"cookie", b"set-cookie"})
_OURS: Final = b"x-llmitm-"
_SECRET: Final = re.compile(rb"auth|token|secret|cookie|session|credential|api-?key|password")
_VENDORS: Final = (
    "anthropic-",
    "openai-",
    "x-stainless-",
    "x-goog-",
    "x-ms-",
    "azure-",
    "x-amz",
    "cf-",
    "x-ratelimit-",
    "x-should-retry",
    "retry-after",
)
_MOST_KNOWN: Final = 1_000
_GLOB: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z?\[\]-]+")


def wrong(entry: str) -> str | None:
    """Why an entry of `passthrough_headers` is no good; None where it is."""
    low = entry.lower().encode("utf-8", "replace")
    if not _GLOB.fullmatch(entry):
        return "the name of a header is expected, or a glob of names"
    if low in _KEYS:
        return "holds a key: clients' keys are never passed on beside yours"
    if low in _COOKIES:
        return "is never passed on"
    if low in _HOPS or low in _BODIES:
        return "belongs to one connection and its body; it is never passed on"
    if low.startswith(_OURS):
        return "is for this gateway alone"
    return None


@dataclass(frozen=True)
class Passing:
    """The compiled `passthrough_headers`."""

    entries: tuple[str, ...]
    _known: dict[bytes, bool] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def kept_back(self) -> frozenset[bytes]:
        """What does not go with a key of ours although the client speaks the provider's dialect."""
        return frozenset(name for name in ACCOUNTS if not self.passes(name))

    def passes(self, name: bytes) -> bool:
        """Whether a header of this name, in lower case, is passed on whatever the dialects."""
        found = self._known.get(name)
        if found is None:
            found = self._decide(name)
            if len(self._known) < _MOST_KNOWN:  # names come from clients
                self._known[name] = found
        return found

    def _decide(self, name: bytes) -> bool:
        text = name.decode("latin-1")
        if wrong(text) is not None:
            return False
        if text in self._exact:
            return True
        if _SECRET.search(name):
            return False
        own = next((one for one in _VENDORS if text.startswith(one)), None)
        return any(fnmatchcase(text, glob) for glob in self._globs if own is None or glob.startswith(own))

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(one.lower() for one in self.entries)

    @cached_property
    def _globs(self) -> tuple[str, ...]:
        return tuple(one for one in self._exact if any(sign in one for sign in "*?["))


@dataclass(frozen=True, slots=True)
class Flags:
    """What becomes of the lists of features that are switched on."""

    refused: re.Pattern[str] | None
    """Flags that the provider refuses."""
    own: tuple[tuple[bytes, tuple[str, ...]], ...]
    """Those that the operator adds, by header."""

    def merged(self, client: Sequence[tuple[bytes, bytes]], sending: Headers) -> tuple[Headers, list[str]]:
        """The headers with one list of each name, and what was taken out of the client's.

        `client` are those headers of the client that travel, `sending` what would be sent.
        """
        given = [(low, _split(value)) for name, value in client if (low := name.lower()) in LISTS]
        every = [flag for _, flags in given for flag in flags]
        gone = [flag for flag in every if self.refused is not None and self.refused.match(flag)]
        would = [(low, _split(value)) for name, value in sending if (low := name.lower()) in LISTS]
        lists: dict[bytes, dict[str, None]] = {}
        for name, flags in (*given, *self.own, *would):
            lists.setdefault(name, {}).update(dict.fromkeys(flags))
        if not lists:
            return sending, []
        own = {flag for _, flags in self.own for flag in flags}
        kept = tuple(pair for pair in sending if pair[0].lower() not in lists)
        made = [
            (name, ",".join(one for one in flags if one in own or one not in gone).encode())
            for name, flags in lists.items()
        ]
        return (*kept, *(pair for pair in made if pair[1])), gone


def flags(refused: Sequence[str], headers: Mapping[str, str]) -> Flags | None:
    """From globs of what a provider refuses and the operator's own headers; None where nothing follows."""
    own = tuple(
        (low, tuple(_split(value.encode())))
        for name, value in headers.items()
        if (low := name.lower().encode()) in LISTS
    )
    if not refused and not own:
        return None
    pattern = re.compile("|".join(translate(glob) for glob in refused)) if refused else None
    return Flags(pattern, own)


def _split(value: bytes) -> list[str]:
    return [flag for part in value.decode("latin-1").split(",") if (flag := part.strip())]


_FOUNDRY: Final = (
    "advisor-tool-*",
    "compact-*",
    "fast-mode-*",
    "fine-grained-tool-streaming-*",
    "mcp-servers-*",
    "oauth-*",
    "output-128k-*",
    "thinking-binding-controls-*",
    "token-efficient-tools-*",
)
_CLOUDS: Final = (
    "advisor-tool-*",
    "code-execution-*",
    "fast-mode-*",
    "files-api-*",
    "mcp-*",
    "oauth-*",
    "prompt-caching-scope-*",
    "skills-*",
    "web-fetch-*",
)
_REFUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "azure-anthropic": _FOUNDRY,
    "foundry": _FOUNDRY,
    "*bedrock*": _CLOUDS,
    "*vertex*": (*_CLOUDS, "effort-*", "fine-grained-tool-streaming-*", "output-128k-*"),
}
"""Flags of Anthropic's API that other hosts of its models answer with an error, by the provider's name."""


def refused_by(provider: str) -> tuple[str, ...]:
    """Globs of the flags that a provider of this name is known to refuse."""
    return next((globs for name, globs in _REFUSED.items() if fnmatchcase(provider, name)), ())
