"""The pages about coding agents show the settings that the proof with these agents runs with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomli

from llmitm.config.load import load
from support.agents import AGENTS, KEY, UPSTREAMS, Agent, Turn
from support.gateway import ROOT

PAGES = sorted((ROOT / "docs" / "agents").glob("*.md"))
PAGE_OF = {
    "codex-in-code": "codex",
    "aider-anthropic": "aider",
    "opencode-openai": "opencode",
    "opencode-anthropic": "opencode",
    "opencode-google": "opencode",
    "opencode-in-trouble": "opencode",
}
NOT_SHOWN = frozenset(PAGE_OF) - {"aider-anthropic"}
"""They differ from the one that is shown in what the page tells in words."""
KEYS = {f"{name}_API_KEY": "sk-none" for name in ("ANTHROPIC", "OPENAI", "GEMINI")}


def blocks(page: str, language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return found


def read(language: str, text: str) -> Any:
    return tomli.loads(text) if language == "toml" else json.loads(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_gateways_configuration_is_one(path: Path, tmp_path: Path) -> None:
    found = blocks(path.read_text(), "toml config")
    assert found
    for text in found:
        config = tmp_path / "config.toml"
        config.write_text(text)
        assert load(config, env=KEYS).auth_keys


@pytest.mark.parametrize("agent", AGENTS.values(), ids=list(AGENTS))
def test_the_agents_settings_are_those_that_were_tried(agent: Agent, tmp_path: Path) -> None:
    name = PAGE_OF.get(agent.name, agent.name)
    page = (ROOT / "docs" / "agents" / f"{name}.md").read_text()
    turn = Turn(
        url="http://127.0.0.1:8811",
        model=UPSTREAMS[agent.native].model,
        home=tmp_path,
        work=tmp_path,
        program=agent.program,
    )
    assert KEY in page
    for variable, value in agent.env(turn).items():
        assert f"export {variable}={value}\n" in page
    if agent.name in NOT_SHOWN:
        return
    for file, text in agent.files(turn).items():
        language = Path(file).suffix.removeprefix(".")
        assert f"`~/{file}`" in page
        assert read(language, text) in [read(language, block) for block in blocks(page, language)]


def test_each_agent_has_its_page() -> None:
    assert {path.stem for path in PAGES} == {PAGE_OF.get(name, name) for name in AGENTS}
