"""Secrets that do not print, and the one filter that every sink shares.

A `Secret` hides its value in `repr`, `str`, f-strings and pickles, compares in constant time, and
remembers the reference (`env:NAME`, `file:PATH`) that it came from so that a rewritten file keeps it.
Values that were revealed for use are known to `redact`, which every log line, error text and saved
note passes through; beside them it masks what merely looks like a key.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from functools import lru_cache
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

MASK: Final = "***"
_SECRET_NAME: Final = re.compile(
    rb"(?:^|[-_])(?:auth|authorization|token|ticket|secret|passw(?:or)?d|apikey|key|cookie2?|credentials?|jwt)$"
)
_PLAIN_NAMES: Final = frozenset({b"idempotency-key", b"sec-websocket-key", b"surrogate-key"})


@lru_cache(maxsize=1024)
def is_secret(name: bytes) -> bool:
    """Whether a header of this name, in lower case, carries a credential, whatever its value looks like."""
    return name not in _PLAIN_NAMES and _SECRET_NAME.search(name) is not None


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


_SIGNS: Final = r"A-Za-z0-9._~+/=-"
_NAMES: Final = (
    "x-api-key|api[-_]?key|x-goog-api-key|x-llmitm-key|authorization|proxy-authorization|cf-aig-authorization"
    "|cookie|set-cookie|x-auth-token|x-amz-security-token"
)
_FIELDS: Final = (
    "(?:access|refresh|id|session|auth)[-_]token|client[-_]secret|secret[-_]key|private[-_]key|password"
)
_PREFIXES: Final = (
    *(
        "sk",
        "pk",
        "rk",
        "gsk",
        "xai",
        "nvapi",
        "hf",
        "r8",
        "pplx",
        "csk",
        "fw",
        "tgp",
        "tvly",
        "jina",
        "glpat",
    ),
    *("ghp", "gho", "ghu", "ghs", "ghr", "github_pat", "xoxa", "xoxb", "xoxp", "xoxs", "sess"),
)

_SHAPES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (hints, re.compile(pattern, re.IGNORECASE))
    for hints, pattern in (
        # prose says "bearer" and "basic", too: what follows must not be a plain word
        (
            ("bearer", "basic", "token"),
            rf"\b(?:Bearer|Basic|Token)\s+((?=[A-Za-z]*[0-9._~+/=-]+[A-Za-z0-9]|[{_SIGNS}]{{16}})[{_SIGNS}]{{6,}})",
        ),
        (
            tuple(prefix + sign for prefix in _PREFIXES for sign in "-_"),
            rf"(?<![A-Za-z0-9])((?:{'|'.join(_PREFIXES)})[-_][A-Za-z0-9_-]{{8,}})",
        ),
        (("aiza",), r"\b(AIza[A-Za-z0-9_-]{10,})"),
        (("akia", "asia"), r"\b(A[KS]IA[A-Z0-9]{16})\b"),
        (("ya29.",), r"\b(ya29\.[A-Za-z0-9_-]{10,})"),
        (("eyj",), r"\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.?[A-Za-z0-9_-]*)"),
        (("private key",), r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.+?)(?:-----END|\Z)"),
        (
            ("=",),
            r"[?&;](?:key|api[-_]?key|access_token|token|auth|sig|password|(?:client_)?secret"
            r"|(?:x-(?:amz|goog)-)?(?:signature|security-token)|upload_id|llmitm_ticket)=([^&\s\"'#\\]+)",
        ),
        (
            ("key", "authorization", "cookie", "x-auth-token", "security-token"),
            rf"\b(?:{_NAMES})\\*[\"']?\s*[:=,]\s*b?\\*[\"']?([^\s\"',\\][^\"'\\\r\n]*)",
        ),
        (
            ("token", "secret", "private", "password"),
            rf"\b(?:{_FIELDS})\\*[\"']?\s*[:=]\s*b?\\*[\"']?([^\s\"',;&\\]{{4,}})",
        ),
        # what tells how to write one is none
        (("://",), r"://(?!\[?USER:PASSWORD@)([^/?#\s@\"'<>\\]+)@"),
    )
)
"""What looks like a credential although nobody told us of it: vendors' key prefixes, tokens of schemes, user
information in URLs, and parameters, headers and fields that carry keys. Each shape is looked for only where
one of its words is in the text: a search for words is a hundred times quicker."""


_LONG: Final = re.compile(r"[-_][A-Za-z0-9_-]{8}")
"""What a vendor's key has after its prefix."""
_OTHER_SHAPES: Final = tuple(one for one in _SHAPES if one[0][0] != "sk-")


class Redactor:
    """Replaces known secret values, and what looks like one, by `***`.

    One instance per world. `learn` is called with every secret of a configuration when it is loaded.
    """

    __slots__ = ("_forms", "_known")

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._forms: tuple[str, ...] = ()

    def learn(self, *secrets: Secret) -> None:
        """Values shorter than 6 characters are left out: masking them would mangle ordinary words."""
        values = {secret.reveal() for secret in secrets}
        self._known |= {value for value in values if len(value) >= 6}
        self._forms = tuple(sorted({form for value in self._known for form in forms(value)}))

    def __call__(self, text: str) -> str:
        spans = self.spans(text)
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for start, end in spans:
            parts += (text[at:start], MASK)
            at = end
        return "".join((*parts, text[at:]))

    def of_bytes(self, content: bytes) -> bytes:
        """The same for bytes that are mostly UTF-8; the object itself where there is nothing to replace."""
        text = content.decode("utf-8", "surrogateescape")
        shown = self(text)
        return content if shown is text else shown.encode("utf-8", "surrogateescape")

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand in it, in order, without overlaps."""
        found: list[tuple[int, int]] = []
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = text.find(form, at + len(form))
        words = text.lower()
        for hints, pattern in _SHAPES if _LONG.search(text) else _OTHER_SHAPES:
            for hint in hints:
                if hint in words:
                    found += (match.span(1) for match in pattern.finditer(text))
                    break
        return found if len(found) < 2 else _merged(found)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    spans.sort()
    merged = spans[:1]
    for start, end in spans[1:]:
        last_start, last_end = merged[-1]
        if start <= last_end:
            merged[-1] = (last_start, max(last_end, end))
        else:
            merged.append((start, end))
    return merged


def forms(value: str) -> set[str]:
    """How a value may be written: as it is, in URLs, in JSON, in what Python prints, and in base64 at each of
    the three places that it may begin at."""
    quoted = {quote(value), quote(value, safe=""), quote_plus(value)}
    written = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    data = value.encode("utf-8", "surrogatepass")
    encoded = set()
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        plain = base64.b64encode(bytes(before) + data)
        whole = plain[skipped : (before + len(data)) * 8 // 6].decode()
        encoded |= {whole, whole.replace("+", "-").replace("/", "_")}
    lower = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), one) for one in quoted}
    return {one for one in written | quoted | lower | encoded if len(one) >= 6}
