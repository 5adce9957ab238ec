"""What dialects are called in a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llmitm.exchange import Dialect

FORMATS: Final[Mapping[str, Dialect]] = {
    "openai-chat": Dialect.OPENAI_CHAT,
    "openai": Dialect.OPENAI_CHAT,
    "openai-compat": Dialect.OPENAI_CHAT,
    "openai-responses": Dialect.OPENAI_RESPONSES,
    "anthropic-messages": Dialect.ANTHROPIC_MESSAGES,
    "anthropic": Dialect.ANTHROPIC_MESSAGES,
    "claude": Dialect.ANTHROPIC_MESSAGES,
    "gemini": Dialect.GEMINI,
    "google": Dialect.GEMINI,
}
