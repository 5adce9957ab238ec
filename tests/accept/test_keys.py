"""Who may come in, wherever an SDK puts its key."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from llmitm.accept.keys import Admission, admit
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Headers

HASHED = "sha256:" + hashlib.sha256(b"hashed-key").hexdigest()
KEYS: list[dict[str, Any]] = [
    {"name": "plain", "key": "right-key"},
    {"name": "hashed", "key_hash": HASHED},
    {"name": "off", "key": "off-key", "disabled": True},
    {"name": "old", "key": "old-key", "expires_at": "2026-01-01T00:00:00Z"},
    {"name": "narrow", "key": "narrow-key", "allowed_endpoints": ["pro*"]},
]
NOW_S = 1_790_000_000.0


def config(keys: list[dict[str, Any]] | None) -> Config:
    return Config.model_validate(
        {
            "endpoints": {
                "own": {"target_base": "http://x", "provider": "openai"},
                "prod": {"kind": "cloudflare"},
                "through": {"target_base": "http://x"},
            },
            "providers": {"openai": {"api_keys": ["k"]}},
            "gateways": [{"account_id": "a", "gateway_id": "g", "token": "t"}],
            "auth_keys": keys,
        }
    )


def admitted(
    headers: Headers,
    *,
    query: bytes = b"",
    endpoint: str = "own",
    keys: list[dict[str, Any]] | None = KEYS,
) -> Admission:
    made = config(keys)
    return admit(headers, query, made.endpoints[endpoint], endpoint, made, NOW_S)


def refused(headers: Headers, **options: Any) -> int:
    with pytest.raises(Refused) as caught:
        admitted(headers, **options)
    if caught.value.status == 401:  # or coding agents try again for minutes
        assert (b"x-should-retry", b"false") in caught.value.headers
    return caught.value.status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Authorization", b"Bearer right-key"),
        (b"authorization", b"bearer  right-key"),
        (b"X-Api-Key", b"right-key"),
        (b"x-goog-api-key", b"right-key"),
        (b"api-key", b"right-key"),
        (b"x-llmitm-key", b"right-key"),
    ],
)
def test_a_key_is_found_and_stays_here(name: bytes, value: bytes) -> None:
    found = admitted(((name, value),))
    assert found.name == "plain"
    assert name.lower() in found.drop_headers


@pytest.mark.parametrize("name", [b"key", b"%6bey", b"k%65y", b"%6Be%79"])
def test_a_key_in_the_query_is_found_and_taken_out(name: bytes) -> None:
    found = admitted((), query=b"alt=sse&" + name + b"=right-key&x=1")
    assert (found.name, found.query) == ("plain", b"alt=sse&x=1")


def test_a_hashed_key_admits() -> None:
    assert admitted(((b"x-api-key", b"hashed-key"),)).name == "hashed"


@pytest.mark.parametrize("key", [b"wrong", b"off-key", b"old-key", b"", b"right-key2", b"sk-proxy-x"])
def test_unknown_disabled_and_expired_keys_are_401(key: bytes) -> None:
    assert refused(((b"x-api-key", key),)) == 401


def test_no_key_is_401() -> None:
    assert refused(()) == 401


def test_an_endpoint_that_is_not_allowed_is_403() -> None:
    assert refused(((b"x-api-key", b"narrow-key"),)) == 403
    assert admitted(((b"x-api-key", b"narrow-key"),), endpoint="prod").name == "narrow"


def test_two_different_keys_are_400_and_the_same_twice_is_fine() -> None:
    both: Headers = ((b"x-api-key", b"right-key"), (b"authorization", b"Bearer right-key"))
    assert admitted(both).name == "plain"
    assert refused(((b"x-api-key", b"right-key"), (b"authorization", b"Bearer other"))) == 400


def test_our_own_header_wins_and_leaves_the_others_to_the_upstream() -> None:
    headers: Headers = ((b"x-llmitm-key", b"right-key"), (b"authorization", b"Bearer subscription"))
    found = admitted(headers, endpoint="through")
    assert found.name == "plain"
    assert found.drop_headers == {b"x-llmitm-key"}


def test_an_endpoint_that_passes_keys_through_asks_for_ours_in_its_own_header() -> None:
    assert refused(((b"authorization", b"Bearer right-key"),), endpoint="through") == 401


def test_an_empty_list_admits_nobody_and_none_asks_nobody() -> None:
    assert refused(((b"x-api-key", b"right-key"),), keys=[]) == 401
    found = admitted(((b"authorization", b"Bearer of-the-client"),), keys=None)
    assert (found.name, found.drop_headers) == (None, {b"x-llmitm-key"})


@pytest.mark.parametrize("keys", [None, [], KEYS])
@pytest.mark.parametrize("endpoint", ["own", "through"])
def test_an_unknown_key_of_ours_is_always_401(endpoint: str, keys: list[dict[str, Any]] | None) -> None:
    assert refused(((b"authorization", b"Bearer sk-proxy-unknown"),), endpoint=endpoint, keys=keys) == 401
