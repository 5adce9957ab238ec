"""What providers can be asked beside an answer: by their names, and by what the operator says."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.config.schema import Config
from llmitm.exchange import Dialect
from llmitm.route import abilities
from llmitm.route.providers import Candidate

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
OWN = {"base_url": "http://127.0.0.1:1/v1"}


def candidate(name: str, model: str = "m", **options: Any) -> Candidate:
    config = Config.model_validate({"providers": {name: options}})
    return Candidate(provider=name, options=config.providers[name], credential=None, model=model)


@pytest.mark.parametrize(
    ("chosen", "completes"),
    [
        (candidate("openai", "gpt-3.5-turbo-instruct"), True),
        (candidate("openai", "davinci-002"), True),
        (candidate("openai", "gpt-5.2"), False),
        (candidate("openai", "gpt-3.5-turbo-instruct", wire_api="responses"), True),
        (candidate("groq"), False),
        (candidate("together"), True),
        (candidate("vllm"), True),
        (candidate("mine", **OWN), True),
        (candidate("mine", **OWN, completions=[]), False),
        (candidate("mine", **OWN, completions=["*-base"]), False),
        (candidate("mine", "m-base", **OWN, completions=["*-base"]), True),
        (candidate("groq", completions=["*"]), True),
        (candidate("anthropic"), False),
        (candidate("google"), False),
    ],
)
def test_who_completes_prompts(chosen: Candidate, completes: bool) -> None:
    assert abilities.completes(chosen) is completes


@pytest.mark.parametrize(
    ("chosen", "client", "dialect", "most"),
    [
        (candidate("openai"), CHAT, CHAT, None),
        (candidate("openai"), GEMINI, CHAT, None),
        (candidate("mine", **OWN, wire_api="responses"), CHAT, CHAT, None),
        (candidate("google"), CHAT, GEMINI, 100),
        (candidate("google"), GEMINI, GEMINI, 100),
        (candidate("google-openai"), CHAT, CHAT, 100),
        (candidate("mine", **OWN, format="gemini"), CHAT, GEMINI, 100),
        (candidate("anthropic"), CHAT, None, None),
    ],
)
def test_who_embeds(chosen: Candidate, client: Dialect, dialect: Dialect | None, most: int | None) -> None:
    assert (abilities.embeds_in(chosen, client), abilities.most_embedded(chosen)) == (dialect, most)


@pytest.mark.parametrize(
    ("chosen", "client", "dialect", "is_sure"),
    [
        (candidate("anthropic"), MESSAGES, MESSAGES, True),
        (candidate("anthropic"), GEMINI, MESSAGES, True),
        (candidate("openai"), RESPONSES, RESPONSES, True),
        (candidate("openai"), MESSAGES, RESPONSES, True),
        (candidate("google"), RESPONSES, GEMINI, True),
        (candidate("groq"), RESPONSES, None, False),
        (candidate("ollama-anthropic"), MESSAGES, None, False),
        (candidate("mine", **OWN), MESSAGES, None, False),
        (candidate("mine", **OWN, format="anthropic"), MESSAGES, MESSAGES, False),
        (candidate("mine", **OWN, wire_api="responses"), MESSAGES, RESPONSES, False),
    ],
)
def test_who_counts(chosen: Candidate, client: Dialect, dialect: Dialect | None, is_sure: bool) -> None:
    assert (abilities.counts_in(chosen, client), abilities.is_sure_to_count(chosen)) == (dialect, is_sure)
