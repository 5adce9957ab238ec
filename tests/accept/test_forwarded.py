"""Whose address counts where proxies stand in between."""

from __future__ import annotations

import pytest

from llmitm.accept.forwarded import client_of, is_trusted

TRUSTED = ("10.0.0.0/8", "127.0.0.1", "fd00::/8")
TOLD: dict[str, tuple[str, list[str], str]] = {
    "nobody in between": ("203.0.113.9", [], "203.0.113.9"),
    "said by somebody who is not trusted": ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
    "one proxy": ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    "a client that makes one up": ("127.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
    "two proxies": ("127.0.0.1", ["1.1.1.1, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
    "two headers": ("127.0.0.1", ["198.51.100.1", "10.1.2.3"], "198.51.100.1"),
    "only proxies": ("127.0.0.1", ["10.9.9.9"], "10.9.9.9"),
    "with ports": ("10.0.0.1", ["198.51.100.1:5050"], "198.51.100.1"),
    "IPv6": ("fd00::1", ['"[2001:db8::7]:443"'], "2001:db8::7"),
    "IPv4 within IPv6": ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    "no address": ("127.0.0.1", ["1.1.1.1, unknown"], "127.0.0.1"),
    "something that would break a log": ("127.0.0.1", ["<script>\x1b[31m"], "127.0.0.1"),
    "empty": ("127.0.0.1", [""], "127.0.0.1"),
    "no peer": ("", ["198.51.100.1"], ""),
}


@pytest.mark.parametrize(("peer", "told", "expected"), TOLD.values(), ids=TOLD.keys())
def test_the_address_is_the_last_one_that_no_trusted_proxy_has(
    peer: str, told: list[str], expected: str
) -> None:
    assert client_of(peer, told, TRUSTED) == expected


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert client_of("127.0.0.1", ["198.51.100.1"], ()) == "127.0.0.1"
    assert not is_trusted("127.0.0.1", ()) and is_trusted("127.0.0.1", TRUSTED)
