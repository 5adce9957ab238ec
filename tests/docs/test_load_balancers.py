"""The page about load balancers shows a configuration that can be used, and recipes that are there."""

from __future__ import annotations

import re
from pathlib import Path

from llmitm.config.load import load
from support.balancers import RECIPES
from support.gateway import ROOT

PAGE = (ROOT / "docs" / "load-balancers.md").read_text()


def test_its_configuration_is_one_for_several_gateways(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml config\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(text)
    env = {name: "redis://somewhere" for name in re.findall(r"env:(\w+)", text)}
    config = load(path, env=env | {"LLMITM_LEDGER_URL": "postgresql://a:b@somewhere/llmitm"})
    assert config.auth_keys and config.server.trusted_proxies and not config.server.is_loopback


def test_the_recipes_are_where_it_says() -> None:
    copied = re.findall(r"sudo cp (deploy/\S+) (\S+)", PAGE)
    assert [ROOT / source for source, _ in copied] == list(RECIPES.values())
    for source, place in copied:
        assert place in (ROOT / source).read_text().splitlines()[0]


def test_a_recipe_waits_longer_than_an_exchange_may_take(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    exchange_s = load(path, env={}).timeouts.exchange_s
    for recipe in RECIPES.values():
        waits_s = re.findall(
            r"(?:proxy_read_timeout|timeout client|timeout server) +(\d+)s", recipe.read_text()
        )
        assert waits_s and all(int(one) > exchange_s for one in waits_s)
