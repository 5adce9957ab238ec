"""Every link within the documentation leads to a file, and to a heading, that is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from support.gateway import ROOT

PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.txt"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "certs").glob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)
_LINK: Final = re.compile(r"\]\(([^()\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    """Without what is code."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#{1,6} (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(text_of(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}, a heading that is not there"


@pytest.mark.parametrize("index", ["docs/README.md", "llms.txt"])
def test_every_page_is_in_the_index(index: str) -> None:
    home = ROOT / index
    linked = {(home.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(text_of(home))}
    missing = {page for page in (ROOT / "docs").rglob("*.md") if page != home} - linked
    assert not {page for page in missing if page.name != "README.md"}
