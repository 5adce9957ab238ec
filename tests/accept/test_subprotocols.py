"""Keys among the subprotocols of a WebSocket's handshake."""

from __future__ import annotations

import pytest

from llmitm.accept import subprotocols


@pytest.mark.parametrize(
    ("offered", "ours", "is_replaced", "passed"),
    [
        ("realtime, openai-insecure-api-key.sk-a", (), False, "realtime, openai-insecure-api-key.sk-a"),
        ("realtime, openai-insecure-api-key.sk-a", (), True, "realtime"),
        ("realtime, openai-insecure-api-key.sk-a", (b"sk-a",), False, "realtime"),
        ("chat, llmitm-key.sk-proxy-a", (), False, "chat"),
        ("xi-api-key.a, api-key.b, x-goog-api-key.c", (), True, ""),
        # Cloudflare's is not a provider's
        ("cf-aig-authorization.token", (), True, "cf-aig-authorization.token"),
        (" a ,, b", (), True, "a, b"),
    ],
)
def test_what_travels_on(offered: str, ours: tuple[bytes, ...], is_replaced: bool, passed: str) -> None:
    found = subprotocols.offered(((b"Sec-WebSocket-Protocol", offered.encode()), (b"other", b"x")))
    left = subprotocols.passed(found, ours=ours, is_replaced=is_replaced)
    assert b", ".join(left).decode() == passed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("realtime, openai-beta.realtime-v1", None),
        ("realtime, openai-insecure-api-key.sk-a", "realtime, openai-insecure-api-key.***"),
        ("llmitm-key.sk-proxy-a,cf-aig-authorization.t", "llmitm-key.***,cf-aig-authorization.***"),
        ("token, dg-secret", "token, ***"),
        ("chat, token", None),
    ],
)
def test_what_is_shown_of_them(value: str, shown: str | None) -> None:
    before = value.encode()
    after = subprotocols.shown(before)
    assert after is before if shown is None else after == shown.encode()
