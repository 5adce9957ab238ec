"""What the record of an exchange says of its end, and of each of its attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.errors import UpstreamFailed
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Dialect,
    HeldBody,
    Killed,
    ResponseHead,
    Unwatched,
    UpstreamRequest,
    Watch,
)
from llmitm.journey import carry
from llmitm.record.entry import Entry, Outcome, outcome_of
from llmitm.record.ledger.columns import EXCHANGES
from llmitm.record.ledger.rows import Writing
from llmitm.world import World, build
from support.ledgers import entry_of, noted_of

CONFIG = """
[retry]
base_ms = 1
cooldowns = false
[endpoints.all]
kind = "gateway"
[endpoints.dev]
target_base = "{url}"
[endpoints.keyed]
target_base = "{url}"
provider = "chat"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
models = ["chat-*"]
[[providers.chat.credentials]]
name = "one"
api_key = "sk-one"
[[providers.chat.credentials]]
name = "two"
api_key = "sk-two"
[providers.messages]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-ant"]
models = ["messages-*"]
[providers.refusing]
base_url = "http://127.0.0.1:9/v1"
format = "openai-chat"
api_keys = ["sk-none"]
models = ["refusing-*"]
[model_prices]
"chat-*" = {{input = 1.0, output = 10.0}}
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url))
    made = build(load(path, env={}))
    yield made
    await made.close()


def chat(model: str = "chat-a", *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three four"}]}


async def record(
    world: World,
    body: Any,
    *,
    target: str = "/all/v1/chat/completions",
    watch: Watch | None = None,
    leaves_after: int | None = None,
) -> Entry:
    """The entry of one exchange; the client leaves after so many pieces of the answer."""
    entries: list[Entry] = []
    world.sinks = (entries.append,)
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    request = ClientRequest(
        id="id-1",
        method="POST",
        target=target.encode(),
        headers=(),
        body=HeldBody(content),
        client="127.0.0.1",
    )
    steps = carry(request, world, watch or Unwatched())
    left = leaves_after
    try:
        async for step in steps:
            if isinstance(step, bytes) and left is not None:
                left -= 1
                if not left:
                    break
    except UpstreamFailed:
        pass
    finally:
        await steps.aclose()
    (entry,) = entries
    return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    faults: tuple[str | None, ...] = ()
    model: str = "chat-a"
    target: str = "/all/v1/chat/completions"
    is_stream: bool = False
    status: int = 200
    outcome: Outcome = Outcome.OK
    code: str | None = None
    endings: tuple[str, ...] = ("answered",)


CASES: dict[str, Case] = {
    "an answer": Case(),
    "a stream": Case(is_stream=True),
    "a translated answer": Case(model="messages-a"),
    "a translated stream": Case(model="messages-a", is_stream=True),
    "a second attempt": Case(faults=("status:429", None), endings=("rate_limit", "answered")),
    "a second attempt after an error in a stream": Case(
        faults=("error-event:0", None), is_stream=True, endings=("overloaded", "answered")
    ),
    "an error of the client's": Case(
        faults=("status:400",),
        status=400,
        outcome=Outcome.REFUSED,
        code="invalid_value",
        endings=("client",),
    ),
    "errors of all": Case(
        faults=("status:500", "status:503"),
        status=503,
        outcome=Outcome.UPSTREAM_ERROR,
        endings=("server", "overloaded"),
    ),
    "an error within a stream": Case(
        faults=("error-event:3",), is_stream=True, outcome=Outcome.UPSTREAM_ERROR, endings=("overloaded",)
    ),
    "an error within a translated stream": Case(
        faults=("error-event:4",),
        model="messages-a",
        is_stream=True,
        outcome=Outcome.UPSTREAM_ERROR,
        endings=("overloaded",),
    ),
    "a stream that broke off": Case(
        faults=("truncate:3",), is_stream=True, outcome=Outcome.TRUNCATED, endings=("truncated",)
    ),
    "a translated stream that broke off": Case(
        faults=("truncate:4",),
        model="messages-a",
        is_stream=True,
        outcome=Outcome.TRUNCATED,
        endings=("truncated",),
    ),
    "a stream without its end": Case(
        faults=("pace:5 | early-end:3",), is_stream=True, outcome=Outcome.TRUNCATED, endings=("truncated",)
    ),
    "a translated stream without its end": Case(
        faults=("pace:5 | early-end:4",),
        model="messages-a",
        is_stream=True,
        outcome=Outcome.TRUNCATED,
        endings=("truncated",),
    ),
    "a forwarded answer": Case(target="/dev/v1/chat/completions"),
    "a forwarded error": Case(
        target="/dev/v1/chat/completions",
        faults=("status:500",),
        status=500,
        outcome=Outcome.UPSTREAM_ERROR,
        endings=("server",),
    ),
    "a forwarded stream that broke off": Case(
        target="/dev/v1/chat/completions",
        faults=("truncate:3",),
        is_stream=True,
        outcome=Outcome.TRUNCATED,
        endings=("truncated",),
    ),
    "an error within a forwarded stream": Case(
        target="/dev/v1/chat/completions",
        faults=("error-event:3",),
        is_stream=True,
        outcome=Outcome.UPSTREAM_ERROR,
        endings=("overloaded",),
    ),
    "a forwarded stream without its end": Case(
        target="/dev/v1/chat/completions",
        faults=("pace:5 | early-end:3",),
        is_stream=True,
        outcome=Outcome.TRUNCATED,
        endings=("truncated",),
    ),
    "an error in place of a compressed answer": Case(
        faults=("error-event:0 | gzip", None), is_stream=True, endings=("overloaded", "answered")
    ),
    "a compressed stream that is no more than begun": Case(
        faults=("pace:5 | early-end:3 | gzip",),
        is_stream=True,
        outcome=Outcome.TRUNCATED,
        endings=("truncated",),
    ),
    "forwarded with a key of ours": Case(
        target="/keyed/v1/chat/completions", faults=("status:500", None), endings=("server", "answered")
    ),
    "no connection": Case(
        model="refusing-a", status=502, outcome=Outcome.UPSTREAM_ERROR, endings=("network",)
    ),
    "no such model": Case(model="nobody-a", status=404, outcome=Outcome.REFUSED, endings=()),
    "no such endpoint": Case(target="/nowhere/v1/x", status=404, outcome=Outcome.REFUSED, endings=()),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_what_became_of_it(case: Case, provider: Provider, world: World) -> None:
    provider.script(list(case.faults))
    entry = await record(world, chat(case.model, stream=case.is_stream), target=case.target)
    assert (entry.status, entry.outcome) == (case.status, case.outcome), entry.error
    assert tuple(one.ending for one in entry.attempts) == case.endings
    assert (entry.error is None) == (case.outcome is Outcome.OK)
    assert (entry.code is None) == (case.outcome is Outcome.OK)
    if case.code is not None:
        assert entry.code == case.code
    for noted in entry.attempts:
        assert noted.ended_s is not None and noted.ended_s >= noted.started_s
        assert (noted.error is None) == (noted.ending == "answered")
    assert entry.own_s is not None and entry.ended_s is not None
    assert 0 <= entry.own_s <= entry.ended_s - entry.started_s


@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_is_known_of_an_answer(world: World, is_stream: bool) -> None:
    entry = await record(world, chat("messages-a", stream=is_stream))
    (noted,) = entry.attempts
    assert (entry.endpoint, entry.dialect, entry.model) == ("all", Dialect.OPENAI_CHAT, "messages-a")
    assert (noted.provider, noted.dialect, noted.model) == (
        "messages",
        Dialect.ANTHROPIC_MESSAGES,
        "messages-a",
    )
    assert noted.answered == "messages-a"
    assert noted.usage == entry.usage and entry.usage.input_tokens
    assert entry.is_stream is is_stream
    assert noted.request_bytes and noted.response_bytes and entry.response_bytes
    assert noted.response_bytes != entry.response_bytes
    assert noted.upstream_id


async def test_costs_are_those_of_each_attempt(provider: Provider, world: World) -> None:
    provider.script(["status:500", None])
    entry = await record(world, chat())
    first, second = entry.attempts
    assert (first.cost_usd_nano, first.price_version) == (None, None)
    assert second.usage is not None and second.usage.input_tokens and second.usage.output_tokens
    expected = second.usage.input_tokens * 1_000 + second.usage.output_tokens * 10_000
    assert (second.cost_usd_nano, entry.cost_usd_nano) == (expected, expected)
    assert second.price_version is not None and second.price_version.startswith("config/")
    assert second.is_cost_whole is True


async def test_a_stream_that_broke_off_costs_at_least_what_it_told_of(
    provider: Provider, world: World
) -> None:
    provider.script(["truncate:4"])
    entry = await record(world, chat("messages-a", stream=True))
    (noted,) = entry.attempts
    assert noted.usage is not None and not noted.usage.is_final
    assert noted.is_cost_whole is not True


@pytest.mark.parametrize("target", ["/all", "/dev", "/keyed", "/dev/api"])
@pytest.mark.parametrize("fault", [None, "gzip"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_tokens_are_counted_however_an_answer_comes(
    target: str, fault: str | None, is_stream: bool, provider: Provider, world: World
) -> None:
    provider.script([fault])
    body = chat(stream=is_stream) | ({"stream_options": {"include_usage": True}} if is_stream else {})
    entry = await record(world, body, target=f"{target}/v1/chat/completions")
    assert entry.outcome is Outcome.OK, entry.error
    assert entry.usage.input_tokens and entry.usage.output_tokens and entry.usage.is_final


async def test_errors_that_are_passed_on_are_told_of_without_what_they_say(
    provider: Provider, world: World
) -> None:
    provider.script(["status:401"])
    entry = await record(world, chat(), target="/dev/v1/chat/completions")
    (noted,) = entry.attempts
    assert (entry.status, noted.error) == (401, entry.error)
    assert entry.error == f"The provider told of an error: 401 {entry.code}."


async def test_a_client_that_leaves(provider: Provider, world: World) -> None:
    provider.script(["pace:5"])
    entry = await record(world, chat(stream=True), leaves_after=2)
    assert (entry.status, entry.outcome) == (499, Outcome.CLIENT_GONE)
    assert [one.ending for one in entry.attempts] == ["dropped"]
    assert entry.response_bytes > 0


class Stopping(Unwatched):
    """Somebody who ends every leg, in one way or another."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "outcome", "ending"),
    [
        (Killed(), 502, Outcome.KILLED, "killed"),
        (RuntimeError("a bug"), 500, Outcome.GATEWAY_ERROR, None),
    ],
)
async def test_what_is_nobodys_fault_but_ours(
    world: World, error: Exception, status: int, outcome: Outcome, ending: str | None
) -> None:
    entry = await record(world, chat(), watch=Stopping(error))
    assert (entry.status, entry.outcome) == (status, outcome)
    assert [one.ending for one in entry.attempts] == [ending]


async def test_a_loser_of_two_attempts_is_dropped(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(url=provider.url) + "[routing]\nhedge_after_ms = 20\n")
    world = build(load(path, env={}))
    provider.script(["slow:5000", None])
    entry = await record(world, chat())
    await world.close()
    assert entry.outcome is Outcome.OK
    assert [one.ending for one in entry.attempts] == ["dropped", "answered"]
    assert entry.answering is entry.attempts[1]
    assert entry.cost_usd_nano and entry.is_cost_whole is False, "nobody knows what the loser cost"


TOGETHER: dict[str, tuple[list[tuple[float, float | None, str | None, int]], str | None, int]] = {
    "one after the other": ([(0, 1, "server", 9), (1, 2, "answered", 9)], None, 2),
    "the second of two wins": ([(0, 3, "dropped", 0), (1, 2, "answered", 9)], None, 2),
    "the first of two wins": ([(0, 2, "answered", 9), (1, 2, "dropped", 0)], None, 1),
    "the first of two is about to": ([(0, None, None, 0), (1, 2, "dropped", 0)], None, 1),
    "the first wins after the second failed": ([(0, 3, "answered", 9), (1, 2, "server", 9)], None, 1),
    "both fail": ([(0, 3, "server", 9), (1, 2, "timeout", 0)], "no", 1),
    "the client left one of two": ([(0, 3, "dropped", 9), (1, 2, "dropped", 0)], "left", 1),
    "the client left the second try": ([(0, 1, "server", 9), (1, 2, "dropped", 0)], "left", 2),
    "the first of two breaks off": ([(0, 3, "truncated", 9), (1, 2, "dropped", 0)], "cut", 1),
}


@pytest.mark.parametrize(("tries", "error", "number"), TOGETHER.values(), ids=TOGETHER)
def test_an_exchange_is_told_by_the_attempt_that_counted(
    tries: list[tuple[float, float | None, str | None, int]], error: str | None, number: int
) -> None:
    entry = entry_of(1, error=error, attempts=[])
    for at, (began_s, ended_s, ending, count) in enumerate(tries, 1):
        known = {"started_s": began_s, "ended_s": ended_s, "ending": ending, "response_bytes": count}
        entry.attempts.append(noted_of(at, credential=f"key-{at}", **known))
    assert entry.answering is entry.attempts[number - 1]
    row = dict(zip(EXCHANGES.names, Writing("run", str).exchange(entry), strict=True))
    assert (row["credential"], row["ending"]) == (f"key-{number}", tries[number - 1][2])


def test_a_cost_is_whole_where_all_of_it_is_known() -> None:
    told, failed = noted_of(), noted_of(1, usage=None, price_version=None, ending="server", status=500)
    silent = replace(failed, ending="answered", status=200)
    assert entry_of(1, attempts=[told, failed]).is_cost_whole is True
    assert entry_of(1, attempts=[told, silent]).is_cost_whole is False
    assert entry_of(1, attempts=[replace(told, is_cost_whole=False)]).is_cost_whole is False
    assert entry_of(1, attempts=[silent]).is_cost_whole is None


OUTCOMES: list[tuple[dict[str, Any], Outcome]] = [
    ({"status": 200}, Outcome.OK),
    ({"status": 304}, Outcome.OK),
    ({"status": 200, "error": "within"}, Outcome.UPSTREAM_ERROR),
    ({"status": 200, "error": "within", "is_cut": True}, Outcome.TRUNCATED),
    ({"status": 429}, Outcome.REFUSED),
    ({"status": 503}, Outcome.UNAVAILABLE),
    ({"status": None}, Outcome.GATEWAY_ERROR),
]


@pytest.mark.parametrize(("known", "expected"), OUTCOMES)
def test_outcomes_that_nobody_told_of(known: dict[str, Any], expected: Outcome) -> None:
    entry = Entry(id="1", method="GET", path="/", client="", at_s=0, started_s=0, **known)
    assert outcome_of(entry) is expected
