"""Which pages may call, and what their browsers are told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmitm.accept import origins
from llmitm.config.server import Server
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead

MINE = "https://app.example"


def asking(origin: str | None, method: str = "POST", **more: str) -> ClientRequest:
    headers = ({"Origin": origin} if origin is not None else {}) | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    pairs = tuple((name.encode(), value.encode()) for name, value in headers.items())
    return ClientRequest(
        id="1", method=method, target=b"/v1/x", headers=pairs, body=HeldBody(), client="127.0.0.1"
    )


def crossing(origin: str | None, *entries: str, **more: str) -> origins.Crossing:
    found = origins.crossing(asking(origin, **more).headers, Server(cors_origins=entries).cors_origins)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("entry", "origin", "is_allowed"),
    [
        (MINE, MINE, True),
        ("HTTPS://App.Example/", MINE, True),
        ("https://app.example:443", MINE, True),
        ("http://app.example:80", "http://app.example", True),
        (MINE, "http://app.example", False),
        (MINE, "https://app.example:8443", False),
        (MINE, "https://app.example.evil.example", False),
        (MINE, "https://xapp.example", False),
        ("https://app.example", "https://appxexample", False),
        ("https://*.example", "https://a.example", True),
        ("https://*.example", "https://a.b.example", True),
        ("https://*.example", "https://example", False),
        ("https://*.example", "https://evil:1.example", False),
        ("https://*.example", "https://a.example.evil", False),
        ("http://localhost:*", "http://localhost:5173", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost:5173.evil", False),
        ("http://localhost:*", "http://localhost.evil", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("app://obsidian.md", "app://obsidian.md", True),
        ("*", "https://whoever.example", True),
        ("*", "null", True),
        (MINE, "null", False),
        (MINE, "", False),
    ],
)
def test_who_is_named(entry: str, origin: str, is_allowed: bool) -> None:
    assert crossing(origin, entry).is_allowed is is_allowed
    assert crossing(origin, "https://other.example", entry).is_allowed is is_allowed


@pytest.mark.parametrize(
    "entry", ["", "null", "app.example", "https://", "https://a.example/path", "https://a*.example", "a b"]
)
def test_what_is_no_origin(entry: str) -> None:
    with pytest.raises(ValidationError, match="origin"):
        Server(cors_origins=(entry,))


def headers(head: ResponseHead) -> dict[str, str]:
    found = [name.decode().lower() for name, _ in head.headers]
    assert len(set(found)) == len(found)
    return {name.decode().lower(): value.decode() for name, value in head.headers}


def preflight(origin: str, *entries: str, **more: str) -> dict[str, str]:
    request = asking(origin, "OPTIONS", access_control_request_method="POST", **more)
    found = crossing(origin, *entries)
    assert found.is_preflight(request)
    head = found.preflight(request)
    assert (head.status, head.whole) == (204, b"")
    return headers(head)


def test_a_browser_that_asks_first_is_told_yes() -> None:
    assert preflight(MINE, MINE, access_control_request_headers="authorization, content-type") == {
        "access-control-allow-origin": MINE,
        "vary": "Origin",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "7200",
    }


def test_for_all_the_answer_names_nobody_and_credentials_are_never_allowed() -> None:
    found = preflight(MINE, "*", access_control_request_private_network="true")
    assert found["access-control-allow-origin"] == "*" and "vary" not in found
    assert "access-control-allow-private-network" not in found
    named = preflight(MINE, MINE, access_control_request_private_network="true")
    assert named["access-control-allow-private-network"] == "true"
    assert not {"access-control-allow-credentials"} & {*found, *named}


def test_headers_that_are_no_names_are_not_said_back() -> None:
    assert "access-control-allow-headers" not in preflight(MINE, MINE, access_control_request_headers="a;b")


def test_a_page_that_is_not_named_is_told_no_and_nothing_else() -> None:
    request = asking("https://evil.example", "OPTIONS", access_control_request_method="POST")
    found = crossing("https://evil.example", MINE)
    with pytest.raises(Refused) as caught:
        found.preflight(request)
    assert caught.value.status == 403
    head = found.told(ResponseHead(status=403, headers=()), is_ours=True)
    assert head.headers == ((b"vary", b"Origin"),)


@pytest.mark.parametrize(
    ("method", "more"), [("OPTIONS", {}), ("POST", {"access_control_request_method": "POST"})]
)
def test_other_requests_are_no_preflights(method: str, more: dict[str, str]) -> None:
    assert not crossing(MINE, MINE).is_preflight(asking(MINE, method, **more))


ANSWER = (
    (b"Content-Type", b"text/event-stream"),
    (b"X-RateLimit-Remaining-Requests", b"5"),
    (b"x-llmitm-id", b"1"),
    (b"Set-Cookie", b"a=b"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Access-Control-Allow-Credentials", b"true"),
)


@pytest.mark.parametrize(
    ("origin", "entries", "is_ours", "added"),
    [
        (MINE, (MINE,), True, {"access-control-allow-origin": MINE, "vary": "Origin"}),
        (MINE, (MINE,), False, {"access-control-allow-origin": MINE, "vary": "Origin"}),
        (MINE, ("*",), True, {"access-control-allow-origin": "*"}),
        ("https://evil.example", (MINE,), False, {"vary": "Origin"}),
        (None, (MINE,), False, {"vary": "Origin"}),
        (None, ("*",), False, {"access-control-allow-origin": "*"}),
        ("https://evil.example", (), True, {}),
    ],
)
def test_answers(origin: str | None, entries: tuple[str, ...], is_ours: bool, added: dict[str, str]) -> None:
    found = headers(
        crossing(origin, *entries).told(ResponseHead(status=200, headers=ANSWER), is_ours=is_ours)
    )
    if origin == MINE:
        added = added | {"access-control-expose-headers": "x-ratelimit-remaining-requests, x-llmitm-id"}
    plain = {name.decode().lower(): value.decode() for name, value in ANSWER[:4]}
    assert found == plain | added


def test_an_upstream_that_clients_have_keys_of_their_own_for_says_itself_who_may_ask() -> None:
    head = ResponseHead(status=200, headers=ANSWER)
    assert crossing("https://evil.example").told(head, is_ours=False) is head
    switched = ResponseHead(status=101, headers=())
    assert crossing(MINE, MINE).told(switched, is_ours=True) is switched


@pytest.mark.parametrize("vary", [b"Accept-Encoding, ORIGIN", b"*"])
def test_what_varies_already(vary: bytes) -> None:
    head = ResponseHead(status=200, headers=((b"Vary", vary),))
    assert headers(crossing(MINE, MINE).told(head, is_ours=True))["vary"] == vary.decode()


@pytest.mark.parametrize(
    ("origin", "entries", "site", "is_refused"),
    [
        ("https://evil.example", (), "cross-site", True),
        ("https://evil.example", (MINE,), "same-site", True),
        ("null", (), "cross-site", True),
        ("https://evil.example", (), "same-origin", False),
        ("app://obsidian.md", (), None, False),  # no browser that says where it comes from
        # nor do browsers say so to a plain address of the network
        ("http://evil.example", (), None, True),
        ("https://evil.example", (MINE,), None, True),
        ("null", (), None, True),
        ("http://192.168.1.5:9", (), None, True),
        ("http://192.168.1.5:8811", (), None, False),
        (MINE, (MINE,), None, False),
        (MINE, (MINE,), "cross-site", False),
        ("https://evil.example", ("*",), "cross-site", False),
    ],
)
def test_pages_do_not_spend_without_a_key(
    origin: str, entries: tuple[str, ...], site: str | None, is_refused: bool
) -> None:
    more: dict[str, Any] = {"host": "192.168.1.5:8811"} | ({} if site is None else {"sec_fetch_site": site})
    found = crossing(origin, *entries)
    if is_refused:
        with pytest.raises(Refused, match="origin_not_allowed|may not call"):
            origins.check(found, asking(origin, **more))
    else:
        origins.check(found, asking(origin, **more))


def test_nobody_asks_and_nobody_is_told() -> None:
    assert origins.crossing((), ()) is None
    origins.check(None, asking(None, sec_fetch_site="cross-site"))
