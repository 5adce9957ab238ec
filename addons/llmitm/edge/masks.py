"""Keeps credentials out of what is shown, saved and replayed.

A leg shows `***` where the client sent a key; the real values wait in a `Vault` beside the stream and
are put back when the journey takes the request over, or when the answer goes to the client. A value that
somebody edited is left as edited. A mask whose vault is gone (a leg loaded from a file) is dropped where a
key must stand: it was a key once, and is none now.

Bodies, and headers whose names tell nothing, are masked as log lines are: known secrets, and what looks
like one. Only legs that somebody can see are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mitmproxy.net import encoding

from llmitm.accept import subprotocols
from llmitm.exchange import Headers
from llmitm.secret import Redactor, is_secret
from llmitm.translate.inflate import Broken, inflater

MASK: Final = b"***"

_QUERY_KEY: Final = re.compile(
    rb"(?<=[?&])(key|api[-_]?key|access_token|token|auth|sig|password|(?:client_)?secret"
    rb"|(?:x-(?:amz|goog)-)?(?:signature|security-token)|upload_id|llmitm_ticket)=([^&#]*)",
    re.IGNORECASE,
)
MOST_INFLATED_BYTES: Final = 16_777_216
MOST_KEPT_BYTES: Final = 262_144
"""Of a body that may be played again; a larger one is played again as it is shown."""


@dataclass(slots=True)
class Vault:
    """What one request's masks stand for."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """(lower-case name, real value) in order."""
    query: list[tuple[bytes, bytes]] = field(default_factory=list)
    path: tuple[bytes, bytes] | None = None
    """As shown and as it is, where something in it looks like a key."""
    texts: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """Of headers that only hold something secret: (lower-case name, shown value, real value)."""
    answered: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """The same of the answer's headers."""
    sent: HiddenBody | None = None
    got: HiddenBody | None = None

    def __repr__(self) -> str:
        return f"Vault({len(self.headers)} headers, {len(self.query)} parameters)"

    def __bool__(self) -> bool:
        """Whether a request that is played again needs it."""
        return bool(self.headers or self.query or self.path or self.texts or self.sent)


@dataclass(slots=True)
class HiddenBody:
    """A body that is shown with masks."""

    shown: bytes
    real: bytes = field(repr=False)
    values: tuple[str, ...] = field(repr=False)
    """What each `***` of it stands for, in order; empty where it is compressed."""

    @classmethod
    def of(cls, content: bytes, headers: Headers, redact: Redactor) -> HiddenBody | None:
        """None where there is nothing to hide."""
        coding = _coding(headers)
        plain = content if coding is None else _inflated(content, coding)
        text = plain.decode("utf-8", "surrogateescape")
        spans = redact.spans(text)
        if not spans:
            return None
        parts: list[str] = []
        values: list[str] = []
        at = 0
        for start, end in (*spans, (len(text), len(text))):
            parts.append(text[at:start])
            values += ["***"] * text[at:start].count("***")
            values.append(text[start:end])
            at = end
        shown = "***".join(parts).encode("utf-8", "surrogateescape")
        if coding is not None:
            encoded = encoding.encode(shown, coding)
            assert isinstance(encoded, bytes)
            return cls(encoded, content, ())
        return cls(shown, content, tuple(values[:-1]))

    def restored(self, content: bytes) -> bytes:
        """The real body; of an edited one what still has as many masks, else it stays as edited."""
        if content == self.shown:
            return self.real
        parts = content.decode("utf-8", "surrogateescape").split("***")
        if len(parts) != len(self.values) + 1:
            return content
        filled = [text for pair in zip(parts, (*self.values, ""), strict=True) for text in pair]
        return "".join(filled).encode("utf-8", "surrogateescape")


_CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}
"""What can be undone and done again."""


def _coding(headers: Headers) -> str | None:
    for name, value in headers:
        if name.lower() == b"content-encoding" and value.lower() != b"identity":
            return _CODINGS.get(value.decode("ascii", "replace").strip().lower())
    return None


def _inflated(content: bytes, coding: str) -> bytes:
    """As much as can be read of it, which may have been cut; as it is where nobody can."""
    plain = bytearray()
    try:
        inflate = inflater(coding.encode())
        for portion in inflate(content) if inflate is not None else (content,):
            plain += portion
            if len(plain) >= MOST_INFLATED_BYTES:
                break
    except Broken:
        return content
    return bytes(plain[:MOST_INFLATED_BYTES])


def _masked(value: bytes) -> bytes:
    scheme, space, rest = value.partition(b" ")
    return scheme + b" " + MASK if space and rest and scheme.isalpha() else MASK


def hide(headers: Headers, target: bytes, redact: Redactor | None = None) -> tuple[Headers, bytes, Vault]:
    """The same request with its credentials masked, and the vault that holds them.

    With `redact`, what it finds in other headers is masked, too.
    """
    vault = Vault()
    if b"=" in target:

        def keep(match: re.Match[bytes]) -> bytes:
            vault.query.append((match[1].lower(), match[2]))
            return match[1] + b"=" + MASK

        target = _QUERY_KEY.sub(keep, target)
    if redact is not None and (masked := redact.of_bytes(target)) is not target:
        vault.path = (masked, target)
        target = masked
    if redact is not None and not _has_secrets(headers, redact):
        redact = None
    shown = headers
    for at, (name, value) in enumerate(headers):
        lower = name.lower()
        if is_secret(lower):
            vault.headers.append((lower, value))
            masked = _masked(value)
        elif (masked := _text_masked(lower, value, redact)) is not value:
            vault.texts.append((lower, masked, value))
        else:
            if shown is not headers:
                shown += ((name, value),)
            continue
        if shown is headers:
            shown = headers[:at]
        shown += ((name, masked),)
    return shown, target, vault


def _has_secrets(headers: Headers, redact: Redactor) -> bool:
    """Whether one of the values that are looked at may hold some: all at once takes a tenth of the time."""
    values = b"\n".join(value for name, value in headers if not is_secret(name.lower()))
    return redact.of_bytes(values) is not values


def _text_masked(name: bytes, value: bytes, redact: Redactor | None) -> bytes:
    """Without the secrets that stand in it; the very same where none does."""
    if name == subprotocols.HEADER:
        value = subprotocols.shown(value)
    return value if redact is None else redact.of_bytes(value)


def hide_answer(headers: Headers, redact: Redactor) -> tuple[Headers, list[tuple[bytes, bytes, bytes]]]:
    """The same of an answer's headers, and what stood there: name in lower case, shown and real value."""
    hidden: list[tuple[bytes, bytes, bytes]] = []
    shown: list[tuple[bytes, bytes]] = []
    if not any(is_secret(name.lower()) for name, _ in headers) and not _has_secrets(headers, redact):
        return headers, hidden
    for name, value in headers:
        lower = name.lower()
        masked = _cookie_masked(value) if lower == b"set-cookie" else redact.of_bytes(value)
        if is_secret(lower) and masked is value and not value.isdigit():
            masked = _masked(value)
        if masked is not value:
            hidden.append((lower, masked, value))
        shown.append((name, masked))
    return (tuple(shown), hidden) if hidden else (headers, hidden)


def _cookie_masked(value: bytes) -> bytes:
    """Its name and its attributes are told."""
    name, equals, rest = value.partition(b"=")
    return name + equals + MASK + b"".join(rest.partition(b";")[1:]) if equals else MASK


def put_back(headers: Headers, hidden: list[tuple[bytes, bytes, bytes]]) -> Headers:
    """With real values where what was shown still stands."""
    left = list(hidden)
    real: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if MASK in value:
            lower = name.lower()
            kept = next((one for one in left if one[0] == lower and one[1] == value), None)
            if kept is not None:
                left.remove(kept)
                value = kept[2]
        real.append((name, value))
    return tuple(real)


def restore(headers: Headers, target: bytes, vault: Vault) -> tuple[Headers, bytes]:
    """Puts the real values back where the mask still stands, and drops masks without a value."""
    if vault.headers or any(is_secret(name.lower()) for name, _ in headers):
        left = list(vault.headers)
        real: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if value.endswith(MASK) and is_secret(name.lower()):
                kept = next((pair for pair in left if pair[0] == name.lower()), None)
                if kept is None:
                    continue
                left.remove(kept)
                value = kept[1]
            real.append((name, value))
        headers = tuple(real)
    if vault.texts:
        headers = put_back(headers, vault.texts)
    if vault.path is not None and target == vault.path[0]:
        target = vault.path[1]
    if MASK in target:
        waiting = list(vault.query)

        def fill(match: re.Match[bytes]) -> bytes:
            if match[2] != MASK:
                return match[0]
            kept = next((pair for pair in waiting if pair[0] == match[1].lower()), None)
            if kept is None:
                return match[1] + b"="
            waiting.remove(kept)
            return match[1] + b"=" + kept[1]

        target = _QUERY_KEY.sub(fill, target)
    return headers, target
