"""Secrets that do not print, and the one filter that every sink shares.

A `Secret` hides its value in `repr`, `str`, f-strings and pickles, compares in constant time, and
remembers the reference (`env:NAME`, `file:PATH`) that it came from so that a rewritten file keeps it.
Values that were revealed for use are known to `redact`, which every log line, error text and saved
note passes through; beside them it masks what merely looks like a key.
"""

from __future__ import annotations

import hmac
import re
from typing import Final, NoReturn

MASK: Final = "***"


class Secret:
    """A value that never prints. `reveal()` is the only way to its text."""

    __slots__ = ("_value", "reference")

    def __init__(self, value: str, reference: str | None = None) -> None:
        self._value = value
        self.reference = reference
        """Where the value came from, such as `env:NAME`; None when it was written out."""

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference or MASK})"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


# What looks like a credential although nobody told us of it: vendor key prefixes, bearer tokens,
# user information in URLs, and query parameters that carry keys.
_LOOKS_SECRET: Final = re.compile(
    r"""
      (?P<scheme>\b(?:Bearer|Basic|Token)\s+)[A-Za-z0-9._~+/=-]{6,}
    | \b(?:sk|pk|rk|gsk|xai|nvapi|hf|ghp|r8|pplx|csk|fw)[-_][A-Za-z0-9_-]{8,}
    | \bAIza[A-Za-z0-9_-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.?[A-Za-z0-9_-]*
    | (?P<query>[?&;](?:key|api[-_]?key|access_token|token|auth)=)[^&\s"'#]+
    | (?P<header>\b(?:x-api-key|api-key|x-goog-api-key|x-llmitm-key|authorization|proxy-authorization
        |cf-aig-authorization|cookie|set-cookie)["']?\s*[:=,]\s*b?["']?)[^\s"',][^"'\r\n]*
    | (?P<url>\b[a-z][a-z0-9+.-]*://)[^/\s@"']+@
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _mask(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if url := groups["url"]:
        return f"{url}{MASK}@"
    return (groups["scheme"] or groups["query"] or groups["header"] or "") + MASK


class Redactor:
    """Replaces known secret values, and what looks like one, by `***`.

    One instance per world. `learn` is called with every secret of a configuration when it is loaded.
    """

    __slots__ = ("_known", "_pattern")

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, *secrets: Secret) -> None:
        """Values shorter than 6 characters are left out: masking them would mangle ordinary words."""
        values = {secret.reveal() for secret in secrets}
        self._known |= {value for value in values if len(value) >= 6}
        if self._known:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(value) for value in longest_first))

    def __call__(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return _LOOKS_SECRET.sub(_mask, text)
