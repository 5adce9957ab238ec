"""The models of a gateway endpoint, as each dialect lists them: those that the configuration names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect


def write_models(dialect: Dialect, names: Sequence[str], since_s: int) -> bytes:
    """All of them. `since_s` stands in for when each was made, which nobody said."""
    every = [_entry(dialect, name, since_s) for name in names]
    match dialect:
        case Dialect.GEMINI:
            return orjson.dumps({"models": every})
        case Dialect.ANTHROPIC_MESSAGES:
            ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
            return orjson.dumps({"data": every, "has_more": False, **ends})
        case _:
            return orjson.dumps({"object": "list", "data": every})


def write_model(dialect: Dialect, name: str, names: Sequence[str], since_s: int) -> bytes:
    """One of them.

    Raises:
        Refused: 404, it is not among them.
    """
    if name not in names:
        raise Refused(404, "model_not_found", "This model is not configured by name.")
    return orjson.dumps(_entry(dialect, name, since_s))


def _entry(dialect: Dialect, name: str, since_s: int) -> dict[str, Any]:
    match dialect:
        case Dialect.GEMINI:
            methods = ["generateContent", "streamGenerateContent"]
            return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        case Dialect.ANTHROPIC_MESSAGES:
            since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {"type": "model", "id": name, "display_name": name, "created_at": since}
        case _:
            return {"id": name, "object": "model", "created": since_s, "owned_by": "llmitm"}
