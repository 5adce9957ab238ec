"""Rows of the battery: what providers do."""

from __future__ import annotations

from support.battery import Row

ROWS: tuple[Row, ...] = ()
