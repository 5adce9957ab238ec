"""Which endpoint, which dialect, and what a path may hold."""

from __future__ import annotations

import pytest

from llmitm.accept.endpoints import dialect_of, find
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.join import join

CONFIG = Config.model_validate({"endpoints": {"dev": {"target_base": "http://x"}}})
WITH_DEFAULT = Config.model_validate(
    {"endpoints": {"dev": {"target_base": "http://x"}}, "server": {"default_endpoint": "dev"}}
)


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        (b"/dev/v1/messages?x=1", b"/v1/messages?x=1"),
        (b"/dev//a//b", b"//a//b"),
        (b"/dev", b"/"),
        (b"/dev?x=1", b"/?x=1"),
        (b"/dev/%2F", b"/%2F"),
    ],
)
def test_the_first_segment_names_the_endpoint(target: bytes, rest: bytes) -> None:
    match = find(target, CONFIG)
    assert (match.name, match.rest) == ("dev", rest)


@pytest.mark.parametrize(
    "target",
    [b"/v1/models", b"/v1beta/models/x:countTokens", b"/v1", b"/v1?x=1", b"/upload/v1beta/files?upload_id=u"],
)
def test_unprefixed_paths_go_to_the_default_endpoint_if_there_is_one(target: bytes) -> None:
    assert find(target, WITH_DEFAULT).rest == target
    with pytest.raises(Refused) as caught:
        find(target, CONFIG)
    assert caught.value.status == 404


def test_an_endpoint_may_be_called_upload() -> None:
    named = Config.model_validate({"endpoints": {"upload": {"target_base": "http://x"}}})
    assert find(b"/upload/v1/models", named).rest == b"/v1/models"


@pytest.mark.parametrize("target", [b"/nope/v1", b"/", b"/%64ev/v1", b"/DEV/v1", b"/v1x/y", b"/dev2"])
def test_unknown_endpoints_are_404(target: bytes) -> None:
    with pytest.raises(Refused) as caught:
        find(target, WITH_DEFAULT)
    assert caught.value.status == 404
    assert "/dev/" in caught.value.message


@pytest.mark.parametrize(
    "target", [b"http://x/dev", b"*", b"//dev/v1", b"/dev/a#b", b"/dev/a b", b"/dev/\x00"]
)
def test_what_is_no_path_is_400(target: bytes) -> None:
    with pytest.raises(Refused) as caught:
        find(target, CONFIG)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("base", "rest", "url"),
    [
        ("https://api.openai.com/v1", b"/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1", b"/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1/", b"/v1/x?a=b?c", "https://api.openai.com/v1/x?a=b?c"),
        ("https://api.anthropic.com", b"/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://h/v1beta", b"/v1beta/models/x", "https://h/v1beta/models/x"),
        ("https://h/v1", b"/v1beta/models", "https://h/v1/v1beta/models"),
        ("https://h/v1", b"/v10", "https://h/v1/v10"),
        ("https://h", b"/a//b/", "https://h/a//b/"),
        ("https://h", b"/a%2Fb%20?", "https://h/a%2Fb%20?"),
        ("https://h", b"/\xc3\xa9?q=\xff|", "https://h/%C3%A9?q=%FF%7C"),
        ("https://h", b"/...", "https://h/..."),
    ],
)
def test_joining(base: str, rest: bytes, url: str) -> None:
    assert join(base, rest) == url


@pytest.mark.parametrize(
    "rest",
    [
        b"/..",
        b"/a/../b",
        b"/%2e%2E/x",
        b"/.%2e",
        b"/..%2fx",
        b"/..\\x",
        b"/a%2f..%2fb",
        b"/a\\..\\b",
        b"/a/..?x",
    ],
)
def test_a_path_cannot_leave_its_base(rest: bytes) -> None:
    with pytest.raises(Refused):
        join("https://h/v1", rest)


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        (b"/v1/chat/completions", (), Dialect.OPENAI_CHAT),
        (b"/dev/v1/messages", (), Dialect.ANTHROPIC_MESSAGES),
        (b"/dev/v1/messages/count_tokens", (), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/responses", (), Dialect.OPENAI_RESPONSES),
        (b"/v1/messages/batches/b1/results", (), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/files", ((b"anthropic-version", b"1"),), Dialect.ANTHROPIC_MESSAGES),
        (b"/all/upload/v1/files", (), Dialect.GEMINI),
        (b"/v1beta/models/x:generateContent", (), Dialect.GEMINI),
        (b"/v1/models/x:streamGenerateContent", (), Dialect.GEMINI),
        (b"/v1/models", ((b"Anthropic-Version", b"1"),), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/models", ((b"x-goog-api-key", b"k"),), Dialect.GEMINI),
        (b"/v1/models", (), Dialect.OPENAI_CHAT),
    ],
)
def test_dialects(path: bytes, headers: tuple[tuple[bytes, bytes], ...], dialect: Dialect) -> None:
    assert dialect_of(path, headers) is dialect
