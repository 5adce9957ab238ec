"""Vectors between OpenAI's form and Gemini's, both ways, and what is read of answers that pass."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import embeddings
from llmitm.translate.embeddings import Embedding, OfEmbeddings, read_embed
from llmitm.translate.neutral import UpstreamError
from llmitm.translate.target import Target

OPENAI, GEMINI = Dialect.OPENAI_CHAT, Dialect.GEMINI
OTHER = {OPENAI: GEMINI, GEMINI: OPENAI}


def content(*texts: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": one} for one in texts]}}


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def made_of(client: Dialect, asked: Any, *, is_batch: bool = False, is_strict: bool = False) -> Embedding:
    body = orjson.dumps(asked)
    embed = read_embed(client, body, model="m" if client is GEMINI else None, is_batch=is_batch)
    return Embedding(embed, Target(dialect=OTHER[client], model="up", is_strict=is_strict))


def entry(n: int, embedding: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": n, "embedding": embedding}


# ---- requests


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"input": "one"}, {"model": "models/up", **content("one")}),
        (
            {"input": "one", "dimensions": 8},
            {"model": "models/up", **content("one"), "outputDimensionality": 8},
        ),
        ({"input": ["one"]}, {"requests": [{"model": "models/up", **content("one")}]}),
        (
            {"input": ["one", "two"], "dimensions": 8, "encoding_format": "base64", "user": "u"},
            {
                "requests": [
                    {"model": "models/up", **content("one"), "outputDimensionality": 8},
                    {"model": "models/up", **content("two"), "outputDimensionality": 8},
                ]
            },
        ),
    ],
)
def test_openais_form_as_geminis(asked: dict[str, Any], sent: Any) -> None:
    made = made_of(OPENAI, {"model": "m", **asked})
    assert (orjson.loads(made.body), made.notes.warnings) == (sent, [])


@pytest.mark.parametrize(
    ("asked", "is_batch", "sent"),
    [
        (content("one"), False, {"model": "up", "input": "one"}),
        (content("one", "two"), False, {"model": "up", "input": "one\ntwo"}),
        ({"content": {"parts": {"text": "one"}}}, False, {"model": "up", "input": "one"}),
        (
            {**content("one"), "output_dimensionality": 8},
            False,
            {"model": "up", "input": "one", "dimensions": 8},
        ),
        ({"requests": [content("one")]}, True, {"model": "up", "input": ["one"]}),
        (
            {"requests": [{"model": "models/m", **content(one), "outputDimensionality": 8} for one in "ab"]},
            True,
            {"model": "up", "input": ["a", "b"], "dimensions": 8},
        ),
    ],
)
def test_geminis_form_as_openais(asked: dict[str, Any], is_batch: bool, sent: Any) -> None:
    made = made_of(GEMINI, asked, is_batch=is_batch)
    assert (orjson.loads(made.body), made.notes.warnings) == (sent, [])


LOST: list[tuple[Dialect, dict[str, Any], str]] = [
    (OPENAI, {"model": "m", "input": "one", "input_type": "query"}, "lost:unknown-field at input_type"),
    (GEMINI, {**content("one"), "taskType": "RETRIEVAL_QUERY"}, "lost:task-type at taskType"),
    (GEMINI, {**content("one"), "title": "t"}, "lost:title at title"),
]


@pytest.mark.parametrize(("client", "asked", "code"), LOST)
def test_what_is_left_out_is_named_and_refused_where_strict(
    client: Dialect, asked: dict[str, Any], code: str
) -> None:
    assert made_of(client, asked).notes.codes() == (code,)
    with pytest.raises(Refused) as caught:
        made_of(client, asked, is_strict=True)
    assert (caught.value.status, caught.value.code) == (400, "unsupported_by_target")


@pytest.mark.parametrize(
    ("client", "asked", "param"),
    [
        (OPENAI, {"input": [1, 2]}, "input"),
        (OPENAI, {"input": [[1, 2]]}, "input"),
        (OPENAI, {"input": []}, "input"),
        (OPENAI, {"input": ["one", None]}, "input[1]"),
        (OPENAI, {}, "input"),
        (OPENAI, {"input": "one", "encoding_format": "ubinary"}, "encoding_format"),
        (GEMINI, {}, None),
        (GEMINI, {"content": {"parts": []}}, "content"),
        (GEMINI, {"content": {"parts": [{"inlineData": {"data": "AA=="}}]}}, "content.parts[0]"),
        (GEMINI, {"content": {"parts": [{"text": 3}]}}, "content.parts[0].text"),
    ],
)
def test_what_cannot_be_embedded(client: Dialect, asked: dict[str, Any], param: str | None) -> None:
    with pytest.raises(Refused) as caught:
        made_of(client, {"model": "m", **asked})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_one_size_for_all() -> None:
    requests = [content("one"), {**content("two"), "outputDimensionality": 8}]
    with pytest.raises(Refused, match="one outputDimensionality for all"):
        made_of(GEMINI, {"requests": requests}, is_batch=True)


# ---- answers


def test_geminis_answer_as_openais() -> None:
    made = made_of(OPENAI, {"model": "m", "input": ["one", "two"]})
    told = {
        "embeddings": [{"values": [0.5, 1]}, {"values": [0, -1]}],
        "usageMetadata": {"promptTokenCount": 3},
    }
    assert orjson.loads(made.reply(orjson.dumps(told))) == {
        "object": "list",
        "data": [entry(0, [0.5, 1]), entry(1, [0, -1])],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (3, 0)


def test_packed_where_the_client_wants_that() -> None:
    made = made_of(OPENAI, {"model": "m", "input": "one", "encoding_format": "base64"})
    told = orjson.loads(made.reply(b'{"embedding":{"values":[0.5,-1,2]}}'))
    assert told["data"] == [entry(0, packed(0.5, -1, 2))]


def test_a_count_that_nobody_made_is_guessed_for_the_client_alone() -> None:
    made = made_of(OPENAI, {"model": "m", "input": "one two three"})
    told = orjson.loads(made.reply(b'{"embedding":{"values":[0.5]}}'))
    assert 1 <= told["usage"]["prompt_tokens"] <= 6
    assert made.notes.codes() == ("adjusted:usage-estimated at usage",)
    assert made.usage is None


@pytest.mark.parametrize("form", [list, packed], ids=["plain", "packed"])
def test_openais_answer_as_geminis(form: Any) -> None:
    first, second = ([0.5, 1.0], [0.0, -1.0]) if form is list else (packed(0.5, 1), packed(0, -1))
    told = {"data": [entry(1, second), entry(0, first)], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    made = made_of(GEMINI, {"requests": [content("one"), content("two")]}, is_batch=True)
    assert orjson.loads(made.reply(orjson.dumps(told))) == {
        "embeddings": [{"values": [0.5, 1]}, {"values": [0, -1]}],
        "usageMetadata": {"promptTokenCount": 3},
    }


def test_for_one_text_there_is_one_vector() -> None:
    made = made_of(GEMINI, content("one"))
    told = {"data": [entry(0, [0.5])], "usage": {"total_tokens": 2}}
    assert orjson.loads(made.reply(orjson.dumps(told))) == {
        "embedding": {"values": [0.5]},
        "usageMetadata": {"promptTokenCount": 2},
    }


@pytest.mark.parametrize(
    ("client", "told", "code"),
    [
        (OPENAI, b"<html>", "malformed_reply"),
        (OPENAI, b"[]", "malformed_reply"),
        (OPENAI, b"{}", "malformed_reply"),
        (OPENAI, b'{"embeddings":[]}', "malformed_reply"),
        (OPENAI, b'{"embeddings":[{"values":[1]},{"values":[1]}]}', "malformed_reply"),
        (OPENAI, b'{"embeddings":[{"values":{}}]}', "malformed_reply"),
        (GEMINI, b'{"data":[{"embedding":"%%%"}]}', "malformed_reply"),
        (GEMINI, b'{"data":[{"embedding":"AAA="}]}', "malformed_reply"),
        (GEMINI, b'{"data":null}', "malformed_reply"),
        (GEMINI, b'{"error":{"message":"no","code":"server_error"}}', "server_error"),
    ],
)
def test_what_is_no_answer(client: Dialect, told: bytes, code: str) -> None:
    asked = {"model": "m", "input": "one"} if client is OPENAI else content("one")
    with pytest.raises(UpstreamError) as caught:
        made_of(client, asked).reply(told)
    assert caught.value.failure.code == code


@pytest.mark.parametrize("values", ['["a"]', "[null]"])
def test_what_cannot_be_packed(values: str) -> None:
    made = made_of(OPENAI, {"model": "m", "input": "one", "encoding_format": "base64"})
    with pytest.raises(UpstreamError):
        made.reply(f'{{"embedding":{{"values":{values}}}}}'.encode())


# ---- more than a provider takes at once


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("one", ["one"]),
        (["a", "b"], [["a", "b"]]),
        (["a", "b", "c", "d", "e"], [["a", "b"], ["c", "d"], ["e"]]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1], [2], [3]], [[[1], [2]], [[3]]]),
    ],
)
def test_split(given: Any, parts: list[Any]) -> None:
    bodies = embeddings.split(orjson.dumps({"model": "m", "input": given, "dimensions": 8}), 2)
    assert [orjson.loads(body) for body in bodies] == [
        {"model": "m", "input": part, "dimensions": 8} for part in parts
    ]


def test_join() -> None:
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    bodies = [
        orjson.dumps({"object": "list", "data": data, "model": "m", "usage": usage})
        for data in ([entry(1, "b"), entry(0, "a")], [entry(0, "c")])
    ]
    assert orjson.loads(embeddings.join(bodies)) == {
        "object": "list",
        "data": [entry(0, "a"), entry(1, "b"), entry(2, "c")],
        "model": "m",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


# ---- answers that pass


LONG = b"[%s]" % b",".join([b"-0.0123456789"] * 10_000)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"data":[],"model":"up","usage":{"prompt_tokens":7,"total_tokens":7}}', 7),
        (b'{"data":[],"model":"up","usage":{"total_tokens":7}}', 7),
        (b'{"model":"up","usage":{"prompt_tokens":7,"details":{"a":1}},"data":%s}' % LONG, 7),
        (b'{"data":%s,"model":"up","usage":{"prompt_tokens":7}}' % LONG, 7),
        (b'{"embeddings":%s,"usageMetadata":{"promptTokenCount":7},"model":"up"}' % LONG, 7),
        (b'{"data":%s,"model":"up","usage":null}' % LONG, None),
        (b'{"data":%s,"model":"up"' % LONG, None),
    ],
)
@pytest.mark.parametrize("size", [1_000, 50_000, 1_000_000])
def test_tokens_stand_at_one_of_the_ends(body: bytes, tokens: int | None, size: int) -> None:
    beside = OfEmbeddings(OPENAI, is_events=False)
    for at in range(0, len(body), size):
        beside.feed(body[at : at + size])
    assert beside.finish() is False and beside.failure is None
    assert (beside.usage.input_tokens if beside.usage else None) == tokens
    assert beside.answered == "up"


def test_an_error_with_a_good_status() -> None:
    beside = OfEmbeddings(OPENAI, is_events=False)
    beside.feed(b'{"error":{"message":"no","code":"server_error"}}')
    beside.finish()
    assert beside.failure is not None and beside.failure.code == "server_error"
