"""JSON keeps its spelling: numbers, order, slices."""

from __future__ import annotations

from enum import StrEnum

import pytest

from llmitm.exchange import Dialect
from llmitm.translate import jsontext


@pytest.mark.parametrize(
    "text",
    [
        b'{"b":1,"a":2}',
        b"[1.50,1e3,-0,0.1,18446744073709551616,123456789012345678901234567890,1E400,-1.0]",
        b"[0,-7,9007199254740993,18446744073709551615]",
        '{"text":"ü😀\\u2028"}'.encode(),
        b"[true,false,null,{}]",
    ],
)
def test_what_is_read_and_written_is_what_it_was(text: bytes) -> None:
    assert jsontext.dumps(jsontext.loads(text)) == text.replace(b"\\u2028", "\u2028".encode())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[NaN]", b"[Infinity]", b"\xff", b"[1,]", b'{"a":1}x', b"[" * 99_999]
)
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)
    with pytest.raises(ValueError):
        jsontext.loads_fast(text)


def test_half_a_surrogate_pair_is_replaced() -> None:
    text = b'{"a\\ud800":["\\udc00 and \\ud83d\\ude00",1]}'
    assert jsontext.loads(text) == {"a\ufffd": ["\ufffd and 😀", 1]}
    assert jsontext.loads_fast(text) == jsontext.loads(text)


def test_raw_text_and_words_of_an_enumeration_are_written_as_they_are() -> None:
    assert jsontext.dumps({"a": jsontext.Raw('{"x" : 1.50}'), "b": Dialect.GEMINI}) == (
        b'{"a":{"x" : 1.50},"b":"gemini"}'
    )
    with pytest.raises(TypeError):
        jsontext.dumps({1, 2})


@pytest.mark.parametrize(
    ("text", "minified"),
    [
        (b'{ "a" : [ 1.50 ,\n"b c\\" d" ] }', '{"a":[1.50,"b c\\" d"]}'),
        (b'{"a":1}', '{"a":1}'),
        (b'"\\n  \\u00fc"', '"\\n  \\u00fc"'),
    ],
)
def test_only_insignificant_white_space_goes(text: bytes, minified: str) -> None:
    assert jsontext.minified(text) == minified


@pytest.mark.parametrize(
    ("text", "is_object"),
    [
        ("{}", True),
        ('{"a":1e999}', True),
        ('{"a":"\\ud800"}', True),
        ("[]", False),
        ("", False),
        ('{"a"', False),
        ("1e999", False),
    ],
)
def test_arguments_are_an_object_or_not(text: str, is_object: bool) -> None:
    assert jsontext.is_object(text) is is_object


def test_values_are_cut_out_as_they_stand() -> None:
    body = b'\xef\xbb\xbf{"m": [{"x": 1}, {"args": {"b": 1.50, "a": "\\u00fc", "a": 2}}]}'
    slices = jsontext.Slices(body)
    assert slices.at("m", 1, "args") == '{"b":1.50,"a":"\\u00fc","a":2}'
    assert slices.at("m", 0) == '{"x":1}'
    assert slices.at("m", 0, "x") == "1"
    with pytest.raises(KeyError):
        slices.at("m", 1, "none")
    with pytest.raises(IndexError):
        slices.at("m", 9)
    with pytest.raises(ValueError):
        jsontext.Slices(b"{").at("m")


def test_a_half_of_a_surrogate_pair_hides_no_slice() -> None:
    slices = jsontext.Slices(b'{"m":[{"a":1.50,"b":"x\\ud800"},{"\\ud800":2}]}')
    assert slices.at("m", 0) == '{"a":1.50,"b":"x\ufffd"}'
    assert slices.at("m", 1, "\ufffd") == "2"


@pytest.mark.parametrize(
    ("args", "written"),
    [
        ('{"a":1.0}', '{"a":1.0}'),
        ("", "{}"),
        (" null ", "{}"),
        ("[1]", '{"_invalid_json":"[1]"}'),
        (' {"a":', '{"_invalid_json":" {\\"a\\":"}'),
    ],
)
def test_arguments_are_an_object_or_wrapped_in_one(args: str, written: str) -> None:
    assert jsontext.text_of(jsontext.object_of(args)) == written
    back = jsontext.unwrapped(jsontext.loads(written))
    assert back == (args if "_invalid_json" in written else None)


def test_texts_are_joined_as_an_array() -> None:
    assert jsontext.joined(['{"a":1}', "2"]) == '[{"a":1},2]'


class Word(StrEnum):
    A = "a"


def test_only_json_is_written_and_words_as_what_they_say() -> None:
    assert jsontext.dumps([Word.A, jsontext.Raw("1.50"), jsontext.Spelled("1e3")]) == b'["a",1.50,1e3]'
    with pytest.raises(TypeError):
        jsontext.dumps([object()])


@pytest.mark.parametrize("depth", [995, 2_000, 100_000])
def test_what_is_too_deep_to_look_through_is_told_as_such(depth: int) -> None:
    deep = '{"a":' * depth + '"\\ud83d"' + "}" * depth
    with pytest.raises(ValueError, match="deep"):
        jsontext.loads(deep)
