"""What may stand in tables of the configuration: secrets, addresses, numbers, globs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from llmitm.secret import Secret

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")


def wrong(message: str) -> PydanticCustomError:
    # braces would be read as a template
    return PydanticCustomError("llmitm", "{message}", {"message": message})


class SecretField:
    """Reads a string, already resolved by the loader, into a `Secret`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str):
                return Secret(value)
            raise wrong("a string is expected")

        return core_schema.no_info_plain_validator_function(read)


SecretText = Annotated[Secret, SecretField]


def _key(value: Any) -> Any:
    if isinstance(value, Secret) and not value.reveal().strip():
        raise wrong("must not be empty")
    if isinstance(value, Secret) and any(ord(sign) < 32 or ord(sign) == 127 for sign in value.reveal()):
        raise wrong("must not hold control characters")
    if isinstance(value, Secret) and value.reveal() != value.reveal().strip():
        raise wrong("must not begin or end with white space")
    return value


def proxy_url(value: Any) -> Secret:
    """A URL of a proxy, or an empty one for none; else raises the sentence that says what is expected."""
    if isinstance(value, str):
        value = Secret(value)
    if not isinstance(value, Secret):
        raise wrong("a string is expected")
    text = value.reveal()
    if text == "":
        return value
    try:
        parts = urlsplit(text)
        usable = parts.scheme in PROXY_SCHEMES and parts.hostname and (parts.port is None or parts.port > 0)
        # urlsplit() drops some of these without a word
        usable = usable and not any(sign <= " " or sign == "\x7f" for sign in text)
    except ValueError:
        usable = False
    if not usable:
        raise wrong(
            f'a proxy URL is expected: {", ".join(PROXY_SCHEMES)}://[user:password@]host:port, or "" for none'
        )
    return value


def _base(value: Any) -> Any:
    if not isinstance(value, str):
        raise wrong("a string is expected")
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not value.isascii() or any(sign <= " " for sign in value):
        raise wrong("an absolute URL is expected, such as https://api.example.com/v1")
    if "?" in value or "#" in value or "@" in parts.netloc:  # an empty query is one, too
        raise wrong("must not hold a query, a fragment or user information")
    return value.rstrip("/")


def _host_name(value: Any) -> str:
    if not isinstance(value, str) or not _HOST_NAME.match(value):
        raise wrong("a host name without scheme and port is expected, such as llm.example.com")
    return value.lower()


def matching(pattern: str, expected: str) -> AfterValidator:
    """A check against `pattern` whose sentence says in words what is `expected`."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise wrong(f"{expected} expected")
        return value

    return AfterValidator(check)


Key = Annotated[SecretText, Field(), BeforeValidator(lambda value: _key(_as_secret(value)))]
ProxyUrl = Annotated[SecretText, BeforeValidator(proxy_url)]
BaseUrl = Annotated[str, BeforeValidator(_base)]
HostName = Annotated[str, BeforeValidator(_host_name)]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1, le=2**53)]
"""What a shared store counts exactly."""
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Glob = Annotated[str, Field(min_length=1)]
PathGlob = Annotated[
    str,
    matching(r"/(?:upload/)?v[12](?:beta|alpha)?/.+", "paths with their version, such as /v1/skills*, are"),
]


def _as_secret(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, Secret):
        return value
    raise wrong("a string is expected")
