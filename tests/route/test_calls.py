"""What paths below a gateway endpoint ask for, and the URLs that the same is asked at."""

from __future__ import annotations

import pytest

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.calls import generate, read, url_of

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI


@pytest.mark.parametrize(
    ("path", "dialect", "task"),
    [
        (b"/v1/chat/completions", CHAT, "generate"),
        (b"/chat/completions", CHAT, "generate"),
        (b"/v1/responses", RESPONSES, "generate"),
        (b"/v1/messages?beta=true", MESSAGES, "generate"),
        (b"/v1/messages/count_tokens", MESSAGES, "count"),
        (b"/v1/responses/input_tokens", RESPONSES, "count"),
        (b"/v1/responses/compact", RESPONSES, "compact"),
        (b"/v1/completions", CHAT, "complete"),
        (b"/v1/embeddings", CHAT, "embed"),
        (b"/v1beta/models/gemini-3:generateContent", GEMINI, "generate"),
        (b"/v1beta/models/gemini-3:countTokens", GEMINI, "count"),
        (b"/v1beta/models/gemini-embedding-2:embedContent", GEMINI, "embed"),
        (b"/v1beta/models/gemini-embedding-2:batchEmbedContents", GEMINI, "embed"),
    ],
)
def test_paths(path: bytes, dialect: Dialect, task: str) -> None:
    call = read("POST", path)
    assert (call.dialect, call.task) == (dialect, task)


@pytest.mark.parametrize(
    ("rest", "model", "is_stream", "is_array"),
    [
        (b"/v1beta/models/g:generateContent", "g", False, False),
        (b"/v1beta/models/g:streamGenerateContent?alt=sse", "g", True, False),
        (b"/v1beta/models/g:streamGenerateContent?alt=sse&key=k", "g", True, False),
        (b"/v1beta/models/g:streamGenerateContent", "g", True, True),
        (b"/v1alpha/models/a%2Fb:generateContent", "a/b", False, False),
        (
            b"/v1beta/models/a/b:free:generateContent",
            "a/b:free",
            False,
            False,
        ),  # as Google's own SDK sends it
        (b"/v1beta/models/ft:x:generateContent", "ft:x", False, False),
    ],
)
def test_what_a_gemini_path_says(rest: bytes, model: str, is_stream: bool, is_array: bool) -> None:
    call = read("POST", rest)
    assert (call.model, call.is_stream, call.is_json_array) == (model, is_stream, is_array)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"key=k", b""),
        (b"alt=sse&key=k", b"alt=sse"),
        (b"key=k&alt=sse", b"alt=sse"),
        (b"monkey=1", b"monkey=1"),
    ],
)
def test_a_key_in_the_query_goes_no_further(query: bytes, kept: bytes) -> None:
    assert read("POST", b"/v1/chat/completions?" + query).query == kept


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", b"/v1/realtime", 404),
        ("POST", b"/v1/v1/messages", 404),
        ("POST", b"/v1beta/models/g:doSomething", 404),
        ("GET", b"/v1/chat/completions", 405),
    ],
)
def test_other_paths_and_methods_are_refused(method: str, path: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        read(method, path)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("rest", "base", "path"),
    [
        (b"/v1/chat/completions", "", "/v1/chat/completions"),
        (b"/v1/chat/completions", "/v1", "/v1/chat/completions"),
        (b"/v1/chat/completions", "/api/paas/v4", "/api/paas/v4/chat/completions"),
        (b"/v1/responses", "/openai/v1", "/openai/v1/responses"),
        (b"/v1/messages", "", "/v1/messages"),
        (b"/v1/messages?beta=true", "/v1", "/v1/messages?beta=true"),
        (b"/v1/messages", "/anthropic", "/anthropic/v1/messages"),
        (b"/v1beta/models/x:generateContent", "", "/v1beta/models/m:generateContent"),
        (b"/v1alpha/models/x:countTokens", "", "/v1alpha/models/m:countTokens"),
        (b"/v1beta/models/x:generateContent", "/v1beta", "/v1beta/models/m:generateContent"),
    ],
)
def test_urls(rest: bytes, base: str, path: str) -> None:
    assert url_of(read("POST", rest), f"https://h{base}", "m") == f"https://h{path}"


def test_urls_with_a_version_or_an_odd_model() -> None:
    chat = read("POST", b"/v1/chat/completions?a=1")
    url = url_of(chat, "https://h/deployments/x", "m", "2024-10-21")
    assert url == "https://h/deployments/x/chat/completions?a=1&api-version=2024-10-21"
    gemini = read("POST", b"/v1beta/models/x:generateContent")
    assert url_of(gemini, "https://h", "a/b", "v1") == "https://h/v1/models/a%2Fb:generateContent"
    assert url_of(gemini, "https://h", "models/m") == "https://h/v1beta/models/m:generateContent"


@pytest.mark.parametrize(
    ("dialect", "is_stream", "url"),
    [
        (CHAT, True, "https://h/v1/chat/completions"),
        (RESPONSES, False, "https://h/v1/responses"),
        (MESSAGES, True, "https://h/v1/messages"),
        (GEMINI, False, "https://h/v1beta/models/m:generateContent"),
        (GEMINI, True, "https://h/v1beta/models/m:streamGenerateContent?alt=sse"),
    ],
)
def test_urls_in_another_dialect(dialect: Dialect, is_stream: bool, url: str) -> None:
    assert url_of(generate(dialect, is_stream=is_stream), "https://h", "m") == url
