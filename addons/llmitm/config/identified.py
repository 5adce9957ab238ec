"""Options of whatever may have a TLS identity of its own towards upstreams."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import PrivateAttr

from llmitm.config.table import Table
from llmitm.errors import Problem
from llmitm.identity import Identity, Unusable


class Identified(Table):
    tls_ca: Path | None = None
    tls_client_cert: Path | None = None
    _identity: Identity | None = PrivateAttr(None)

    @cached_property  # asked for by every attempt, and a private attribute takes 2 us
    def identity(self) -> Identity | None:
        """Once loaded; None: the system's authorities, and no certificate of ours."""
        return self._identity


class Identities:
    """Reads the files that options name, each pair once."""

    def __init__(self, folder: Path, problems: list[Problem]) -> None:
        """`folder`: what relative paths are relative to."""
        self._folder = folder
        self._problems = problems
        self._known: dict[tuple[Path | None, Path | None], Identity | None] = {}

    def given[Options: Identified](self, options: Options, place: str) -> Options:
        """`options` with what its files make. `place`: where it stands in the configuration."""
        ca, client_cert = (self._placed(one) for one in (options.tls_ca, options.tls_client_cert))
        if ca is None and client_cert is None:
            return options
        pair = (ca, client_cert)
        if pair not in self._known:
            self._known[pair] = self._read(*pair, place)
        made = options.model_copy()
        made._identity = self._known[pair]
        made.__dict__.pop("identity", None)
        return made

    def _placed(self, path: Path | None) -> Path | None:
        return path and self._folder / path.expanduser()

    def _read(self, ca: Path | None, client_cert: Path | None, place: str) -> Identity | None:
        for name, one in (("tls_ca", (ca, None)), ("tls_client_cert", (None, client_cert))):
            try:
                Identity.of(*one)
            except Unusable as error:
                self._problems.append(Problem(f"{place}.{name}", str(error)))
                return None
        return Identity.of(ca, client_cert)
