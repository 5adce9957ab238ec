"""What a `cloak` table may say, and what is told of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.errors import ConfigError
from llmitm.shape.cloak.words import Expression

TABLE = "[providers.openai]\napi_keys = ['sk-1']\n[providers.openai.cloak]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(TABLE + text)
    return path


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("sensitive_words = ['Acme', '']", "sensitive_words[1]", "must not be empty"),
        ("sensitive_words = ['x']", "sensitive_words[0]", "single letter"),
        ("sensitive_words = [{regex = '(a'}]", "sensitive_words[0]", "RE2's syntax"),
        ("sensitive_words = [{regex = '(?!a)b'}]", "sensitive_words[0]", "no look-around"),
        ("sensitive_words = [{regex = 'a*'}]", "sensitive_words[0]", "matches the empty text"),
        ("sensitive_words = [{regex = '(?:a{1,900}b){1,900}'}]", "sensitive_words[0]", "repetition size"),
        ("sensitive_words = [{text = 'a', regex = 'b'}]", "sensitive_words[0]", "is expected"),
        ("sensitive_words = [{rex = 'b'}]", "sensitive_words[0].rex", "did you mean regex?"),
        ("mode = 'sometimes'", "mode", "'always', 'never' or 'auto'"),
        ("secret = 'short'", "secret", "at least 16 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, place: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), env={})
    problems = {one.path: one.message for one in caught.value.problems}
    assert told in problems[f"providers.openai.cloak.{place}"]


def test_words_secret_and_headers_are_read(tmp_path: Path) -> None:
    text = "sensitive-words = ['Acme', {regex = 'b+'}]\nsecret = 'env:MARKS'\ncache-user-id = true\n"
    config = load(write(tmp_path, text), env={"MARKS": "sixteen-letters-or-more"})
    cloak = config.providers["openai"].credentials[0].cloak
    assert cloak is not None and cloak.secret is not None
    assert [one.word for one in cloak.sensitive_words] == ["Acme", Expression("b+")]
    assert cloak.secret.reference == "env:MARKS"
    assert "sixteen-letters-or-more" in [one.reveal() for one in config.secrets()]
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sensitive_words = ['Acme', 'ACME']", "sensitive_words[1] is the same word as sensitive_words[0]"),
        ("sensitive_words = ['Acme', 'Mask']", "sensitive_words[1] is found in the marks"),
        ("sensitive_words = [{regex = '[a-z]+'}]", "sensitive_words[0] is found in the marks"),
        ("strict_mode = true", "strict_mode replaces nothing"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(tmp_path: Path, text: str, told: str) -> None:
    (warning,) = load(write(tmp_path, text), env={}).warnings
    assert told in warning
    assert warning.startswith("providers.openai.cloak.")
