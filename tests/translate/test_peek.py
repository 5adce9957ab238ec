"""Edits of a request leave every byte alone that they are not about."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.translate.peek import (
    NotAnObject,
    Peek,
    edit,
    members,
    peek,
    remove_member,
    replace_member,
    top_level,
    unstream,
)

BLANKS = st.text(" \n\t\r", max_size=2)
NAMES = st.sampled_from(["stream", "stream_options", "model", "a", 'quo"te', "back\\", "ü", "}", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """An object as somebody might write it, with blanks anywhere, and its members as they stand."""
    pairs = []
    text = draw(BLANKS) + "{"
    for at, (name, value) in enumerate(draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))):
        spaced = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        name_text = json.dumps(name, ensure_ascii=draw(st.booleans()))
        pairs.append((name, spaced.encode()))
        text += "," * bool(at) + draw(BLANKS) + name_text + draw(BLANKS) + ":" + draw(BLANKS) + spaced
        text += draw(BLANKS)
    return (text + "}" + draw(BLANKS)).encode(), pairs


@given(written())
def test_members_are_found_where_they_stand(case: tuple[bytes, list[tuple[str, bytes]]]) -> None:
    body, pairs = case
    assert [(one.name, body[one.value_start : one.end]) for one in members(body)] == pairs
    spans = top_level(body)
    assert {name: body[start:end] for name, (start, end) in spans.items()} == dict(pairs)


CHANGES = st.dictionaries(NAMES, st.sampled_from([None, b"false", b'"x"', b"1.50"]), max_size=3)


@given(written(), CHANGES)
def test_an_edit_changes_what_it_names_and_nothing_else(
    case: tuple[bytes, list[tuple[str, bytes]]], changes: dict[str, bytes | None]
) -> None:
    body, pairs = case
    made = edit(body, changes)
    expected = [(name, changes.get(name, value)) for name, value in pairs]
    there = {name for name, _ in pairs}
    expected += [(name, value) for name, value in changes.items() if name not in there]
    assert [(one.name, made[one.value_start : one.end]) for one in members(made)] == [
        pair for pair in expected if pair[1] is not None
    ]
    if not any(name in there or value is not None for name, value in changes.items()):
        assert made == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"stream":true}', b'{"stream":false}'),
        (
            b'{ "z" : 1.50, "stream" : true ,"a":"\\u00e9 \xc3\xa9", "n":1e3 }',
            b'{ "z" : 1.50, "stream" : false ,"a":"\\u00e9 \xc3\xa9", "n":1e3 }',
        ),
        (b'{"stream":true,"stream_options":{"include_usage":true}}', b'{"stream":false}'),
        (b'{"stream_options":{}, "stream":true, "model":"m"}', b'{"stream":false, "model":"m"}'),
        (
            b'{"a":{"stream":true,"stream_options":1},"stream":true}',
            b'{"a":{"stream":true,"stream_options":1},"stream":false}',
        ),
        (b'{"str\\u0065am":true}', b'{"str\\u0065am":false}'),
        (
            b'{"stream":true,"stream":true,"stream_options":1,"stream_options":2}',
            b'{"stream":false,"stream":false}',
        ),
        (b'{"a":"{\\"stream\\":true,"}', b'{"a":"{\\"stream\\":true,","stream":false}'),
        (b"{ }", b'{ "stream":false}'),
    ],
)
def test_a_request_is_unstreamed(body: bytes, expected: bytes) -> None:
    assert unstream(body) == expected


def test_a_member_is_replaced_or_added_or_removed() -> None:
    assert replace_member(b'{"model" : "a/b", "x":1}', "model", "b") == b'{"model" : "b", "x":1}'
    assert replace_member(b'{"x":1 }', "model", "\u00fc") == '{"x":1,"model":"ü" }'.encode()
    assert remove_member(b'{"x":1 }', "y") == b'{"x":1 }'
    assert remove_member(b'{"x":1, "y":2 }', "y") == b'{"x":1 }'
    assert remove_member(b'{"x":1}', "x") == b"{}"


def test_numbers_of_any_length_are_left_as_they_are() -> None:
    number = b"1" * 300
    assert unstream(b'{"seed":' + number + b',"stream":true}') == b'{"seed":' + number + b',"stream":false}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b'"x"', b"{", b'{"a":1,}', b"{'a':1}", b"\xff", b'{"a":NaN}']
)
def test_what_is_no_object_is_a_typed_error(body: bytes) -> None:
    assert peek(body) is None
    for change in (members, unstream, top_level):
        with pytest.raises(NotAnObject):
            change(body)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"model": "m", "stream": True}, Peek(model="m", stream=True)),
        ({"model": 7, "stream": 1}, Peek()),
        ({"stream": "true", "stream_options": []}, Peek()),
        ({"stream_options": {"include_usage": True}}, Peek(include_usage=True)),
        ({"stream_options": {"include_usage": 1}}, Peek()),
    ],
)
def test_a_look_trusts_no_type(request_: dict[str, Any], expected: Peek) -> None:
    assert peek(orjson.dumps(request_)) == expected


MANY = b'{"model":"m","x":['


@pytest.mark.parametrize(
    "body",
    [
        MANY + b"{}," * 1_000 + b"{}]}",
        MANY + b'"[",' * 1_000 + b"1]}",
        MANY + b"1," * 1_000 + b"1]}",
        MANY + b'{"a":"\\\\"},' * 500 + b"1,1,1]}",
    ],
    ids=["objects", "texts", "numbers", "backslashes"],
)
def test_what_would_take_a_gigabyte_to_read_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as raised:
        peek(body, most_values=1_000)
    assert (raised.value.status, raised.value.code) == (413, "too_many_values")


@pytest.mark.parametrize("sign", [b",", b"[{", b'\\",', b"\\\\,", b",\\n"])
def test_signs_in_texts_are_no_values(sign: bytes) -> None:
    body = b'{"model":"m","x":"' + sign * 2_000 + b'","y":[1,2]}'
    assert peek(body, most_values=1_000) == Peek(model="m")


def test_doubled_members_are_found_where_they_stand() -> None:
    body = b'{"a":1, "a":1,"b":2 ,"a" :3}'
    assert [(one.name, body[one.value_start : one.end]) for one in members(body)] == [
        ("a", b"1"),
        ("a", b"1"),
        ("b", b"2"),
        ("a", b"3"),
    ]


def test_the_last_of_doubled_members_counts() -> None:
    assert peek(b'{"model":"a","model":"b"}') == Peek(model="b")
    assert top_level(b'{"a":1,"a":22}') == {"a": (11, 13)}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b"x" * 8_000_000 + b'","stream":true}',
        b'{"a":"' + b"\\n" * 2_000_000 + b'","stream":true}',
        b"{" + b'"stream_options":1,' * 50_000 + b'"stream":true}',
        b'{"a":[' + b"[]," * 500_000 + b'1],"stream":true}',
    ],
    ids=["a long string", "escapes", "doubled members", "many arrays"],
)
def test_no_body_takes_long(body: bytes) -> None:
    """Each took seconds, or gigabytes, where the time was not in proportion to the body."""
    started_s = time.process_time()
    assert unstream(body).endswith(b'"stream":false}')
    assert time.process_time() - started_s < 2
