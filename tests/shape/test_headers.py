"""Which headers of clients pass, and what becomes of lists of features."""

from __future__ import annotations

import pytest

from llmitm.exchange import Headers
from llmitm.shape.headers import Passing, flags, refused_by, wrong


@pytest.mark.parametrize(
    ("entries", "name", "passes"),
    [
        ((), "x-tenant", False),
        (("X-Tenant",), "x-tenant", True),
        (("x-ten*",), "x-tenant", True),
        (("x-ten*",), "x-other", False),
        (("*",), "user-agent", True),
        (("*",), "idempotency-key", True),
        # what belongs to one connection, to its body, or is a key
        *((("*",), name, False) for name in ("connection", "te", "host", "content-length", "content-type")),
        *(
            (("*",), name, False)
            for name in ("authorization", "x-api-key", "api-key", "cookie", "set-cookie")
        ),
        *((("*",), name, False) for name in ("x-llmitm-key", "x-llmitm-strict", "x-auth-request-user")),
        (("x-my-token",), "x-my-token", True),
        (("x-*",), "x-my-token", False),
        # a vendor's own are listed by name, or by a glob of theirs
        *((("*",), name, False) for name in ("anthropic-beta", "openai-organization", "x-stainless-os")),
        (("x-*",), "x-goog-user-project", False),
        (("anthropic-beta",), "anthropic-beta", True),
        (("anthropic-*",), "anthropic-version", True),
        (("x-ratelimit-*",), "x-ratelimit-limit-requests", True),
    ],
)
def test_what_passes_whatever_the_dialects(entries: tuple[str, ...], name: str, passes: bool) -> None:
    assert Passing(entries).passes(name.encode()) is passes


@pytest.mark.parametrize("entry", ["Authorization", "x-api-key", "cookie", "host", "x-llmitm-key", "a b", ""])
def test_what_could_never_pass_is_refused_at_load(entry: str) -> None:
    assert wrong(entry)


def test_accounts_of_the_clients_own_key_stay_behind_unless_they_are_listed() -> None:
    assert b"openai-organization" in Passing(()).kept_back
    assert b"openai-organization" in Passing(("*",)).kept_back
    assert b"openai-organization" not in Passing(("OpenAI-Organization",)).kept_back


BETA = b"Anthropic-Beta"


@pytest.mark.parametrize(
    ("refused", "own", "client", "expected", "gone"),
    [
        (["fast-*"], "", [b"fast-mode-1, context-1m"], b"context-1m", ["fast-mode-1"]),
        (["fast-*"], "", [b"fast-mode-1"], None, ["fast-mode-1"]),
        (["fast-*"], "", [b"a", b"b,a"], b"a,b", []),
        ([], "c, a", [b"a,b"], b"a,b,c", []),
        ([], "c", [], b"c", []),
        (["fast-*"], "fast-own", [b"fast-own,fast-other"], b"fast-own", ["fast-own", "fast-other"]),
        (["*"], "", [b"a", b"b"], None, ["a", "b"]),
    ],
)
def test_lists_are_merged_without_what_is_refused(
    refused: list[str], own: str, client: list[bytes], expected: bytes | None, gone: list[str]
) -> None:
    rules = flags(refused, {"anthropic-beta": own} if own else {})
    assert rules is not None
    given: Headers = tuple((BETA, value) for value in client)
    others: Headers = ((b"x-app", b"mine"),)
    sending = (*others, (b"anthropic-beta", own.encode())) if own else (*others, *given)
    made, taken = rules.merged(given, sending)
    assert taken == gone
    assert made[:1] == others
    assert [value for name, value in made if name == b"anthropic-beta"] == ([expected] if expected else [])
    assert len(made) == 1 + bool(expected)


def test_headers_without_lists_are_the_very_same() -> None:
    rules = flags(["fast-*"], {})
    assert rules is not None
    sending: Headers = ((b"x-app", b"mine"),)
    assert rules.merged((), sending)[0] is sending


def test_where_nothing_is_refused_and_nothing_added_there_are_no_rules() -> None:
    assert flags((), {"x-team": "research"}) is None


@pytest.mark.parametrize(
    ("provider", "refuses"), [("anthropic", False), ("foundry", True), ("my-bedrock", True), ("groq", False)]
)
def test_hosts_are_known_for_what_they_refuse(provider: str, refuses: bool) -> None:
    assert bool(refused_by(provider)) is refuses
