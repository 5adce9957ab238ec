"""Tokens of a login: JSON Web Tokens, HS256 and nothing else, and the key that signs them.

A token names somebody, not what they may do: that is looked up each time, so that it counts at once. It is
over when the password changes, too: it carries a mark of it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jwt

log = logging.getLogger("llmitm")

type Kind = Literal["access", "refresh"]

ISSUER: Final = "llmitm"
SESSION_S: Final = 12 * 3600
"""So long after the password was typed a login can be renewed."""
SKEW_S: Final = 60
"""A token may be signed so far in the future: clocks are put back a little."""
_KEY_BYTES: Final = 32
_CLAIMS: Final = ("sub", "aud", "iss", "iat", "exp", "jti", "sid", "auth_time", "pwd")


class BadToken(Exception):
    """`code` is `token_expired` or `invalid_token`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    name: str
    session: str
    number: str
    """Of this token alone."""
    began_s: float
    """When the password was typed, in seconds since the epoch."""
    expires_s: float
    password_mark: str


class Signer:
    def __init__(self, secret: str) -> None:
        # one length whatever was configured, and of no use for anything else
        self._key = hashlib.sha256(b"llmitm dashboard\0" + secret.encode()).digest()

    def mark(self, password_hash: str) -> str:
        """Tells passwords apart, and tells nobody else anything about them."""
        return hmac.new(self._key, password_hash.encode(), "sha256").hexdigest()[:16]

    def sign(self, token: Token, kind: Kind, now_s: float) -> str:
        claims = {
            "sub": token.name,
            "aud": kind,
            "iss": ISSUER,
            "iat": int(now_s),
            "exp": int(token.expires_s),
            "jti": token.number,
            "sid": token.session,
            "auth_time": int(token.began_s),
            "pwd": token.password_mark,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, text: str, kind: Kind, now_s: float) -> Token:
        """Raises BadToken."""
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                self._key,
                algorithms=["HS256"],
                audience=kind,
                issuer=ISSUER,
                # times are compared below, by our own clock
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False},
            )
            token = Token(
                name=_text(claims["sub"]),
                session=_text(claims["sid"]),
                number=_text(claims["jti"]),
                began_s=float(claims["auth_time"]),
                expires_s=float(claims["exp"]),
                password_mark=_text(claims["pwd"]),
            )
            signed_s = float(claims["iat"])
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
            raise BadToken("invalid_token") from None
        if signed_s > now_s + SKEW_S:  # or it would last as much longer as the clock was put back
            raise BadToken("invalid_token")
        if token.expires_s <= now_s:
            raise BadToken("token_expired")
        return token


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is expected")
    return value


def kept_key(path: Path) -> str:
    """The key in this file; made where there is none, for its owner alone.

    Where it can be neither read nor made, one for as long as the process lasts.
    """
    try:
        return _read(path) if path.exists() else _made(path)
    except FileExistsError:  # another process was quicker
        try:
            return _read(path)
        except (OSError, ValueError) as error:
            why = error
    except (OSError, ValueError) as error:
        why = error
    log.warning("logins end when the gateway does: %s cannot be used: %s", path, why)
    return secrets.token_hex(_KEY_BYTES)


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise ValueError("others may read it; chmod 600")
        text = file.read(4096).decode("ascii").strip()
    if len(text) < _KEY_BYTES:
        raise ValueError("it holds no key; delete it")
    return text


def _made(path: Path) -> str:
    key = secrets.token_hex(_KEY_BYTES)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(f"{key}\n")
        os.link(beside, path)  # whole, or not at all; raises where another was quicker
    finally:
        os.unlink(beside)
    return key
