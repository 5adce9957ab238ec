"""What of a request is masked, in all dialects, and that every other byte stays."""

from __future__ import annotations

import gzip
import json
import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmitm.shape.cloak.content import is_content
from llmitm.shape.cloak.marks import MARK, Vocabulary
from llmitm.shape.cloak.masking import TooDeep, masked
from llmitm.shape.cloak.words import Expression, Word, Words
from llmitm.shape.spans import NotJson

WORDS = Words(["Acme", "Müller"])


def mask(body: bytes, words: Words = WORDS) -> tuple[bytes, dict[bytes, bytes]]:
    used: dict[bytes, bytes] = {}
    return masked(body, words, Vocabulary(b"k"), used).body, used


def with_words(body: bytes, words: Words = WORDS) -> Any:
    """The masked value, with `<word>` for each mark."""
    out, used = mask(body, words)
    return orjson.loads(MARK.sub(lambda match: b"<" + used[match[0]].replace(b"\\", b"\\\\") + b">", out))


CONTENT: dict[str, tuple[Any, Any]] = {
    "chat text": ({"messages": [{"content": "an ACME b"}]}, {"messages": [{"content": "an <ACME> b"}]}),
    "parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Acme"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "<Acme>"}]}]},
    ),
    "a speaker's name": (
        {"messages": [{"role": "user", "name": "acme", "content": ""}]},
        {"messages": [{"role": "user", "name": "<acme>", "content": ""}]},
    ),
    "a tool's name stays": (
        {"messages": [{"role": "tool", "name": "acme", "tool_call_id": "acme_1", "content": "acme"}]},
        {"messages": [{"role": "tool", "name": "acme", "tool_call_id": "acme_1", "content": "<acme>"}]},
    ),
    "arguments, whatever a member's name, but no keys": (
        {
            "tool_calls": [
                {"function": {"name": "acme", "arguments": '{"acme":"acme","id":"acme","n":["Acme"]}'}}
            ]
        },
        {
            "tool_calls": [
                {"function": {"name": "acme", "arguments": '{"acme":"<acme>","id":"<acme>","n":["<Acme>"]}'}}
            ]
        },
    ),
    "arguments without a string": (
        {"function_call": {"arguments": "[1234567, true]"}},
        {"function_call": {"arguments": "[1234567, true]"}},
    ),
    "arguments that are no JSON": (
        {"function_call": {"arguments": 'acme {"'}},
        {"function_call": {"arguments": '<acme> {"'}},
    ),
    "descriptions and examples of tools": (
        {
            "tools": [
                {
                    "name": "acme",
                    "description": "of Acme",
                    "input_schema": {
                        "type": "object",
                        "required": ["acme"],
                        "properties": {
                            "acme": {"type": "string", "enum": ["acme", "b"], "description": "Acme"}
                        },
                    },
                }
            ]
        },
        {
            "tools": [
                {
                    "name": "acme",
                    "description": "of <Acme>",
                    "input_schema": {
                        "type": "object",
                        "required": ["acme"],
                        "properties": {
                            "acme": {"type": "string", "enum": ["<acme>", "b"], "description": "<Acme>"}
                        },
                    },
                }
            ]
        },
    ),
    "system text": (
        {"system": [{"type": "text", "text": "acme", "cache_control": {"type": "ephemeral"}}]},
        {"system": [{"type": "text", "text": "<acme>", "cache_control": {"type": "ephemeral"}}]},
    ),
    "instructions and a plain input": (
        {"instructions": "acme", "input": "acme", "model": "acme"},
        {"instructions": "<acme>", "input": "<acme>", "model": "acme"},
    ),
    "items": (
        {"input": [{"type": "function_call_output", "call_id": "acme", "output": "acme"}]},
        {"input": [{"type": "function_call_output", "call_id": "acme", "output": "<acme>"}]},
    ),
    "encrypted reasoning stays, its summary does not": (
        {"input": [{"type": "reasoning", "encrypted_content": "acme", "summary": [{"text": "acme"}]}]},
        {"input": [{"type": "reasoning", "encrypted_content": "acme", "summary": [{"text": "<acme>"}]}]},
    ),
    "uses and results of tools": (
        {"content": [{"type": "tool_use", "id": "acme", "name": "acme", "input": {"name": "acme"}}]},
        {"content": [{"type": "tool_use", "id": "acme", "name": "acme", "input": {"name": "<acme>"}}]},
    ),
    "thoughts, never their signatures": (
        {"content": [{"type": "thinking", "thinking": "acme", "signature": "acme"}]},
        {"content": [{"type": "thinking", "thinking": "<acme>", "signature": "acme"}]},
    ),
    "base64 stays, a document of text does not": (
        {
            "a": [
                {"type": "base64", "data": "acme"},
                {"type": "text", "media_type": "text/acme", "data": "acme"},
            ]
        },
        {
            "a": [
                {"type": "base64", "data": "acme"},
                {"type": "text", "media_type": "text/acme", "data": "<acme>"},
            ]
        },
    ),
    "addresses that are to be fetched stay": (
        {"image_url": {"url": "https://acme.example/a.png"}, "fileData": {"fileUri": "https://acme.example"}},
        {"image_url": {"url": "https://acme.example/a.png"}, "fileData": {"fileUri": "https://acme.example"}},
    ),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "acme"}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionCall": {"name": "acme", "args": {"type": "acme"}},
                            "thoughtSignature": "acme",
                        },
                        {"functionResponse": {"name": "acme", "response": {"url": ["acme"]}}},
                        {"inlineData": {"mimeType": "acme", "data": "acme"}},
                    ],
                }
            ],
        },
        {
            "systemInstruction": {"parts": [{"text": "<acme>"}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionCall": {"name": "acme", "args": {"type": "<acme>"}},
                            "thoughtSignature": "acme",
                        },
                        {"functionResponse": {"name": "acme", "response": {"url": ["<acme>"]}}},
                        {"inlineData": {"mimeType": "acme", "data": "acme"}},
                    ],
                }
            ],
        },
    ),
    "metadata and variables of prompts": (
        {"metadata": {"id": "acme"}, "prompt": {"id": "acme", "variables": {"name": "acme"}}},
        {"metadata": {"id": "<acme>"}, "prompt": {"id": "acme", "variables": {"name": "<acme>"}}},
    ),
    "texts to embed": ({"input": ["acme", "b"]}, {"input": ["<acme>", "b"]}),
    "what nobody knows is content": ({"new_field": {"said": ["acme"]}}, {"new_field": {"said": ["<acme>"]}}),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_is_masked_and_nothing_else(name: str) -> None:
    value, expected = CONTENT[name]
    assert with_words(orjson.dumps(value), Words([*PLAIN[3:], "Acme", "1234567"])) == expected


def test_only_the_bytes_of_words_change() -> None:
    text = rb'"\u0041cme \/ \u00e9\n\"ACME\""'
    body = b'{ "n": 1.50e3, "messages" : [ {"content":' + text + b'} ] , "big":12345678901234567890 }'
    out, used = mask(body)
    marks = {word: mark for mark, word in used.items()}
    assert out == body.replace(rb"\u0041cme", marks[b"Acme"]).replace(b"ACME", marks[b"ACME"])


@pytest.mark.parametrize(
    ("spelled", "word"),
    [
        (r'"Acme"', b"Acme"),
        (r'"\u0041cme"', b"Acme"),
        (r'"M\u00fcller"', "Müller".encode()),
        ('"MÜLLER"', "MÜLLER".encode()),
        ('"Mu\u0308ller"', "Mu\u0308ller".encode()),
        (r'"{\"a\": \"M\\u00fcller\"}"', "Müller".encode()),
        (r'"log: M\\u00fcller"', "Müller".encode()),
    ],
)
def test_a_word_is_found_however_json_spells_it(spelled: str, word: bytes) -> None:
    """Within a text that is JSON itself too: what tools answer often is."""
    body = b'{"content": ' + spelled.encode() + b"}"
    out, used = mask(body)
    assert list(used.values()) == [word]
    assert len(MARK.findall(out)) == 1


def test_in_arguments_a_word_is_the_same_however_json_spells_it() -> None:
    """Clients write arguments anew: the marks of a conversation must not change with that."""
    plain, escaped = ({"arguments": json.dumps({"a": "Müller"}, ensure_ascii=one)} for one in (False, True))
    assert MARK.findall(mask(orjson.dumps(plain))[0]) == MARK.findall(mask(orjson.dumps(escaped))[0])


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (["Acme", "Acme Corp"], "acme corp acme", "<acme corp> <acme>"),
        (["cme", "acme"], "acme", "<acme>"),
        (["ab cd", "cd ef"], "ab cd ef cd ef", "<ab cd> ef <cd ef>"),
        (["acme"], "AcmeClient at acme.com", "<Acme>Client at <acme>.com"),
        ([Expression(r"\bacme\b")], "acme acmes\nacme", "<acme> acmes\n<acme>"),
        ([Expression(r"^acme")], "acme acme", "<acme> acme"),
        ([Expression(r"\d{3}-\d{4}")], 'call "555-1234"\n', 'call "<555-1234>"\n'),
        ([Expression("a b")], "a\nb a b", "a\nb <a b>"),
        (["a/b"], "see a/b", "see <a/b>"),
        ([".*"], "a .* b", "a <.*> b"),
        (["straße"], "STRAßE strasse", "<STRAßE> strasse"),
    ],
)
def test_the_first_word_wins_then_the_longest(words: list[Word], text: str, expected: str) -> None:
    for value in (text, text.replace("/", r"\/")):
        body = b'{"content":"' + orjson.dumps(value)[1:-1].replace(rb"\\/", rb"\/") + b'"}'
        assert with_words(body, Words(words))["content"] == expected


def test_a_word_that_json_cannot_have_as_it_is_stays_as_it_is_spelled_in_json_within_a_text() -> None:
    told = 'the "A" Team'
    for _ in range(3):
        told = json.dumps({"who": told})
        out, used = mask(orjson.dumps({"content": told}), Words(['the "a" team']))
        assert b"Team" not in out
        restored = MARK.sub(lambda match: used[match[0]], orjson.loads(out)["content"].encode())  # noqa: B023
        assert restored.decode() == told


def test_what_looks_like_a_mark_is_masked_itself() -> None:
    vocabulary = Vocabulary(b"k")
    mark = vocabulary.mark(b"Acme").decode()
    used: dict[bytes, bytes] = {}
    out = masked(orjson.dumps({"content": f"{mark} Acme"}), WORDS, vocabulary, used).body
    first, second = MARK.findall(out)
    assert (used[first], used[second], second) == (mark.encode(), b"Acme", mark.encode())


def test_a_doubled_member_is_masked_both_times() -> None:
    out, _ = mask(b'{"content":"Acme","a":"x","content":"Acme "}')
    assert b"cme" not in out


def test_halves_of_surrogate_pairs_hide_nothing() -> None:
    out, _ = mask(rb'{"content":"\ud83d Acme","b":{"c":"Acme \udc00"}}')
    assert b"cme" not in out
    assert rb"\ud83d " in out and rb" \udc00" in out


@pytest.mark.parametrize(
    "body",
    [
        b"Acme",
        b'{"content":"Acme"',
        b'{"a":"\\u0041',
        b'{"a" "Acme"}',
        b'{"a":1} Acme',
        b"\x00\xff",
        b"",
        gzip.compress(b'{"content":"Acme"}', mtime=0),
        '{"content":"Acme"}'.encode("utf-16"),
        '{"content":"M\u00fcller"}'.encode("latin-1"),
        b'{"content":"nothing to hide"} {}',
        b"[1,]",
    ],
)
def test_what_is_no_json_is_not_taken_for_masked(body: bytes) -> None:
    """Also where no word is seen in it: it might be what is compressed or in another charset."""
    with pytest.raises(NotJson):
        mask(body)


def test_what_is_nested_too_deep_is_not_taken_for_masked() -> None:
    with pytest.raises(TooDeep):
        mask(b'{"content":' + b"[" * 500 + b'"Acme"' + b"]" * 500 + b"}")


def test_expressions_take_no_longer_where_others_never_end() -> None:
    words = Words([Expression(r"(a+)+\$"), Expression(r"(x*)*y"), Expression(r"(.*)*z{3}q")])
    out, used = mask(orjson.dumps({"content": "a" * 20_000 + "x" * 20_000}), words)
    assert not used


CONTENTS = st.text(max_size=6).filter(lambda name: is_content(name, is_schema=False))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["Acme", "an ACME\n", "Mül"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CONTENTS, inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON, indent=st.sampled_from([None, 2]), is_ascii=st.booleans())
def test_putting_words_back_gives_the_same_bytes(value: Any, indent: int | None, is_ascii: bool) -> None:
    body = json.dumps({"content": value}, indent=indent, ensure_ascii=is_ascii).encode("utf-8", "replace")
    out, used = mask(body)
    assert json.loads(MARK.sub(lambda match: used[match[0]], out)) == json.loads(body)
    if not is_ascii:
        assert MARK.sub(lambda match: used[match[0]], out) == body
    texts = json.dumps(json.loads(out), ensure_ascii=False)
    assert not re.search("acme", re.sub(r'"[^"]*":', "", texts), re.IGNORECASE)


class Reading(Words):
    """The same words, looked for in every string once it is read."""

    def exact(self, body: bytes) -> None:
        return None


PLAIN = ["Acme", "nacme", "Acme Corp", "Müller", "12345"]
MEMBERS = st.sampled_from(
    ["content", "text", "arguments", "name", "role", "type", "data", "id", "a_id", "input", "input_schema"]
    + ["enum", "required", "thinking", "signature", "properties", "Acme", "metadata", "x y", 'q"', "\\"]
)
PIECES = st.sampled_from(
    [
        "Acme",
        "ACME corp",
        "acme",
        "n",
        "\n",
        "\t",
        '"',
        "\\",
        "\\n",
        "/",
        " ",
        "é",
        "müller",
        "MÜLLER",
        "z",
        "user",
    ]
    + ["text", ",", ":", '":"', '{"content":"', "zmask_abcdefghij", "12345", "[", "]", "{", "}"]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


def documents(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        texts | st.sampled_from([12345, True, None]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
        max_leaves=12,
    )


@settings(deadline=None)
@given(
    value=documents(
        TEXTS | documents(TEXTS).map(json.dumps) | documents(TEXTS).map(orjson.dumps).map(bytes.decode)
    ),
    indent=st.sampled_from([None, 2]),
    is_ascii=st.booleans(),
)
def test_where_a_word_stands_is_the_same_whether_strings_are_read_or_not(
    value: Any, indent: int | None, is_ascii: bool
) -> None:
    body = json.dumps({"a": value}, indent=indent, ensure_ascii=is_ascii).encode()
    assert mask(body, Words(PLAIN)) == mask(body, Reading(PLAIN))


@pytest.mark.parametrize("text", ["", "\\u00fc", "\\\\"])
@pytest.mark.parametrize("words", [["Acme"], ["Acme", "google", "top", "search"], ["Acme", "web_search"]])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (b'"top_logprobs":2', True),
        (b'"generationConfig":{"responseLogprobs":true}', True),
        (b'"tools":[{"type":"web_search_preview"}]', True),
        (b'"tools":[{"googleSearch":{}}]', True),
        (b'"tools":[{"google_search":{}}]', True),
        (b'"tools":[{"googleSearchRetrieval":{}}]', True),
        (b'"citations":{"enabled":true}', True),
        (b'"n":1', False),
    ],
)
def test_answers_that_may_tell_of_places_are_known(
    asked: bytes, expected: bool, words: list[Word], text: str
) -> None:
    made = masked(b'{%b,"content":"Acme %b"}' % (asked, text.encode()), Words(words), Vocabulary(b"k"), {})
    assert made.has_positions is expected
    assert not masked(b"{%b}" % asked, Words(["Acme"]), Vocabulary(b"k"), {}).has_positions  # nothing masked


@pytest.mark.parametrize("name", ["content", "arguments", "else"])
@pytest.mark.parametrize("text", ["Acme ", 'Acme "', "Acme \\", '"Acme": "', 'Acme "Acme\\n'])
def test_words_of_one_long_text_take_time_in_proportion(name: str, text: str) -> None:
    body = orjson.dumps({"messages": [{name: text * 20_000}]})
    began_s = time.process_time()
    out, _ = mask(body)
    assert time.process_time() - began_s < 3
    assert b"Acme" not in out


@pytest.mark.parametrize(
    "body",
    [
        b'[{"content":"Acme"},12345]',
        b'[{"content":"Acme 12345"},12345,{"content":"12345"},12345]',
        b'{"a":[12345,12345],"content":"12345Acme","n":12345}',
    ],
)
def test_numbers_are_no_content(body: bytes) -> None:
    out, _ = mask(body, Words(PLAIN))
    read = orjson.loads(out)
    assert (read[1] if isinstance(read, list) else read["n"]) == 12345
    assert b"Acme" not in out
