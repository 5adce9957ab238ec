"""How many tokens a request has, guessed: texts whose tokens are known, and what counts beside them."""

from __future__ import annotations

import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.translate.counting import read_counted
from llmitm.translate.guess import MEDIUM_TOKENS, guess, tokens_of


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("Hello, world!", 4),
    ],
)
def test_a_third_off_at_most(text: str, tokens: int) -> None:
    """Tokens as o200k has them."""
    assert abs(tokens_of(text, "gpt-5") - tokens) <= max(1, tokens / 3)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("ein Satz in deutscher Sprache " * 50, 250, 450),
        ("предложение на русском языке " * 50, 200, 500),
        ("一个中文句子" * 50, 150, 350),
        ("한국어 문장입니다 " * 50, 200, 500),
        ("🎈" * 50, 50, 150),
        ("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 20, 300, 600),
        ("def f(x):\n    return x + 1\n" * 50, 400, 900),
    ],
)
def test_every_script_counts(text: str, least: int, most: int) -> None:
    assert least <= tokens_of(text, "gpt-5") <= most


@pytest.mark.parametrize(
    ("model", "percent"),
    [
        ("gpt-5.2", 100),
        ("openai/gpt-4.1", 100),
        ("deepseek-chat", 110),
        ("claude-3-5-haiku-latest", 115),
        ("claude-sonnet-4-6", 115),
        ("claude-sonnet-4-20250514", 115),
        ("claude-opus-4-7", 150),
        ("claude-sonnet-5", 150),
        ("gemini-3.8-flash", 105),
        ("grok-4", 105),
        ("mistral-large-latest", 125),
        ("qwen3-coder", 120),
    ],
)
def test_vocabularies_differ(model: str, percent: int) -> None:
    text = "some words of a text " * 500
    assert abs(tokens_of(text, model) * 100 / tokens_of(text, "gpt-5") - percent) < 0.5


def test_whatever_the_model_reads_counts() -> None:
    def tokens(**more: object) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}], **more}
        counted = read_counted(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
        return guess(counted, "gpt-5" if counted.model == "m" else counted.model)

    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "word " * 30}]}
    call = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "word " * 30}}
    tool = {"name": "weather", "description": "word " * 30, "input_schema": {"type": "object"}}
    bare = tokens()
    assert tokens(system="word " * 30) > bare + 30
    assert tokens(tools=[tool]) > bare + 30
    assert tokens(model="claude-sonnet-4-6", tools=[tool]) > tokens(model="claude-sonnet-4-6") + 500
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert tokens(messages=[{"role": "user", "content": "Hello there"}, *turns]) > bare + 60
    pictured = [{"role": "user", "content": [{"type": "text", "text": "Hello there"}, image]}]
    assert tokens(messages=pictured) == bare + MEDIUM_TOKENS
