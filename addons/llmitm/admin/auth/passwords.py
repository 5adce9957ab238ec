"""Passwords: argon2id for new ones; bcrypt is understood, too. What is slow is done in a thread of its own.

One at a time: many logins at once must neither take the machine's memory nor the gateway's time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2
import bcrypt

MOST_BYTES: Final = 1024
LEAST_SIGNS: Final = 12
_BCRYPT_BYTES: Final = 72
"""What lies beyond would not count."""
_HASHER: Final = argon2.PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
_DECOY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=1$nbcAvGYzj7BYKA0DyTFkSw$+tHHqFrDa/4bF2qer4vxdvzWZYloM1dEUNtFZb+l4VM"
)
"""Of nobody: what the password of somebody unknown is compared with, so that it takes as long."""


def make(password: str) -> str:
    """Raises ValueError with a sentence, where it is no good."""
    if len(password) < LEAST_SIGNS:
        raise ValueError(f"a password has at least {LEAST_SIGNS} characters")
    if len(password.encode()) > MOST_BYTES:
        raise ValueError(f"a password has at most {MOST_BYTES} bytes")
    return _HASHER.hash(password)


def wrong(made: str) -> str | None:
    """Why it is no hash that can be compared with; None where it is one."""
    try:
        if made.startswith("$argon2id$"):
            argon2.extract_parameters(made)
            return None
        if made.startswith(("$2a$", "$2b$", "$2y$")) and len(made) == 60 and 4 <= int(made[4:6]) <= 16:
            return None
    except (ValueError, argon2.exceptions.InvalidHashError):
        pass
    return "a hash of a password is expected, argon2id or bcrypt; `llmitm dashboard password` makes one"


def is_right(password: str, made: str | None, like: str | None = None) -> bool:
    """Slow. None: there is nobody of that name, and it takes as long as with `like`, the hash of somebody."""
    against = made or like or _DECOY
    data = password.encode("utf-8", "surrogatepass")
    if len(data) > MOST_BYTES:
        data = b""
    try:
        if against.startswith("$2"):
            found = len(data) <= _BCRYPT_BYTES and bcrypt.checkpw(data, against.encode())
        else:
            found = _HASHER.verify(against, data)
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError, ValueError):
        found = False
    return found and made is not None and bool(data)


class Comparer:
    """Compares in a thread of its own, one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llmitm-passwords")

    async def is_right(self, password: str, made: str | None, like: str | None) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, is_right, password, made, like)

    async def make(self, password: str) -> str:
        """Raises ValueError, as `make`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, make, password)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
