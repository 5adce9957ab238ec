"""Functions of an operator's own: `[hooks]`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import PrivateAttr

from llmitm.config.table import Table
from llmitm.shape.hooks.modules import Modules


class Hooks(Table):
    modules: tuple[Path, ...] = ()
    """Relative to the configuration."""
    _loaded: Modules | None = PrivateAttr(None)

    @cached_property  # asked for by every request, and a private attribute takes 2 us
    def loaded(self) -> Modules | None:
        """What they define; None: there are none."""
        return self._loaded

    def having(self, loaded: Modules) -> Self:
        made = self.model_copy()
        made._loaded = loaded
        made.__dict__.pop("loaded", None)
        return made
