"""Ids and names are kept where they are legal; all others are functions of what they stand for."""

from __future__ import annotations

import re

import pytest

from llmitm.exchange import Dialect
from llmitm.translate import ids

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI


@pytest.mark.parametrize(
    ("dialect", "upstream", "told"),
    [
        (CHAT, "msg_01AbC", "chatcmpl-01AbC"),
        (RESPONSES, "chatcmpl-x-y", "resp_x-y"),
        (MESSAGES, "resp_1", "msg_1"),
        (GEMINI, "msg_1", "1"),
        (CHAT, "plain", "chatcmpl-plain"),
        (CHAT, "odd/.:id", "chatcmpl-oddid"),
        (CHAT, "end_", "chatcmpl-end_"),
    ],
)
def test_replies_keep_the_upstreams_id_under_the_clients_prefix(
    dialect: Dialect, upstream: str, told: str
) -> None:
    assert ids.reply_id(dialect, upstream) == told


@pytest.mark.parametrize(
    ("dialect", "call_id", "use", "is_kept"),
    [
        (CHAT, "functions.Bash:0", 1, True),
        (MESSAGES, "call_1-A", 1, True),
        (MESSAGES, "functions.Bash:0", 1, False),
        (CHAT, "call_1", 2, False),
        (GEMINI, "", 1, True),
    ],
)
def test_a_client_gets_what_it_may_hold_and_the_upstream_its_own_again(
    dialect: Dialect, call_id: str, use: int, is_kept: bool
) -> None:
    told = ids.for_client(dialect, call_id, use)
    assert (told == call_id) is is_kept
    assert ids.from_client(told) == call_id
    assert is_kept or re.fullmatch(r"gwid-[A-Za-z0-9_-]+", told)


@pytest.mark.parametrize("text", ["gwid-!!", "gwid-/w", "gwid-", "call_1"])
def test_what_only_looks_like_one_of_ours_stays(text: str) -> None:
    assert ids.from_client(text) == text


@pytest.mark.parametrize(
    ("dialect", "is_openai", "is_mistral", "call_id", "pattern"),
    [
        (MESSAGES, False, False, "toolu_1", "toolu_1"),
        (MESSAGES, False, False, "a.b", r"toolu_[0-9a-f]{24}"),
        (MESSAGES, False, False, "a" * 65, r"toolu_[0-9a-f]{24}"),
        (CHAT, True, False, "a.b", r"a\.b"),
        (CHAT, True, False, "a" * 65, r"call_[0-9a-f]{24}"),
        (RESPONSES, True, False, "", r"call_[0-9a-f]{24}"),
        (CHAT, False, True, "abcdefgh9", "abcdefgh9"),
        (CHAT, False, True, "call_1", r"[0-9A-Za-z]{9}"),
        (CHAT, False, False, "a" * 65, "a{65}"),
        (GEMINI, False, False, "a.b", r"a\.b"),
    ],
)
def test_an_upstream_gets_what_it_accepts(
    dialect: Dialect, is_openai: bool, is_mistral: bool, call_id: str, pattern: str
) -> None:
    made = ids.for_upstream(dialect, call_id, is_openai=is_openai, is_mistral=is_mistral)
    assert re.fullmatch(pattern, made)
    assert made == ids.for_upstream(dialect, call_id, is_openai=is_openai, is_mistral=is_mistral)


@pytest.mark.parametrize(
    ("dialect", "name", "pattern"),
    [
        (CHAT, "get_weather-2", "get_weather-2"),
        (CHAT, "get weather!", r"get_weather__[0-9a-f]{8}"),
        (CHAT, "a" * 65, r"a{55}_[0-9a-f]{8}"),
        (GEMINI, "ns.tool:x", r"ns\.tool:x"),
        (GEMINI, "9lives", r"_9lives_[0-9a-f]{8}"),
        (GEMINI, "a b", r"a_b_[0-9a-f]{8}"),
    ],
)
def test_tools_keep_their_names_where_they_are_legal(dialect: Dialect, name: str, pattern: str) -> None:
    assert re.fullmatch(pattern, ids.tool_name(dialect, name))


def test_made_ids_differ_by_what_they_stand_for() -> None:
    made = {
        ids.made_call_id("r", 0, 0, "f"),
        ids.made_call_id("r", 0, 1, "f"),
        ids.made_call_id("r", 1, 0, "f"),
        ids.made_call_id("s", 0, 0, "f"),
        ids.gemini_call_id(0, 0, "f"),
        ids.gemini_call_id(1, 0, "f"),
        ids.legacy_call_id(0, "f"),
    }
    assert len(made) == 7
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", one) for one in made)
    assert ids.item_id("fc_", "r", 0) != ids.item_id("fc_", "r", 1)
