"""config.toml.example is true: it loads, and it names every key there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from llmitm.config import schema
from llmitm.config.load import load
from support.authorities import Authority

EXAMPLE = Path(__file__).resolve().parents[2] / "config.toml.example"


def test_it_loads_as_it_is() -> None:
    config = load(EXAMPLE, env={})
    assert set(config.endpoints) == {"anthropic", "openai"}
    assert config.server.port == 8811
    assert config.warnings == ()


def test_it_loads_with_every_key_in_use(tmp_path: Path) -> None:
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("# These two stand"):
            break
        bare = re.sub(r"^# (?=\[|[a-z_0-9]+ = )", "", line)
        lines.append(bare)
    text = "\n".join(lines)
    # files that this machine does not have
    text = re.sub(r"^tls_(cert|key) = .*$", "", text, flags=re.M)
    text = text.replace(', "file:/run/secrets/openai"', "")
    path = tmp_path / "config.toml"
    path.write_text("passthrough_headers = []\n" + text)
    (tmp_path / "my_rules.py").write_text("def on_request(request):\n    return None\n")
    Authority(tmp_path, "ca").pair("client")
    env = dict.fromkeys(re.findall(r"env:(\w+)", text), "some-secret-value")
    env["OPENAI_API_KEY_2"] = "another-value"
    env |= {name: f"$2b$12${'x' * 53}" for name in env if name.endswith("_HASH")}
    config = load(path, env=env)
    assert config.gateways and config.auth_keys and config.providers["openai"].credentials[1].weight == 3


def tables(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    seen.add(model)
    for field in model.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            kind = waiting.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
                tables(kind, seen)
            waiting += getattr(kind, "__args__", ())
    return seen


@pytest.mark.parametrize("table", sorted(tables(schema.Config, set()), key=lambda one: one.__name__))
def test_it_names_every_key(table: type[BaseModel]) -> None:
    text = EXAMPLE.read_text()
    for name in table.model_fields:
        if name not in ("source", "warnings"):
            assert re.search(rf"\b{name}\b", text), f"{table.__name__}.{name} is not explained"
