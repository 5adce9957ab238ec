"""What clients may ask for in a minute and at once: `[rate_limit]`."""

from __future__ import annotations

from collections.abc import Mapping

from llmitm.config.table import Table
from llmitm.config.values import Count, Glob


class Limits(Table):
    """Requests and tokens within any minute, and requests at once. None: no limit."""

    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None


class RateLimit(Limits):
    """Of all clients together; `per_key_*` of each key that says nothing itself."""

    per_key_rpm: Count | None = None
    per_key_tpm: Count | None = None
    models: Mapping[Glob, Limits] = {}
    """A glob of models to what all that match it may be asked together."""
