from __future__ import annotations

import base64
import json
import pickle
from urllib.parse import quote, quote_plus

import pytest

from llmitm.secret import Redactor, Secret


def test_a_secret_does_not_print() -> None:
    secret = Secret("sk-live-1234567890")
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), format(secret)):
        assert "1234567890" not in text


def test_a_secret_names_the_reference_it_came_from() -> None:
    assert repr(Secret("x" * 20, "env:OPENAI_API_KEY")) == "Secret(env:OPENAI_API_KEY)"


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("sk-live-1234567890"))


def test_secrets_compare_by_value() -> None:
    assert Secret("abc") == Secret("abc", "env:X")
    assert Secret("abc") != Secret("abd")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer sk-proj-abcdefghijklmnop",
        "authorization: Basic dXNlcjpzZWNyZXQtcGFzcw==",
        "https://user:hunter2hunter2@proxy.example:3128/",
        "GET /v1beta/models/x:generateContent?alt=sse&key=AIzaSyA-0123456789abcdef HTTP/1.1",
        "x-api-key: sk-ant-api03-abcdefghij",
        "{'x-api-key': 'secret-value-of-no-known-shape'}",
        "cookie: session=abcdef0123456789",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl here",
    ],
)
def test_what_looks_like_a_key_is_masked(text: str) -> None:
    masked = Redactor()(text)
    assert "***" in masked
    for piece in (
        "abcdefghij",
        "dXNlcjpz",
        "hunter2",
        "0123456789abcdef",
        "secret-value",
        "eyJzdWIi",
    ):
        assert piece not in masked


def test_known_values_are_masked_wherever_they_stand() -> None:
    redact = Redactor()
    redact.learn(Secret("my plain secret value"), Secret("abc"))
    assert redact("before my plain secret value after") == "before *** after"
    assert redact("abc is too short to be masked") == "abc is too short to be masked"


@pytest.mark.parametrize(
    "text",
    [
        "200 POST /dev/v1/messages  anthropic  1 attempt  first byte 12.3 ms  tokens=12",
        "The bearer of this letter needs a basic understanding of the token economy.",
        "Set api_key or ask who keeps the password; a cookie is a small cake.",
        "https://example.com/search?q=key&page=2#token",
        "a proxy URL is expected: http, socks5h://[user:password@]host:port, or postgresql://USER:PASSWORD@HOST/X",
        "mail me@example.com about https://example.com/a?mail=me@example.com",
        '{"max_tokens": 12, "token": 7, "keys": ["a"], "secret_garden": true}',
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"x-api-key": "a b", "n": 1}', '{"x-api-key": "***", "n": 1}'),
        (r'{"event": "head: {\"x-api-key\": \"a b\"}"}', r'{"event": "head: {\"x-api-key\": \"***\"}"}'),
        (r'{"event": "cookie: a=b; c=d\nnext line"}', r'{"event": "cookie: ***\nnext line"}'),
        ('{"client_secret":"abcd1234","n":1}', '{"client_secret":"***","n":1}'),
        ("(b'x-api-key', b'abc'), (b'a', b'b')", "(b'x-api-key', b'***'), (b'a', b'b')"),
        ("http://u:p@host:1/x?sig=ab12&n=1", "http://***@host:1/x?sig=***&n=1"),
        (
            "http://h/upload/v1/files?upload_id=AB&llmitm_ticket=0f",
            "http://h/upload/v1/files?upload_id=***&llmitm_ticket=***",
        ),
        ("Bearer sk-abcdefghijk and ghp_abcdefghijk", "Bearer *** and ***"),
        (
            "-----BEGIN PRIVATE KEY-----MIIE-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----",
        ),
    ],
)
def test_what_stands_around_a_secret_stays(text: str, masked: str) -> None:
    assert Redactor()(text) == masked


@pytest.mark.parametrize("value", ["plain-value-1", "p@ss/w+rd é", 'quo"te\\back', "sëcret value"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_known_values_are_masked_however_they_are_written(value: str, before: str) -> None:
    redact = Redactor()
    redact.learn(Secret(value))
    written = [
        value,
        json.dumps([value]),
        json.dumps([value], ensure_ascii=False),
        repr([value]),
        quote(value),
        quote(value, safe="").lower() if value.isascii() else quote_plus(value),
    ]
    for text in written:
        assert "***" in redact(f"({text})"), text
        assert value not in redact(f"({text})")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        pair = encode(f"{before}{value}".encode()).decode()
        shown = redact(f"told: {pair}")
        assert "***" in shown and len(shown) < len(pair)


def test_bytes_that_are_no_text_come_through() -> None:
    redact = Redactor()
    redact.learn(Secret("my-secret"))
    assert redact.of_bytes(b"\xff\x00my-secret\xfe") == b"\xff\x00***\xfe"
    content = b"\xff\x00nothing\xfe"
    assert redact.of_bytes(content) is content
