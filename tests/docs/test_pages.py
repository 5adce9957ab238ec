"""The pages that show a gateway at work: everything in them is run, as it stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from llmitm.cli.main import app
from llmitm.config.load import load
from support.backstage import Backstage
from support.pages import DOCS, Reader, blocks


class Page(NamedTuple):
    name: str
    told: tuple[str, ...]
    """What is printed on the way, in this order."""


PAGES = (
    Page(
        "cloudflare",
        ("team-a", "team-b", "chat.completion", "x-debug-gateway", "stopped"),
    ),
    Page(
        "keys-and-limits",
        ("laptop", "401\n200\n", "x-ratelimit-limit-requests: 1", "429", "retry-after", "laptop", "401"),
    ),
    Page(
        "mitmweb",
        ("heard you say: what is a flow?", "<< 200 OK", "x-llmitm-id", "heard you say: what is a flow?"),
    ),
    Page("production", ("clients    need one of 1", "chat.completion", "stopped")),
    Page(
        "dashboard",
        ("http://127.0.0.1:", "chat.completion", "gpt-6-luna", '"items":', "gpt-6-luna", "stopped"),
    ),
    Page(
        "translation",
        ("x-llmitm-model", "lost:top_k", "strict was asked for", "gpt-6-luna", "stopped"),
    ),
)


@pytest.fixture(scope="module")
def provider() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_does_what_the_page_says(page: Page, provider: Backstage, tmp_path: Path) -> None:
    provider.forget()
    with Reader(tmp_path, provider) as reader:
        told = reader.follow(f"{page.name}.md")
    assert provider.new
    at = 0
    for words in page.told:
        assert (at := told.lower().find(words.lower(), at)) >= 0, f"{words!r} is missing:\n{told}"
    if (metrics := tmp_path / "metrics.txt").exists():
        named = re.findall(r"\bllmitm_[a-z_]+", (DOCS / f"{page.name}.md").read_text("utf-8"))
        told = metrics.read_text("utf-8")
        assert named and not [name for name in named if name not in told]
        assert 'llmitm_records_dropped_total{sink="ledger"} 0' in told


def shown(kind: str) -> list[tuple[str, str]]:
    return [
        (page.name, block.text) for page in PAGES for block in blocks(f"{page.name}.md") if block.kind == kind
    ]


@pytest.mark.parametrize(("page", "text"), shown("toml"))
def test_what_is_shown_of_a_configuration_can_be_used(page: str, text: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    env = dict.fromkeys(re.findall(r"env:(\w+)", text), "a-secret-of-the-environment")
    env |= {name: f"$2b$12${'x' * 53}" for name in env if name.endswith("_HASH")}
    env |= {
        "LLMITM_STATE_URL": "redis://127.0.0.1:6379/0",
        "LLMITM_LEDGER_URL": "postgresql://127.0.0.1/llmitm",
    }
    config.write_text(text)
    load(config, env=env)


@pytest.mark.parametrize(("page", "text"), shown("sh"))
def test_a_command_that_is_only_shown_is_there(page: str, text: str) -> None:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "llmitm"
        ran = CliRunner().invoke(app, [*words[1:], "--help"])
        assert ran.exit_code == 0, ran.output
