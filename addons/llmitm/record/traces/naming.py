"""How OpenTelemetry's conventions call what is done, who does it, and which path asks for it. Data, mostly.

The conventions for generative models are not stable, and the constants that a library has change with its
patch releases. So the names stand here: those of version 1.41, the last one with a number, and what followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from llmitm.exchange import Dialect
from llmitm.record import vendors

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY"}
)

_OPERATIONS: Final[Mapping[str, str]] = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/messages": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    ":generateContent": "chat",
    ":streamGenerateContent": "chat",
    ":embedContent": "embeddings",
    ":batchEmbedContents": "embeddings",
}
"""By the end of a path; the longest comes first."""
_KNOWN: Final = frozenset(
    {
        *(
            "/chat/completions",
            "/responses",
            "/messages",
            "/messages/count_tokens",
            "/responses/input_tokens",
        ),
        *("/completions", "/embeddings", "/models", "/files", "/batches", "/moderations", "/rerank"),
        *("/images/generations", "/images/edits", "/images/variations", "/realtime", "/messages/batches"),
        *("/audio/speech", "/audio/transcriptions", "/audio/translations", "/responses/compact"),
    }
)
"""Paths without their version that hold no names."""
_VERSION: Final = re.compile(r"(?:/upload)?/v\d[a-z0-9]*(?=/)")
_OF_MODEL: Final = re.compile(r"/models/[^/:]+(:[A-Za-z]{1,40})?\Z")

_VENDORS: Final[Mapping[str, str]] = {
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "x-ai": "x_ai",
    "azure": "azure.ai.openai",
    "aws": "aws.bedrock",
}
"""Those of our price lists that the conventions call otherwise."""
_FOUNDRY: Final = frozenset({"azure_ai", "azure-anthropic", "foundry"})

API_TYPES: Final[Mapping[Dialect, str]] = {
    Dialect.OPENAI_CHAT: "chat_completions",
    Dialect.OPENAI_RESPONSES: "responses",
}


@lru_cache(maxsize=1024)
def operation(path: str, dialect: Dialect | None) -> str | None:
    """What an upstream that speaks `dialect` is asked to do for a client that asked for `path`; None: nothing
    that the conventions for generative models have a name for."""
    for end, name in _OPERATIONS.items():
        if path.endswith(end):
            return "generate_content" if name == "chat" and dialect is Dialect.GEMINI else name
    return None


@lru_cache(maxsize=1024)
def route(path: str, endpoint: str | None) -> str | None:
    """The path with names of models taken out, and with a star for all that is not known; None where no
    endpoint was found."""
    if endpoint is None:
        return None
    own = f"/{endpoint}"
    if path != own and not path.startswith(own + "/"):
        own = ""
    rest = path[len(own) :]
    version = found[0] if (found := _VERSION.match(rest)) else ""
    bare = rest[len(version) :]
    if bare in _KNOWN:
        return own + rest
    if (found := _OF_MODEL.match(bare)) is not None:
        return f"{own}{version}/models/{{model}}{found[1] or ''}"
    return own + "/*"


@lru_cache(maxsize=1024)
def provider(name: str, host: str | None) -> str:
    """Who answers, as the conventions call it; else what the configuration calls it."""
    if name in _FOUNDRY:
        return "azure.ai.inference"
    vendor = vendors.at_host(host) or vendors.named(name)
    return name if vendor is None else _VENDORS.get(vendor.list, vendor.list)
