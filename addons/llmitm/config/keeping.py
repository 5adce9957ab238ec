"""What is kept, and where: `[ledger]`, `[state]` and `[log]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from llmitm.config.table import Table
from llmitm.config.values import Count, SecretText, wrong
from llmitm.record.log_file import Rotation
from llmitm.secret import Secret


class Ledger(Table):
    enabled: bool = True
    url: SecretText | None = None
    bodies: bool = False
    retention_days: Count | None = None
    max_mb: Count | None = None
    flush_ms: Count = 500


class State(Table):
    url: SecretText = Secret("memory://")
    while_away: Literal["share", "count", "refuse"] = "share"
    gateways: Count = 1


class Log(Table):
    level: Literal["trace", "debug", "info", "warn", "warning", "error"] = "info"
    format: Literal["auto", "human", "json"] = "auto"
    file: Path | None = None
    rotate: str | None = None
    keep: Count = 14

    @field_validator("rotate")
    @classmethod
    def _known_rotation(cls, value: str | None) -> str | None:
        try:
            return value if value is None or Rotation.of(value) else None
        except ValueError as error:
            raise wrong(str(error)) from None

    @property
    def rotation(self) -> Rotation | None:
        return None if self.rotate is None else Rotation.of(self.rotate)
