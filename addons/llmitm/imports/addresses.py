"""Providers by their addresses, and addresses as ours are written. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from llmitm.config.formats import FORMATS
from llmitm.exchange import Dialect
from llmitm.route.known import KNOWN, PROVIDERS

_VERSION: Final = re.compile(r"/v\d+(?:beta|alpha)?\Z")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


def named(base: str, dialect: Dialect) -> str | None:
    """The well-known provider at this address that speaks it; None for any other address."""
    for one in PROVIDERS:
        if dialect in one.formats and not one.is_template and _same(one.base_url, base):
            return one.name
    return None


def name_of(base: str) -> str:
    """A name for a provider at an address of its own: `api.example.com` is `example-com`."""
    try:
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    host = host.removeprefix("api.").removeprefix("www.")
    name = _NOT_IN_NAMES.sub("-", host.lower()).strip("-") or "provider"
    return f"{name}-{port}" if port else name


def own(provider: str, base: str | None, dialect: Dialect) -> str | None:
    """The `base_url` to write; None where the provider's name brings it, or there is none."""
    if base is None:
        return None
    known = KNOWN.get(provider)
    if known is not None and dialect in known.formats and _same(known.base_url, base):
        return None
    return base.rstrip("/")


def format_of(provider: str, base: str | None, dialect: Dialect) -> str | None:
    """The `format` to write so that the provider speaks `dialect`; None where its name says so."""
    known = KNOWN.get(provider)
    if known is not None and base is None and dialect in known.formats:
        return None
    if known is not None and known.formats[0] is dialect and dialect in _OWN_NAMES:
        return None
    if (known is None or known.formats[0] not in _OWN_NAMES) and dialect is Dialect.OPENAI_CHAT:
        return None if known is None or not known.is_template else _FORMATS[dialect]
    return _FORMATS[dialect]


_OWN_NAMES: Final = (Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI)
"""A provider of such a name speaks it at any address."""
_FORMATS: Final = {dialect: name for name, dialect in reversed(list(FORMATS.items()))}


def has_version(base: str) -> bool:
    return bool(_VERSION.search(base.rstrip("/")))


def has_path(base: str) -> bool:
    return bool(base.partition("://")[2].partition("/")[2].strip("/"))


def _same(known: str, base: str) -> bool:
    """The same, but for a version at the end."""
    return _bare(known) == _bare(base)


def _bare(base: str) -> str:
    return _VERSION.sub("", base.lower().rstrip("/"))
