"""Keys of our own clients: `[[auth_keys]]`."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from llmitm.config.budget import Period, Tokens, Usd
from llmitm.config.table import Table
from llmitm.config.values import Count, Glob, Key, PathGlob, matching, wrong


class AuthKey(Table):
    name: Annotated[str, Field(min_length=1)]
    key: Key | None = None
    key_hash: Annotated[str, matching(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex digits are")] | None = None
    expires_at: datetime | None = None
    """From this moment on it is refused. A date without a time is its first moment in UTC."""
    allowed_models: tuple[Glob, ...] = ()
    allowed_endpoints: tuple[Glob, ...] = ()
    allowed_paths: tuple[PathGlob, ...] = ()
    """As of an endpoint; either may allow a path."""
    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None
    budget_usd: Usd | None = None
    """A number is for `budget_period`; a table has numbers by period."""
    budget_tokens: Tokens | None = None
    budget_period: Period = "monthly"
    disabled: bool = False

    @field_validator("expires_at", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
            except ValueError:
                raise wrong("a date or an RFC 3339 time is expected") from None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise wrong("a time needs its offset, such as 2027-01-01T00:00:00Z")
        if not isinstance(value, datetime):
            raise wrong("a date or an RFC 3339 time is expected")
        return value

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_hash is None):
            raise wrong("exactly one of key and key_hash is expected")
        return self

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the key."""
        if self.key is not None:
            return hashlib.sha256(self.key.reveal().encode()).digest()
        assert self.key_hash is not None
        return bytes.fromhex(self.key_hash.removeprefix("sha256:"))

    @property
    def mask(self) -> str:
        """What is shown of it."""
        return self.digest.hex()[:8]
