"""Who may come in, and which of the keys that came with the request goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from llmitm.accept.keys import OWN, PLACES, Admission, admit
from llmitm.config.auth_keys import AuthKey
from llmitm.config.endpoints import Endpoint, Gateway
from llmitm.config.providers import Provider
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Headers

NOW_S = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
HASHED = f"sha256:{hashlib.sha256(b'sk-proxy-hashed').hexdigest()}"
KEYS: tuple[dict[str, Any], ...] = (
    {"name": "laptop", "key": "sk-proxy-laptop"},
    {"name": "plain", "key": "a-plain-word"},
    {"name": "hashed", "key_hash": HASHED},
    {"name": "off", "key": "sk-proxy-off", "disabled": True},
    {"name": "old", "key": "sk-proxy-old", "expires_at": "2026-06-01T00:00:00Z"},
    {"name": "young", "key": "sk-proxy-young", "expires_at": "2026-06-01T00:00:01Z"},
    {"name": "narrow", "key": "sk-proxy-narrow", "allowed_endpoints": ["cf", "open*"]},
    {"name": "routed", "key": "sk-proxy-routed", "allowed_endpoints": ["rou*"]},
    {"name": "other", "key": "sk-proxy-other", "allowed_endpoints": ["open*"]},
)
ENDPOINTS = {
    "forward": Endpoint(target_base="https://api.example.com"),
    "injecting": Endpoint(target_base="https://api.example.com", provider="openai"),
    "cf": Endpoint(kind="cloudflare"),
    "routed": Endpoint(kind="gateway"),
}


def config(keys: tuple[dict[str, Any], ...] | None = KEYS) -> Config:
    return Config(
        endpoints=ENDPOINTS,
        gateways=(Gateway(account_id="a", gateway_id="g"),),
        providers={"openai": Provider()},
        auth_keys=None if keys is None else tuple(AuthKey.model_validate(key) for key in keys),
    )


WITH_KEYS, OPEN, CLOSED = config(), config(None), config(())


def come(headers: Headers, name: str = "cf", query: bytes = b"", to: Config = WITH_KEYS) -> Admission:
    return admit(headers, query, ENDPOINTS[name], name, to, NOW_S)


def refused(
    headers: Headers, name: str = "cf", query: bytes = b"", to: Config = WITH_KEYS
) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        come(headers, name, query, to)
    for key in KEYS:
        assert key.get("key", "sk-proxy") not in caught.value.message
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("name", ["cf", "routed", "injecting"])
@pytest.mark.parametrize(
    "header",
    [
        (b"Authorization", b"Bearer sk-proxy-laptop"),
        (b"authorization", b"bEaReR   sk-proxy-laptop "),
        (b"Authorization", b"Bearer\tsk-proxy-laptop"),
        (b"X-Api-Key", b"sk-proxy-laptop"),
        (b"x-goog-api-key", b"sk-proxy-laptop"),
        (b"api-key", b" sk-proxy-laptop"),
        (b"X-LLMITM-Key", b"sk-proxy-laptop"),
    ],
)
def test_a_key_is_found_wherever_an_sdk_puts_it_and_does_not_travel_on(
    name: str, header: tuple[bytes, bytes]
) -> None:
    admission = come((header,), name)
    assert admission.name == "laptop"
    assert header[0].lower() in admission.drop_headers


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"key=sk-proxy-laptop", b""),
        (b"alt=sse&key=sk-proxy-laptop", b"alt=sse"),
        (b"key=sk-proxy-laptop&alt=sse", b"alt=sse"),
        (b"a=1&key=sk%2Dproxy%2Dlaptop&b=%20", b"a=1&b=%20"),
        (b"key=sk-proxy-laptop&key=sk-proxy-laptop", b""),
        (b"monkey=1&key=sk-proxy-laptop", b"monkey=1"),
    ],
)
def test_a_key_in_the_query_is_taken_out_and_the_rest_stays(query: bytes, left: bytes) -> None:
    admission = come((), "cf", query)
    assert (admission.name, admission.query) == ("laptop", left)


def test_a_key_known_by_its_hash_is_admitted() -> None:
    assert come(((b"x-api-key", b"sk-proxy-hashed"),)).name == "hashed"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"sk-proxy-nobody", (401, "invalid_api_key")),
        (b"a-plain-wor", (401, "invalid_api_key")),
        (b"\xff\xfe", (401, "invalid_api_key")),
        (HASHED.encode(), (401, "invalid_api_key")),
        (b"sk-proxy-off", (401, "invalid_api_key")),
        (b"sk-proxy-old", (401, "expired_key")),
    ],
)
@pytest.mark.parametrize("name", ["cf", "forward"])
def test_unknown_disabled_and_expired_keys_are_a_401(
    key: bytes, expected: tuple[int, str], name: str
) -> None:
    assert refused(((b"x-llmitm-key", key),), name) == expected


SDKS: dict[str, Callable[[bytes], tuple[Headers, bytes]]] = {
    "openai": lambda key: (((b"authorization", b"Bearer " + key),), b""),
    "anthropic": lambda key: (((b"x-api-key", key), (b"anthropic-version", b"2023-06-01")), b""),
    "anthropic with a token": lambda key: (
        ((b"authorization", b"Bearer " + key), (b"anthropic-version", b"2023-06-01")),
        b"",
    ),
    "google-genai": lambda key: (((b"x-goog-api-key", key),), b""),
    "google by hand": lambda key: ((), b"alt=sse&key=" + key),
    "azure": lambda key: (((b"api-key", key),), b"api-version=2024-10-21"),
    "ours": lambda key: (((b"x-llmitm-key", key),), b""),
}
"""Where each client puts a key, as headers and query."""


@pytest.mark.parametrize("sdk", list(SDKS))
@pytest.mark.parametrize("name", ["routed", "cf", "injecting"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"sk-proxy-old", (401, "expired_key")),
        (b"sk-proxy-off", (401, "invalid_api_key")),
        (b"sk-proxy-nobody", (401, "invalid_api_key")),
        (b"sk-proxy-other", (403, "endpoint_not_allowed")),
    ],
)
def test_no_sdk_gets_in_with_a_key_that_is_not_for_this(
    sdk: str, name: str, key: bytes, expected: tuple[int, str]
) -> None:
    headers, query = SDKS[sdk](key)
    assert refused(headers, name, query) == expected


@pytest.mark.parametrize("sdk", list(SDKS))
@pytest.mark.parametrize("key", [b"sk-proxy-young", b"sk-proxy-hashed", b"sk-proxy-routed"])
def test_every_sdk_gets_in_with_a_key_that_is_and_leaves_it_here(sdk: str, key: bytes) -> None:
    headers, query = SDKS[sdk](key)
    admission = come(headers, "routed", query)
    assert admission.name == key.decode().removeprefix("sk-proxy-")
    assert key not in admission.query
    left = [value for header, value in headers if header.lower() not in admission.drop_headers]
    assert not any(key in value for value in left)


def test_a_key_is_good_until_the_moment_it_expires() -> None:
    assert come(((b"x-llmitm-key", b"sk-proxy-young"),)).name == "young"


@pytest.mark.parametrize(("name", "allowed"), [("cf", True), ("forward", False), ("routed", False)])
def test_a_key_opens_only_the_endpoints_it_names(name: str, allowed: bool) -> None:
    headers = ((b"x-llmitm-key", b"sk-proxy-narrow"),)
    if allowed:
        assert come(headers, name).name == "narrow"
    else:
        assert refused(headers, name) == (403, "endpoint_not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"authorization", b""),),
        ((b"authorization", b"Bearer "),),
        ((b"x-llmitm-key", b""),),
        ((b"x-api-key", b"  "),),
    ],
)
@pytest.mark.parametrize("name", ["cf", "routed", "injecting", "forward"])
@pytest.mark.parametrize("to", [WITH_KEYS, CLOSED], ids=["keys", "none left"])
def test_no_key_is_a_401(headers: Headers, name: str, to: Config) -> None:
    assert refused(headers, name, to=to) == (401, "missing_key")


@pytest.mark.parametrize("name", list(ENDPOINTS))
@pytest.mark.parametrize("key", [b"sk-proxy-laptop", b"a-plain-word", b"x"])
def test_an_empty_list_of_keys_admits_nobody(name: str, key: bytes) -> None:
    assert refused(((b"x-llmitm-key", key),), name, to=CLOSED)[0] == 401


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (((b"authorization", b"Bearer sk-proxy-laptop"), (b"x-api-key", b"a-plain-word")), b""),
        (((b"authorization", b"Bearer sk-proxy-laptop"), (b"x-api-key", b"sk-ant-theirs")), b""),
        (((b"authorization", b"Bearer sk-proxy-laptop"),), b"key=other"),
        (((b"x-api-key", b"sk-proxy-laptop"), (b"x-api-key", b"other")), b""),
        (((b"x-llmitm-key", b"sk-proxy-laptop"), (b"x-llmitm-key", b"a-plain-word")), b""),
    ],
)
def test_two_different_keys_are_a_400(headers: Headers, query: bytes) -> None:
    assert refused(headers, "cf", query) == (400, "contradicting_keys")


def test_the_same_key_in_several_places_is_one_key_and_empty_ones_are_none() -> None:
    headers = (
        (b"authorization", b"Bearer sk-proxy-laptop"),
        (b"x-api-key", b"sk-proxy-laptop"),
        (b"api-key", b""),
    )
    admission = come(headers, "cf", b"key=sk-proxy-laptop")
    assert admission.name == "laptop"
    assert admission.drop_headers == PLACES | {OWN}
    assert admission.query == b""


def test_x_llmitm_key_wins_and_leaves_the_others_to_the_upstream() -> None:
    headers = ((b"x-llmitm-key", b"a-plain-word"), (b"authorization", b"Bearer sk-ant-oat-subscription"))
    for name in ("cf", "forward"):
        admission = come(headers, name, b"key=theirs")
        assert admission == Admission(name="plain", drop_headers=frozenset({OWN}), query=b"key=theirs")


@pytest.mark.parametrize("second", [b"a-plain-word", b"sk-proxy-laptop", b"sk-proxy-off", b"sk-proxy-old"])
@pytest.mark.parametrize("name", ["cf", "forward"])
def test_no_key_of_ours_travels_beside_x_llmitm_key(name: str, second: bytes) -> None:
    """Neither the same one nor another one, in use or not."""
    headers = (
        (b"x-llmitm-key", b"a-plain-word"),
        (b"authorization", b"Bearer " + second),
        (b"x-api-key", b"theirs"),
    )
    admission = come(headers, name, b"alt=sse&key=" + second)
    assert admission.drop_headers == {OWN, b"authorization"}
    assert admission.query == b"alt=sse"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (((b"x-llmitm-key", b"sk-proxy-nobody"),), b""),
        (((b"authorization", b"Bearer sk-proxy-nobody"),), b""),
        (((b"authorization", b"Bearer\tsk-proxy-nobody"),), b""),
        (((b"x-api-key", b"sk-proxy-nobody"),), b""),
        (((b"x-goog-api-key", b"sk-proxy-nobody"),), b""),
        (((b"api-key", b"sk-proxy-nobody"),), b""),
        ((), b"key=sk-proxy-nobody"),
        ((), b"key=sk%2dproxy-nobody"),
        (((b"x-llmitm-key", b"a-plain-word"), (b"authorization", b"Bearer sk-proxy-nobody")), b""),
    ],
)
@pytest.mark.parametrize("name", list(ENDPOINTS))
@pytest.mark.parametrize("to", [WITH_KEYS, OPEN, CLOSED], ids=["keys", "open", "none left"])
def test_an_unknown_key_that_looks_like_ours_is_always_a_401(
    headers: Headers, query: bytes, name: str, to: Config
) -> None:
    assert refused(headers, name, query, to) == (401, "invalid_api_key")


@pytest.mark.parametrize("header", sorted(PLACES))
def test_where_the_clients_own_keys_go_through_ours_must_be_in_x_llmitm_key(header: bytes) -> None:
    assert refused(((header, b"sk-proxy-laptop"),), "forward") == (401, "missing_key")
    assert refused((), "forward", b"key=sk-proxy-laptop") == (401, "missing_key")


@pytest.mark.parametrize("name", ["forward", "cf", "routed"])
def test_without_auth_keys_everyone_comes_in_and_the_clients_keys_travel(name: str) -> None:
    headers = (
        (b"authorization", b"Bearer sk-theirs"),
        (b"x-api-key", b"sk-other"),
        (b"x-llmitm-key", b"whatever"),
    )
    admission = come(headers, name, b"key=AIza-theirs", OPEN)
    assert admission == Admission(name=None, drop_headers=frozenset({OWN}), query=b"key=AIza-theirs")


@pytest.mark.parametrize("to", [OPEN, WITH_KEYS], ids=["open", "keys"])
def test_where_our_credential_replaces_the_clients_its_query_key_goes_too(to: Config) -> None:
    headers = ((b"x-llmitm-key", b"a-plain-word"),)
    assert come(headers, "injecting", b"alt=sse&key=AIza-theirs", to).query == b"alt=sse"


def test_among_thousands_of_keys_each_is_itself() -> None:
    """Also those that differ only in case, as their names do."""
    thousands = [{"name": f"{number}", "key": f"word-{number}"} for number in range(3_000)]
    many = config((*thousands, {"name": "case", "key": "Word-7"}, {"name": "Case", "key": "WORD-7"}))
    for word, name in ((b"word-7", "7"), (b"word-2999", "2999"), (b"Word-7", "case"), (b"WORD-7", "Case")):
        assert come(((b"authorization", b"Bearer " + word),), to=many).name == name
    assert refused(((b"authorization", b"Bearer wORD-7"),), to=many) == (401, "invalid_api_key")
