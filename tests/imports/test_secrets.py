"""Keys: kept where they are said, named where they are to be, and told to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli

from llmitm.config.load import load
from llmitm.imports import references
from llmitm.imports.bring import bring
from support import imported
from support.imported import Sample

named = pytest.mark.parametrize("sample", imported.load(), ids=lambda sample: sample.name)


def values_by_variable(plain: Any, moved: Any) -> dict[str, str]:
    """What each variable must be set to, from the same configuration with keys and with names."""
    match plain, moved:
        case dict(), dict():
            assert set(plain) == set(moved)
            pairs = [(plain[name], moved[name]) for name in plain]
        case list(), list():
            pairs = list(zip(plain, moved, strict=True))
        case str(), str() if plain != moved:
            return {moved.removeprefix("env:"): plain}
        case _:
            assert plain == moved
            return {}
    made: dict[str, str] = {}
    for one, other in pairs:
        for name, value in values_by_variable(one, other).items():
            assert made.setdefault(name, value) == value, f"{name} stands for two values"
    return made


@named
def test_names_in_the_place_of_keys_say_the_same(sample: Sample) -> None:
    plain, moved = sample.brought(), sample.brought(secrets_to_env=True)
    assert moved.secrets == ()
    for secret in plain.known:
        assert len(secret.reveal()) < 6 or secret.reveal() not in moved.text
    needed = values_by_variable(tomli.loads(plain.text), tomli.loads(moved.text))
    assert set(moved.variables) == set(needed) | set(plain.variables)


@named
def test_no_note_holds_a_secret(sample: Sample) -> None:
    brought = sample.brought()
    told = imported.told(sample, brought) + "".join(
        line for line in brought.text.splitlines() if line[:1] == "#"
    )
    for secret in brought.known:
        assert len(secret.reveal()) < 6 or secret.reveal() not in told


def test_one_key_has_one_name_and_names_in_use_are_left_alone() -> None:
    text = """
api-keys: [same-key-as-below]
openai-api-key:
  - {api-key: first-key}
  - {api-key: first-key, prefix: a}
  - {api-key: "${OPENAI_API_KEY}"}
  - {api-key: second-key}
gemini-api-key:
  - {api-key: same-key-as-below}
"""
    brought = bring(text.encode(), "config.yaml", kind="ai-proxy", secrets_to_env=True)
    assert brought.variables == {
        "OPENAI_API_KEY": "openai-api-key[2]",
        "OPENAI_API_KEY_2": "openai-api-key[0]",
        "OPENAI_API_KEY_3": "openai-api-key[3]",
        "GEMINI_API_KEY": "gemini-api-key[0]",
    }
    assert brought.text.count('"env:GEMINI_API_KEY"') == 2  # of the client, too


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("os.environ/OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("${OPENAI_API_KEY}", "env:OPENAI_API_KEY"),
        ("${env:KEY}", "env:KEY"),
        ("${KEY:-none}", "env:KEY"),
        ("env://KEY", "env:KEY"),
        ("env:KEY", "env:KEY"),
        ("file:///run/secrets/key", "file:/run/secrets/key"),
        ("file:key.txt", "file:key.txt"),
        ("sk-plain", "sk-plain"),
        ("$ecret-with-a-dollar", "$ecret-with-a-dollar"),
    ],
)
def test_references_are_written_as_ours(text: str, written: str) -> None:
    assert references.written(references.secret(text)) == written


def test_what_is_no_secret_and_was_a_reference_is_looked_up_or_told(tmp_path: Path) -> None:
    text = b"""
model_list:
  - model_name: a
    litellm_params: {model: openai/a, api_base: os.environ/HOUSE_URL, api_key: os.environ/HOUSE_KEY}
general_settings: {master_key: k-of-everyone}
"""
    known = bring(text, "c.yaml", env={"HOUSE_URL": "https://llm.house.example/v1", "HOUSE_KEY": "hush-hush"})
    assert "hush-hush" not in known.text
    config = load(tmp_path / "c.toml", env={"HOUSE_KEY": "k"}, text=known.text.encode())
    assert config.providers["llm-house-example"].base_url == "https://llm.house.example/v1"
    unknown = bring(text, "c.yaml")
    assert any("refers to HOUSE_URL, which is not set here" in note.message for note in unknown.notes)
