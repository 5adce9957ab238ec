"""The pages of docs/ about running llmitm: each of its commands that they show is there, options and all."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmitm.cli.main import app
from support.package_proof import ROOT

PAGES = ("service", "update", "container")


def commands(page: str) -> list[list[str]]:
    """Words of each line of a shell that runs llmitm here."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    found = [shlex.split(line.removeprefix("sudo "), comments=True) for line in lines if "<<" not in line]
    return [words[1:] for words in found if words and words[0] == "llmitm"]


@pytest.mark.parametrize("words", [words for page in PAGES for words in commands(page)], ids=" ".join)
def test_a_command_of_a_page_is_one(words: list[str]) -> None:
    ran = CliRunner().invoke(app, words if "--print" in words else [*words, "--help"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout


def test_the_pages_show_what_there_is() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 10
    text = " ".join((ROOT / "docs" / f"{page}.md").read_text() for page in PAGES)
    for name in re.findall(r"`(deploy/[^`]+)`", text):
        assert Path(ROOT / name).exists()
    for option in ("--name", "--run-as", "--service", "--token", "--check"):
        assert option in text
