from __future__ import annotations

import pickle

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


def test_ordinary_text_is_left_alone() -> None:
    text = "200 POST /dev/v1/messages  anthropic  1 attempt  first byte 12.3 ms  tokens=12"
    assert Redactor()(text) == text
