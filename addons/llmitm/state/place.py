"""Where shared counters are: what a `[state] url` says. Pure: connects to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from llmitm.secret import Secret

MEMORY: Final = "memory"
SCHEMES: Final = (MEMORY, "redis", "rediss")
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""Parameters of a `rediss` URL: files in PEM form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`memory://`, or `redis://[[user]:password@]host[:port][/database]`; `rediss` is Redis over TLS.

    User and password are percent-encoded.
    """

    scheme: str
    host: str = ""
    port: int = 6379
    database: int = 0
    user: str | None = None
    password: Secret | None = None
    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: Secret) -> Self:
        """Raises ValueError with a sentence for the operator that holds nothing of the URL but its scheme."""
        text = url.reveal()
        scheme, is_there, rest = text.partition("://")
        scheme = scheme.lower()
        if not is_there or scheme not in SCHEMES:
            told = f", not {scheme}://" if is_there and scheme.isalnum() else ""
            raise ValueError(f"memory://, redis:// or rediss:// is expected{told}")
        if scheme == MEMORY:
            if rest.strip("/"):
                raise ValueError("nothing may follow memory://")
            return cls(scheme=scheme)
        return cls._of_redis(scheme, text)

    @classmethod
    def _of_redis(cls, scheme: str, text: str) -> Self:
        try:
            parts = urlsplit(text)
            port = 6379 if parts.port is None else parts.port
        except ValueError:
            raise ValueError(
                "has no port that is a number; /, ?, # and @ in a password are written %2F, %3F, %23, %40"
            ) from None
        if not parts.hostname or parts.fragment:
            raise ValueError("names no host; /, ?, # and @ in a password are written %2F, %3F, %23, %40")
        database = parts.path.strip("/") or "0"
        if not (database.isascii() and database.isdecimal()):
            raise ValueError("the path is the number of a database, such as /0")
        return cls(
            scheme=scheme,
            host=parts.hostname,
            port=port,
            database=int(database),
            user=unquote(parts.username) if parts.username else None,
            password=Secret(unquote(parts.password)) if parts.password else None,
            files=_files(scheme, parts.query),
        )

    @property
    def is_memory(self) -> bool:
        return self.scheme == MEMORY

    @property
    def name(self) -> str:
        """For people: without user and password."""
        if self.is_memory:
            return "memory://"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.database}"


def _files(scheme: str, query: str) -> tuple[tuple[str, str], ...]:
    given = tuple(parse_qsl(query, keep_blank_values=True))
    allowed = FILES if scheme == "rediss" else ()
    for name, path in given:
        if name not in allowed or not path:
            told = " or ".join(f"{name}=FILE" for name in FILES)
            raise ValueError(f"what follows ? may be {told}, and only with rediss://")
    return given
