"""Bars as an SVG, drawn by hand: one panel a figure, one bar for each of those that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH = 860
_NAMES = 190
_BAR = 22
_TITLE = 34
_OURS = "#2563eb"
_THEIRS = "#9ca3af"


class Bar(NamedTuple):
    name: str
    value: float
    is_ours: bool
    said: str
    """The value as it is to be read."""


class Panel(NamedTuple):
    title: str
    bars: Sequence[Bar]


def drawn(title: str, panels: Sequence[Panel]) -> str:
    """A page that is read in light and dark surroundings, since it has a ground of its own."""
    parts: list[str] = []
    top = 44
    for panel in panels:
        parts.append(_text(16, top + 20, panel.title, weight="600"))
        top += _TITLE
        most = max((bar.value for bar in panel.bars), default=0.0) or 1.0
        for bar in panel.bars:
            parts += _bar(bar, top, most)
            top += _BAR
        top += 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">'
    )
    ground = f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>'
    return "\n".join([head, ground, _text(16, 28, title, size=16, weight="600"), *parts, "</svg>"]) + "\n"


def _bar(bar: Bar, top: int, most: float) -> list[str]:
    length = max(1.0, (_WIDTH - _NAMES - 130) * bar.value / most)
    colour = _OURS if bar.is_ours else _THEIRS
    return [
        _text(_NAMES - 8, top + 14, bar.name, anchor="end"),
        f'<rect x="{_NAMES}" y="{top + 3}" width="{length:.1f}" height="15" rx="2" fill="{colour}"/>',
        _text(_NAMES + length + 6, top + 14, bar.said),
    ]


def _text(
    left: float, top: int, text: str, *, size: int = 13, weight: str = "400", anchor: str = "start"
) -> str:
    place = f'x="{left:.1f}" y="{top}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text {place} fill="#111827">{escape(text)}</text>'
