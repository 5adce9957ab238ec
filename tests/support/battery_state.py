"""Rows of the battery: state, disk and clock."""

from __future__ import annotations

from support.battery import Row

ROWS: tuple[Row, ...] = ()
