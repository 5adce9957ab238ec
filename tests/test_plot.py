"""The bars of a benchmark."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.plot import Bar, Panel, drawn

_SPACE = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("one & two", 10.0, True, "10"), Bar("<other>", 5.0, False, "5"), Bar("none", 0.0, False, "0")]
    root = ElementTree.fromstring(drawn("A title", [Panel("Figures", bars), Panel("Nothing", [])]))
    lengths = [float(one.get("width", 0)) for one in root.iter(f"{_SPACE}rect")][1:]
    assert lengths[0] == 2 * lengths[1]
    assert lengths[2] == 1.0
    texts = [one.text for one in root.iter(f"{_SPACE}text")]
    assert {"A title", "Figures", "one & two", "<other>", "10"} <= set(texts)
