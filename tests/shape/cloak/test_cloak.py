"""Beside masking: pseudonyms, thoughts that come back as they were signed, marks over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.exchange import Dialect
from llmitm.shape.cloak.cloak import Cloak, Uncloak, is_near
from llmitm.shape.cloak.marks import MARK, Vocabulary
from llmitm.shape.cloak.words import Expression, Word, problem, repeated

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI


def cloak(*words: Word, key: bytes = b"k" * 32, has_pseudonym: bool = False, kept: Any = None) -> Cloak:
    return Cloak.of(
        system_prompt=None,
        is_strict=False,
        words=words,
        has_pseudonym=has_pseudonym,
        key=key,
        vocabularies=kept,
    )


def out(
    made: Cloak, value: Any, dialect: Dialect = CHAT, auth_key: str | None = None, **more: bool
) -> tuple[Any, Uncloak | None]:
    body, uncloak = made.out(orjson.dumps(value), dialect, auth_key, is_generating=True, **more)
    return orjson.loads(body), uncloak


@pytest.mark.parametrize(
    ("dialect", "is_openai", "asked", "place"),
    [
        (CHAT, True, {"user": "eve"}, ("safety_identifier",)),
        (CHAT, False, {"safety_identifier": "eve"}, ("user",)),
        (RESPONSES, True, {"safety_identifier": "eve"}, ("safety_identifier",)),
        (MESSAGES, False, {}, ("metadata", "user_id")),
        (MESSAGES, False, {"metadata": {"user_id": "eve"}}, ("metadata", "user_id")),
        (GEMINI, False, {}, None),
    ],
)
def test_a_pseudonym_stands_where_the_dialect_has_a_place_for_one(
    dialect: Dialect, is_openai: bool, asked: Any, place: Sequence[str] | None
) -> None:
    made = cloak(has_pseudonym=True)
    body, _ = out(made, asked, dialect, "laptop", is_openai=is_openai)
    expected: Any = {} if place is None else made.pseudonym("laptop")
    for name in reversed(place or ()):
        expected = {name: expected}
    assert body == expected


def test_a_pseudonym_is_the_clients_own_for_good_and_tells_nothing() -> None:
    names = [cloak(key=key * 32).pseudonym(name) for key in (b"k", b"o") for name in ("laptop", "desk", None)]
    assert len(set(names)) == 6
    assert cloak().pseudonym("laptop") == names[0]
    assert all(len(name) == 32 and "laptop" not in name for name in names)


def test_marks_are_the_same_in_every_turn_and_after_a_restart_and_differ_between_clients() -> None:
    first, again, other = (
        out(cloak("Acme"), {"content": "an Acme"}, auth_key=key)[0]["content"] for key in ("a", "a", "b")
    )
    assert first == again != other


def test_a_word_that_no_request_named_here_is_restored() -> None:
    """Upstreams may keep the conversation, and this may be another process than the one that masked."""
    mark = out(cloak("Acme"), {"content": "ACME"})[0]["content"]
    _, uncloak = out(cloak("Acme"), {"previous_response_id": "resp_1"})
    assert uncloak is not None and not uncloak.restorer.used
    assert uncloak.restorer.json(b'"' + mark.encode() + b'"') == b'"ACME"'


def test_words_of_expressions_are_known_as_long_as_their_vocabulary() -> None:
    kept: dict[bytes, Vocabulary] = {}
    mark = out(cloak(Expression("ac.e"), kept=kept), {"content": "acme"})[0]["content"]
    _, uncloak = out(cloak(Expression("ac.e"), kept=kept), {})
    assert uncloak is not None
    assert uncloak.restorer.text(mark.encode()) == b"acme"


THOUGHTS = st.lists(
    st.sampled_from(
        [
            "MARK",
            "Acme",
            "acme",
            " ",
            "zmask_",
            "zmask_aaaaaaaaaa",
            "z",
            '"',
            "\n",
            "so ",
            "CAPITALS",
            "Capital",
        ]
    ),
    max_size=8,
)


@given(parts=THOUGHTS, is_stream=st.booleans(), size=st.integers(1, 9))
def test_thoughts_come_back_byte_for_byte_as_they_were_signed(
    parts: list[str], is_stream: bool, size: int
) -> None:
    """Also where the model wrote a word by itself, or something like a mark."""
    made = cloak("Acme")
    asked, uncloak = out(made, {"messages": [{"content": "Acme"}]}, MESSAGES)
    assert uncloak is not None
    mark = asked["messages"][0]["content"]
    signed = "".join(parts).replace("MARK", mark)
    signed = signed.replace("CAPITALS", mark.upper()).replace("Capital", mark.capitalize())
    block = {"type": "thinking", "thinking": signed, "signature": "c2lnbmVk"}
    if is_stream:
        stream = uncloak.stream()
        events = [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {**block, "thinking": "", "signature": ""},
            }
        ]
        cuts = [signed[at : at + size] for at in range(0, len(signed), size)]
        events += [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": one}}
            for one in cuts
        ]
        delta = {"type": "signature_delta", "signature": block["signature"]}
        events += [
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
        ]
        got = (
            b"".join(stream.feed(b"data: " + orjson.dumps(one) + b"\n\n") for one in events) + stream.finish()
        )
        read = [orjson.loads(one[6:]) for one in got.split(b"\n\n") if one]
        shown = "".join(one["delta"].get("thinking", "") for one in read if "delta" in one)
    else:
        reply = orjson.dumps({"content": [block]})
        uncloak.reply(reply)
        shown = orjson.loads(uncloak.restorer.json(reply))["content"][0]["thinking"]
    assert mark not in shown
    turns = [{"role": "assistant", "content": [{**block, "thinking": shown}]}]
    again, _ = out(made, {"messages": turns}, MESSAGES)
    assert again["messages"][0]["content"][0]["thinking"] == signed


def test_a_text_that_is_json_stays_json() -> None:
    asked = {"response_format": {"type": "json_schema"}, "content": 'the "A" Team'}
    body, uncloak = out(cloak('the "A" Team'), asked)
    assert uncloak is not None
    said = orjson.dumps({"name": body["content"]}).decode()
    restored = orjson.loads(uncloak.restorer.json(orjson.dumps({"content": said})))["content"]
    assert orjson.loads(restored) == {"name": 'the "A" Team'}


def test_a_vocabulary_forgets_the_oldest_word_and_its_mark() -> None:
    vocabulary = Vocabulary(b"k", most_words=2)
    marks = [vocabulary.mark(word) for word in (b"a", b"b", b"c")]
    assert [vocabulary.word(mark) for mark in marks] == [None, b"b", b"c"]
    assert vocabulary.mark(b"a") == marks[0]
    assert all(MARK.fullmatch(mark) for mark in marks)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://localhost", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::1]:8000", True),
        ("http://models.internal", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8", False),
        (None, False),
    ],
)
def test_auto_spares_what_is_near(base: str | None, expected: bool) -> None:
    assert is_near(base) is expected


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("a", "single letter"),
        (Expression(""), "empty"),
        (Expression("a*"), "matches the empty text"),
        (Expression("(a"), "missing"),
        (Expression("(?=a)b"), "no look-around"),
        (Expression(r"(a)\1"), "escape"),
        (Expression("a{2000}"), "repetition"),
    ],
)
def test_words_that_cannot_be_are_told(word: Word, told: str) -> None:
    assert told in (problem(word) or "")


def test_words_that_are_there_twice_are_told() -> None:
    assert list(repeated(["Acme", "other", "ACME", Expression("acme")])) == [(2, 0), (3, 0)]
