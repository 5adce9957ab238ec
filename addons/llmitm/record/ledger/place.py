"""Where the ledger is: what a `[ledger] url` says. Pure: connects to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from llmitm.record.ledger.columns import Backend
from llmitm.secret import Secret

FILE: Final = "llmitm.db"
SPILL: Final = "llmitm.db"
"""What the names of spill files begin with where the ledger is no file."""
_BACKENDS: Final[dict[str, Backend]] = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+asyncpg": "postgresql",
}
_HINT: Final = "/, ?, # and @ in a password are written %2F, %3F, %23, %40"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`sqlite:///FILE` (four slashes where it is absolute, else beside the configuration), or
    `postgresql://[user[:password]@]host[:port]/database[?sslmode=…]`.
    """

    backend: Backend
    path: Path | None = None
    """Of the SQLite file."""
    url: Secret | None = None
    """Of the PostgreSQL database, as its driver takes it."""
    name: str
    """For people: without user and password."""
    spill: Path
    """What the names of its spill files begin with."""

    @classmethod
    def of(cls, url: Secret | None, folder: Path) -> Self:
        """`folder` is that of the configuration; None of a URL is a file there.

        Raises ValueError with a sentence for the operator that holds nothing of the URL but its scheme.
        """
        text = f"sqlite:///{FILE}" if url is None else url.reveal()
        scheme, is_there, rest = text.partition("://")
        backend = _BACKENDS.get(scheme.lower())
        if not is_there or backend is None:
            told = f", not {scheme}://" if is_there and scheme.replace("+", "").isalnum() else ""
            raise ValueError(f"sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE is expected{told}")
        if backend == "sqlite":
            return cls._of_file(rest, folder)
        return cls._of_server(rest, folder)

    @classmethod
    def _of_file(cls, rest: str, folder: Path) -> Self:
        host, _, name = rest.partition("/")
        if host or not name or "?" in name or name == ":memory:":
            raise ValueError(
                "a file is expected: sqlite:///NAME beside the configuration, or sqlite:////PATH"
            )
        path = folder / unquote(name)
        return cls(backend="sqlite", path=path, name=str(path), spill=path)

    @classmethod
    def _of_server(cls, rest: str, folder: Path) -> Self:
        url = f"postgresql://{rest}"
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError:
            raise ValueError(f"has no port that is a number; {_HINT}") from None
        sockets = dict(parse_qsl(parts.query)).get("host")
        database = parts.path.strip("/")
        if not (parts.hostname or sockets) or parts.fragment:
            raise ValueError(f"names no host; {_HINT}")
        if not database or "/" in database:
            raise ValueError("names no database: postgresql://USER:PASSWORD@HOST/DATABASE")
        host = parts.hostname or sockets or ""
        shown = f"[{host}]" if ":" in host else host
        return cls(
            backend="postgresql",
            url=Secret(url),
            name=f"postgresql://{shown}:{port}/{unquote(database)}",
            spill=folder / SPILL,
        )

    @property
    def alchemy_url(self) -> Secret:
        """The same as SQLAlchemy takes it."""
        if self.url is None:
            return Secret(f"sqlite+aiosqlite:///{self.path}")
        return Secret(self.url.reveal().replace("postgresql://", "postgresql+asyncpg://", 1))
