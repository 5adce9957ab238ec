"""A target names an endpoint, byte for byte, or is refused."""

from __future__ import annotations

import pytest

from llmitm.accept.endpoints import dialect_of, find
from llmitm.config.endpoints import Endpoint
from llmitm.config.schema import Config
from llmitm.config.server import Server
from llmitm.errors import Refused
from llmitm.exchange import Dialect, Headers

FORWARD = Endpoint(target_base="https://api.example.com")
NAMED = Config(endpoints={"dev": FORWARD, "prod.eu": FORWARD})
WITH_DEFAULT = Config(server=Server(default_endpoint="dev"), endpoints={"dev": FORWARD})
IMPLIED = Config(endpoints={"default": Endpoint(kind="cloudflare")})


def refused(target: bytes, config: Config) -> Refused:
    with pytest.raises(Refused) as caught:
        find(target, config)
    return caught.value


@pytest.mark.parametrize(
    ("target", "name", "rest"),
    [
        (b"/dev/v1/messages", "dev", b"/v1/messages"),
        (b"/dev", "dev", b"/"),
        (b"/dev/", "dev", b"/"),
        (b"/dev?a=1", "dev", b"/?a=1"),
        (b"/dev//v1//messages", "dev", b"//v1//messages"),
        (b"/dev/v1/x%2Fy%20z?a=%31&b=/c?d", "dev", b"/v1/x%2Fy%20z?a=%31&b=/c?d"),
        (b"/dev/v1/\xc3\xa4", "dev", b"/v1/\xc3\xa4"),
        (b"/prod.eu/files", "prod.eu", b"/files"),
    ],
)
def test_what_follows_the_name_is_kept_byte_for_byte(target: bytes, name: str, rest: bytes) -> None:
    match = find(target, NAMED)
    assert (match.name, match.rest) == (name, rest)
    assert match.endpoint is NAMED.endpoints[name]


@pytest.mark.parametrize(("config", "name"), [(WITH_DEFAULT, "dev"), (IMPLIED, "default")])
@pytest.mark.parametrize(
    "target", [b"/v1", b"/v1/chat/completions?a=1", b"/v1?a", b"/v1beta/models/m:generateContent", b"/v1//x"]
)
def test_unprefixed_versions_go_whole_to_the_default_endpoint(
    config: Config, name: str, target: bytes
) -> None:
    match = find(target, config)
    assert (match.name, match.rest) == (name, target)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/nope/v1/messages",
        b"/DEV/v1/messages",
        b"/%64ev/v1/messages",  # an encoded name is not decoded
        b"/dev%2Fv1/messages",
        b"/v1x/messages",
        b"/v1beta2/models",
        b"/v2/messages",
        b"/%76%31/messages",
        b"/d\xc3\xa4v/v1",
    ],
)
def test_an_unknown_first_segment_is_a_404_and_never_the_default(target: bytes) -> None:
    error = refused(target, WITH_DEFAULT)
    assert (error.status, error.code) == (404, "unknown_endpoint")
    assert "/dev/" in error.message


def test_without_a_default_endpoint_unprefixed_paths_are_a_404() -> None:
    error = refused(b"/v1/messages", NAMED)
    assert (error.status, error.code) == (404, "unknown_endpoint")
    assert "No default endpoint" in error.message


def test_a_404_names_no_more_than_ten_endpoints() -> None:
    config = Config(endpoints={f"e{number:02}": FORWARD for number in range(12)})
    message = refused(b"/x", config).message
    assert "/e09/" in message and "/e10/" not in message


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"dev/v1",
        b"http://api.example.com/dev/v1",
        b"//api.example.com/v1",
        b"/dev/v1#part",
        b"/dev/v1\r\nx: y",
        b"/dev/\x00",
        b"/dev/a b",
        b"/dev/\x7f",
    ],
)
def test_what_is_no_path_is_a_400(target: bytes) -> None:
    error = refused(target, WITH_DEFAULT)
    assert (error.status, error.code) == (400, "invalid_path")


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        (b"/v1/messages", (), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/messages/count_tokens", (), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/responses", (), Dialect.OPENAI_RESPONSES),
        (b"/v1/responses/resp_1", (), Dialect.OPENAI_RESPONSES),
        (b"/v1beta/models", (), Dialect.GEMINI),
        (b"/v1/models/m:generateContent", (), Dialect.GEMINI),
        (b"/v1/models/m:streamGenerateContent", (), Dialect.GEMINI),
        (b"/models/m:countTokens", (), Dialect.GEMINI),
        (b"/v1beta/openai/chat/completions", (), Dialect.OPENAI_CHAT),
        (b"/v1beta/openai/models", (), Dialect.OPENAI_CHAT),
        (b"/v1/chat/completions", ((b"anthropic-version", b"2023-06-01"),), Dialect.OPENAI_CHAT),
        (b"/responses/v1/chat/completions", (), Dialect.OPENAI_CHAT),  # an endpoint of that name
        (b"/v1/models", ((b"Anthropic-Version", b"2023-06-01"),), Dialect.ANTHROPIC_MESSAGES),
        (b"/v1/models", ((b"X-Goog-Api-Key", b"k"),), Dialect.GEMINI),
        (b"/v1/models", (), Dialect.OPENAI_CHAT),
        (b"/", (), Dialect.OPENAI_CHAT),
    ],
)
def test_the_path_tells_the_dialect_and_headers_where_it_does_not(
    path: bytes, headers: Headers, dialect: Dialect
) -> None:
    assert dialect_of(path, headers) is dialect
