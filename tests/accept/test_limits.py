"""Who may ask for how much: counted all at once, told plainly, given back whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.accept import revoked
from llmitm.accept.limits import NO_TOKENS, Asked, Ticket, admit
from llmitm.accept.wanted import wanted
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect, Usage
from llmitm.state.memory import MemoryStore
from llmitm.state.store import Lease, Outcome, Step, Window
from support.clocks import HandClock

KEYS: list[dict[str, Any]] = [
    {"name": "plain", "key": "key-of-plain"},
    {"name": "own", "key": "key-of-own", "rpm": 7, "tpm": 700, "concurrency": 3},
]
EMPTY = b"{}"
"""Guessed to be one token."""


def config(limits: dict[str, Any], keys: list[dict[str, Any]] | None = None) -> Config:
    return Config.model_validate({"rate_limit": limits, "auth_keys": keys, "timeouts": {"exchange_s": 90}})


def asked(**changes: Any) -> Asked:
    defaults: dict[str, Any] = {
        "exchange_id": "x-1",
        "auth_key": None,
        "dialect": Dialect.OPENAI_CHAT,
        "body": EMPTY,
        "max_output_tokens": 99,
    }
    return Asked(**(defaults | changes))


class Gate:
    """One configuration, one store, one clock, and a new exchange for each call."""

    def __init__(self, limits: dict[str, Any], keys: list[dict[str, Any]] | None = None) -> None:
        self.clock = HandClock()
        self.store = MemoryStore(self.clock)
        self.config = config(limits, keys)
        self.count = 0

    async def admit(self, *, is_shared: bool = False, **changes: Any) -> Ticket:
        self.count += 1
        one = asked(**({"exchange_id": f"x-{self.count}"} | changes))
        return await admit(one, self.config, self.store, self.clock, is_shared=is_shared)

    async def refusal(self, **changes: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.admit(**changes)
        return caught.value

    async def value(self, name: str) -> int:
        key = f"limits:{name}"
        step = Lease(key=key, holder="", is_over=True) if "concurrency" in name else Window(key=key, by=0)
        return (await self.store.apply([step])).values[0]


def told(error: Refused) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in error.headers}


class NoStore:
    """Fails whatever is asked of it."""

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        raise ConnectionError("no store")

    async def close(self) -> None: ...


# -- which limits apply


@pytest.mark.parametrize(
    ("limits", "keys", "changes"),
    [
        ({}, None, {}),
        ({}, KEYS, {"auth_key": "plain"}),
        ({"per_key_rpm": 1, "per_key_tpm": 1}, None, {}),
        ({"models": {"gpt-*": {"rpm": 1}}}, None, {"models": ("claude-1",)}),
        ({"models": {"gpt-*": {"rpm": 1}}}, None, {"models": ()}),
        ({"models": {"gpt-*": {}}}, None, {"models": ("gpt-4",)}),
    ],
)
async def test_where_nothing_limits_an_exchange_the_store_is_never_asked(
    limits: dict[str, Any], keys: list[dict[str, Any]] | None, changes: dict[str, Any]
) -> None:
    made = config(limits, keys)
    async with await admit(asked(**changes), made, NoStore(), HandClock()) as ticket:
        assert ticket.headers() == ()
        ticket.settle(Usage(input_tokens=5, output_tokens=5))


@pytest.mark.parametrize(
    ("limits", "changes", "expected"),
    [
        ({"rpm": 5}, {}, {"requests:all": (1, 5)}),
        ({"tpm": 500}, {}, {"tokens:all": (100, 500)}),
        ({"concurrency": 4}, {}, {"concurrency:all": (None, 4)}),
        (
            {"per_key_rpm": 9, "per_key_tpm": 900},
            {"auth_key": "plain"},
            {"requests:key:plain": (1, 9), "tokens:key:plain": (100, 900)},
        ),
        (
            {"per_key_rpm": 9, "per_key_tpm": 900},
            {"auth_key": "own"},
            {"requests:key:own": (1, 7), "tokens:key:own": (100, 700), "concurrency:key:own": (None, 3)},
        ),
        (
            {"rpm": 5, "models": {"gpt-*": {"rpm": 3}, "*-4": {"concurrency": 2}, "o*": {"rpm": 1}}},
            {"models": ("gpt-4",)},
            {"requests:all": (1, 5), "requests:model:gpt-*": (1, 3), "concurrency:model:*-4": (None, 2)},
        ),
        (
            {"models": {"gpt-*": {"rpm": 3}}},
            {"models": ("fast", "openai/gpt-4", "gpt-4")},
            {"requests:model:gpt-*": (1, 3)},
        ),
    ],
)
def test_a_keys_own_limit_wins_and_all_that_apply_are_asked_at_once(
    limits: dict[str, Any], changes: dict[str, Any], expected: dict[str, tuple[int | None, int]]
) -> None:
    found = wanted(asked(**changes), config(limits, KEYS)).steps
    steps = {
        step.key.removeprefix("limits:"): (step.by if isinstance(step, Window) else None, step.limit)
        for step in found
    }
    assert steps == expected


def test_places_last_as_long_as_an_exchange_may_and_are_asked_for_last() -> None:
    found = wanted(asked(auth_key="own"), config({"concurrency": 4}, KEYS)).steps
    leases = [step for step in found if isinstance(step, Lease)]
    assert [(one.ttl_s, one.holder) for one in leases] == [(90, "x-1"), (90, "x-1")]


def test_another_configuration_has_its_own_limits() -> None:
    first, second = config({"rpm": 5}), config({"rpm": 6})
    found = [wanted(asked(), one).limits[0].most for one in (first, second, first)]
    assert found == [5, 6, 5]


async def test_nothing_grows_with_what_clients_send() -> None:
    gate = Gate({"rpm": 5_000, "tpm": 10_000_000, "models": {"gpt-*": {"rpm": 5_000}}})
    for at in range(100):
        await (await gate.admit(models=(f"gpt-{at}",), body=b'{"model":"%d"}' % at)).release()
    assert len(gate.store) == 3


async def test_clients_without_a_key_share_the_limits_of_all() -> None:
    gate = Gate({"rpm": 2, "per_key_rpm": 1}, KEYS)
    await gate.admit()
    await gate.admit(auth_key="plain")
    assert "All clients together" in str(await gate.refusal())


async def test_one_keys_limit_is_not_anothers() -> None:
    gate = Gate({"per_key_rpm": 1}, KEYS)
    await gate.admit(auth_key="plain")
    await gate.admit(auth_key="own")
    assert (await gate.refusal(auth_key="plain")).status == 429


async def test_all_models_of_a_glob_share_its_limit() -> None:
    gate = Gate({"models": {"gpt-*": {"rpm": 2}}})
    await gate.admit(models=("gpt-4",))
    await gate.admit(models=("gpt-5",))
    await gate.refusal(models=("gpt-6",))
    await gate.admit(models=("claude-1",))


# -- refusals


@pytest.mark.parametrize(
    ("limits", "changes", "first", "words"),
    [
        ({"rpm": 1}, {}, {}, "All clients together may send 1 request a minute."),
        (
            {"tpm": 150},
            {},
            {},
            "All clients together may use 150 tokens a minute.",
        ),
        ({"concurrency": 1}, {}, {}, "All clients together may have 1 request at once."),
        ({"per_key_rpm": 1}, {"auth_key": "plain"}, {}, "The key plain may send 1 request a minute."),
        (
            {"models": {"g*": {"rpm": 1}}},
            {"models": ("g",)},
            {},
            "The models g* may send 1 request a minute.",
        ),
    ],
)
async def test_a_refusal_says_which_limit_of_whom(
    limits: dict[str, Any], changes: dict[str, Any], first: dict[str, Any], words: str
) -> None:
    gate = Gate(limits, KEYS)
    await gate.admit(**changes)
    error = await gate.refusal(**changes)
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert str(error).startswith(words)
    assert "key-of" not in str(error)
    assert told(error)["x-should-retry"] == "true"


async def test_what_is_refused_costs_nothing() -> None:
    gate = Gate({"rpm": 10, "concurrency": 9, "models": {"g": {"rpm": 1}}})
    await gate.admit(models=("g",))
    for _ in range(3):
        await gate.refusal(models=("g",))
    assert [await gate.value(one) for one in ("requests:all", "concurrency:all")] == [1, 1]


@pytest.mark.parametrize("later_s", [0.0, 0.3, 12.5, 59.9])
async def test_retry_after_is_true(later_s: float) -> None:
    gate = Gate({"rpm": 2})
    await gate.admit()
    gate.clock.at_s += later_s
    await gate.admit()
    error = await gate.refusal()
    wait_ms = int(told(error)["retry-after-ms"])
    assert int(told(error)["retry-after"]) == max(-(-wait_ms // 1000), 1)
    begun_s = gate.clock.at_s
    gate.clock.at_s = begun_s + wait_ms / 1000 - 0.002
    assert (await gate.refusal()).status == 429
    gate.clock.at_s = begun_s + wait_ms / 1000
    await gate.admit()


async def test_where_several_limits_are_reached_the_longest_wait_counts() -> None:
    gate = Gate({"rpm": 1, "tpm": 100, "models": {"g": {"rpm": 1}}})
    await gate.admit(models=("g",), body=b"", max_output_tokens=0)
    gate.clock.at_s += 30
    await gate.store.apply([Window(key="limits:tokens:all", by=100)])
    error = await gate.refusal(models=("g",), max_output_tokens=0)
    gate.clock.at_s += int(told(error)["retry-after"])
    await gate.admit(models=("g",), max_output_tokens=0)


async def test_looking_at_the_other_limits_counts_nothing() -> None:
    gate = Gate({"rpm": 1, "tpm": 100})
    await gate.admit()
    await gate.refusal()
    assert [await gate.value(one) for one in ("requests:all", "tokens:all")] == [1, 100]


async def test_a_look_that_finds_room_takes_none_of_it() -> None:
    class Hurried(MemoryStore):
        async def apply(self, steps: Sequence[Step]) -> Outcome:
            outcome = await super().apply(steps)
            if outcome.refused is not None:
                gate.clock.at_s += 70
            return outcome

    gate = Gate({"rpm": 1, "tpm": 100})
    gate.store = Hurried(gate.clock)
    await gate.admit()
    await gate.refusal()
    assert [await gate.value(one) for one in ("requests:all", "tokens:all")] == [0, 0]


async def test_a_place_is_worth_another_try_in_a_second() -> None:
    gate = Gate({"concurrency": 1})
    await gate.admit()
    headers = told(await gate.refusal())
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")


async def test_a_refusal_carries_the_limits_as_they_stand() -> None:
    gate = Gate({"rpm": 1, "tpm": 1_000})
    await gate.admit()
    headers = told(await gate.refusal(dialect=Dialect.ANTHROPIC_MESSAGES))
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["anthropic-ratelimit-tokens-remaining"] == "900"


async def test_a_prompt_larger_than_the_limit_is_refused_for_good() -> None:
    gate = Gate({"tpm": 1_000})
    error = await gate.refusal(body=orjson.dumps({"content": "word " * 1_000}))
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert "1,000 tokens a minute" in str(error) and "[rate_limit]" in str(error)
    assert told(error) == {"x-should-retry": "false"}
    assert len(gate.store) == 0


async def test_the_guess_of_an_answer_never_makes_an_exchange_impossible() -> None:
    gate = Gate({"tpm": 1_000})
    await gate.admit(max_output_tokens=64_000)
    assert await gate.value("tokens:all") == 1_000


async def test_a_store_that_fails_lets_nobody_in() -> None:
    with pytest.raises(ConnectionError):
        await admit(asked(), config({"rpm": 1}), NoStore(), HandClock())


# -- what clients are told


@pytest.mark.parametrize(
    ("limits", "changes", "expected"),
    [
        ({"rpm": 100, "per_key_rpm": 5}, {"auth_key": "plain"}, (5, 4)),
        ({"rpm": 3, "per_key_rpm": 5}, {"auth_key": "plain"}, (3, 2)),
        ({"rpm": 9, "models": {"g*": {"rpm": 4}, "*": {"rpm": 2}}}, {"models": ("g",)}, (2, 1)),
    ],
)
async def test_clients_are_told_of_the_tightest_limit(
    limits: dict[str, Any], changes: dict[str, Any], expected: tuple[int, int]
) -> None:
    headers = dict((await Gate(limits, KEYS).admit(**changes)).headers())
    found = [int(headers[b"x-ratelimit-%s-requests" % name]) for name in (b"limit", b"remaining")]
    assert tuple(found) == expected


async def test_a_wide_limit_that_others_used_up_is_tighter_than_a_narrow_one() -> None:
    gate = Gate({"rpm": 10, "per_key_rpm": 5}, KEYS)
    for _ in range(8):
        await gate.admit()
    headers = dict((await gate.admit(auth_key="plain")).headers())
    assert (headers[b"x-ratelimit-limit-requests"], headers[b"x-ratelimit-remaining-requests"]) == (
        b"10",
        b"1",
    )


async def test_what_was_used_beyond_a_limit_leaves_nothing_and_not_less() -> None:
    gate = Gate({"tpm": 1_000, "rpm": 10})
    first = await gate.admit()
    second = await gate.admit()
    first.settle(Usage(input_tokens=5_000, output_tokens=0))
    await first.release()
    headers = told(await gate.refusal())
    assert headers["x-ratelimit-remaining-tokens"] == "0"
    assert dict(second.headers())[b"x-ratelimit-remaining-tokens"] == b"800"


# -- tokens


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, 100),
        (Usage(), 100),
        (NO_TOKENS, 0),
        (Usage(input_tokens=20, output_tokens=5), 25),
        (Usage(input_tokens=300, output_tokens=400), 700),
        (Usage(input_tokens=300), 399),
        (Usage(output_tokens=8), 9),
        (Usage(input_tokens=50, cache_read_tokens=40, output_tokens=9, reasoning_tokens=7), 59),
        (Usage(input_tokens=20, output_tokens=1, is_final=False), 119),
        (Usage(input_tokens=20, output_tokens=500, is_final=False), 520),
    ],
)
async def test_what_was_used_replaces_the_guess(usage: Usage | None, counted: int) -> None:
    """One token of prompt and 99 of answer were guessed. What is not told stays as it was guessed."""
    gate = Gate({"tpm": 1_000, "rpm": 5})
    async with await gate.admit() as ticket:
        ticket.settle(NO_TOKENS)
        ticket.settle(usage)
        assert await gate.value("tokens:all") == 100
    assert await gate.value("tokens:all") == counted
    assert await gate.value("requests:all") == 1


async def test_what_was_used_is_counted_once() -> None:
    gate = Gate({"tpm": 1_000})
    ticket = await gate.admit()
    ticket.settle(Usage(input_tokens=300, output_tokens=0))
    for _ in range(3):
        await ticket.release()
    assert await gate.value("tokens:all") == 300


async def test_every_limit_of_tokens_is_settled_from_what_it_was_charged() -> None:
    gate = Gate({"tpm": 1_000, "models": {"g": {"tpm": 50}}})
    async with await gate.admit(models=("g",)) as ticket:
        ticket.settle(Usage(input_tokens=30, output_tokens=10))
    assert [await gate.value(one) for one in ("tokens:all", "tokens:model:g")] == [40, 40]


@pytest.mark.parametrize(
    ("took_s", "left"),
    [(0.0, 510), (59.9, 510), (62.0, 500), (300.0, 500)],
)
async def test_giving_back_late_takes_nothing_from_others(took_s: float, left: int) -> None:
    """Once the guess has left the window, there is nothing to give back."""
    gate = Gate({"tpm": 1_000})
    slow = await gate.admit()
    gate.clock.at_s += took_s
    await gate.store.apply([Window(key="limits:tokens:all", by=500)])
    slow.settle(Usage(input_tokens=5, output_tokens=5))
    await slow.release()
    assert await gate.value("tokens:all") == left


async def test_what_is_given_back_leaves_the_moment_where_it_was_counted() -> None:
    """Else it would leave the window before what it stands for."""
    gate = Gate({"tpm": 1_000})
    slow = await gate.admit(max_output_tokens=899)
    gate.clock.at_s += 30
    await gate.admit()
    slow.settle(NO_TOKENS)
    await slow.release()
    assert await gate.value("tokens:all") == 100
    gate.clock.at_s += 32
    assert await gate.value("tokens:all") == 100


# -- places


async def test_a_place_is_free_again_when_its_exchange_is_over() -> None:
    gate = Gate({"concurrency": 1})
    async with await gate.admit():
        await gate.refusal()
    async with await gate.admit():
        pass


async def test_what_lasts_keeps_its_place_and_counts_as_it_goes() -> None:
    gate = Gate({"concurrency": 1, "tpm": 1_000})
    async with await gate.admit(max_output_tokens=0) as ticket:
        for used, counted in ((101, 100), (151, 50)):  # each within its own minute; one was guessed
            gate.clock.at_s += 80  # of the 90 that a place is kept
            ticket.settle(Usage(input_tokens=used, output_tokens=0))
            await ticket.go_on()
            assert await gate.value("tokens:all") == counted
        await gate.refusal()
    assert await gate.value("tokens:all") == 50
    await ticket.go_on()  # it is over
    assert await gate.value("concurrency:all") == 0


async def test_a_place_is_given_back_once() -> None:
    gate = Gate({"concurrency": 2})
    first, _ = await gate.admit(), await gate.admit()
    for _ in range(3):
        await first.release()
    assert await gate.value("concurrency:all") == 1


async def test_one_exchange_that_breaks_gives_its_place_back() -> None:
    gate = Gate({"concurrency": 1})
    with pytest.raises(RuntimeError, match="broken"):
        async with await gate.admit():
            raise RuntimeError("broken")
    assert await gate.value("concurrency:all") == 0


async def test_a_place_whose_holder_died_is_free_when_no_exchange_could_still_run() -> None:
    gate = Gate({"concurrency": 1})
    await gate.admit()
    gate.clock.at_s += 89.9
    await gate.refusal()
    gate.clock.at_s += 0.2
    await gate.admit()


async def test_an_answer_that_is_out_is_not_spoilt_by_a_store_that_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(MemoryStore):
        is_broken = False

        async def apply(self, steps: Sequence[Step]) -> Outcome:
            if self.is_broken:
                raise ConnectionError("no store at redis://user:secret@host")
            return await super().apply(steps)

    clock = HandClock()
    store = Failing(clock)
    async with await admit(asked(), config({"concurrency": 1}), store, clock):
        store.is_broken = True
    assert "x-1" in caplog.text and "not counted" in caplog.text
    assert "secret" not in caplog.text


# -- cancelling


class SlowStore(MemoryStore):
    """Goes on, before and after it counts, only when it is let."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.asked = asyncio.Semaphore(0)
        self.before = asyncio.Event()
        self.after = asyncio.Event()

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        self.asked.release()
        await self.before.wait()
        outcome = await super().apply(steps)
        await self.after.wait()
        return outcome

    async def is_asked(self) -> None:
        """Waits until it is."""
        async with asyncio.timeout(5):
            await self.asked.acquire()


async def exchange(gate: Gate) -> None:
    async with await gate.admit():
        await asyncio.Event().wait()


@pytest.mark.parametrize("is_counted", [False, True])
async def test_who_leaves_while_it_is_let_in_takes_nothing(is_counted: bool) -> None:
    gate = Gate({"rpm": 5, "tpm": 500, "concurrency": 5})
    gate.store = store = SlowStore(gate.clock)
    task = asyncio.create_task(exchange(gate))
    await store.is_asked()
    if is_counted:
        store.before.set()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.before.set()
    store.after.set()
    await store.is_asked()
    values = [await gate.value(f"{one}:all") for one in ("requests", "tokens", "concurrency")]
    assert values == [0, 0, 0]


async def test_who_leaves_at_the_moment_when_it_is_let_in_takes_nothing() -> None:
    """The store has answered, but the exchange has not gone on yet."""
    gate = Gate({"rpm": 5, "concurrency": 5})
    gate.store = store = SlowStore(gate.clock)
    store.before.set()
    task = asyncio.create_task(exchange(gate))
    await store.is_asked()
    store.after.set()
    for _ in range(4):
        await asyncio.sleep(0)
        if await gate.value("concurrency:all") and not task.done():
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gate.value("concurrency:all") == 0


async def test_who_is_cancelled_twice_still_gives_its_place_back() -> None:
    gate = Gate({"concurrency": 1})
    gate.store = store = SlowStore(gate.clock)
    store.before.set()
    store.after.set()
    task = asyncio.create_task(exchange(gate))
    await store.is_asked()
    await asyncio.sleep(0)
    store.before.clear()
    task.cancel()
    await store.is_asked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.before.set()
    await asyncio.sleep(0)
    assert await gate.value("concurrency:all") == 0


# -- revoked keys


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def test_a_key_that_was_revoked_elsewhere_is_refused_at_once_and_takes_nothing() -> None:
    gate = Gate({"rpm": 5, "concurrency": 5}, KEYS)
    await gate.store.apply([revoked.revoke(digest("key-of-plain"))])
    error = await gate.refusal(auth_key="plain", is_shared=True)
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert [await gate.value(one) for one in ("requests:all", "concurrency:all")] == [0, 0]
    await gate.admit(auth_key="own", is_shared=True)
    await gate.admit(is_shared=True)


async def test_a_revoked_key_is_told_so_also_where_its_limit_is_reached() -> None:
    gate = Gate({"rpm": 1}, KEYS)
    await gate.admit()
    await gate.store.apply([revoked.revoke(digest("key-of-plain"))])
    assert (await gate.refusal(auth_key="plain", is_shared=True)).status == 401


async def test_revoking_needs_no_limits_and_can_be_taken_back() -> None:
    gate = Gate({}, KEYS)
    await gate.store.apply([revoked.revoke(digest("key-of-plain"))])
    await gate.refusal(auth_key="plain", is_shared=True)
    await gate.store.apply([revoked.restore(digest("key-of-plain"))])
    await gate.admit(auth_key="plain", is_shared=True)


async def test_revoking_may_last_for_a_while() -> None:
    gate = Gate({}, KEYS)
    await gate.store.apply([revoked.revoke(digest("key-of-plain"), ttl_s=60)])
    await gate.refusal(auth_key="plain", is_shared=True)
    gate.clock.at_s += 61
    await gate.admit(auth_key="plain", is_shared=True)


# -- the rule of the window

LIMIT = 400
LATE_S = 1.0 + 1e-5
"""A slice."""


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.integers(0, 150), st.integers(0, 100), st.integers(0, 5)),
        max_size=60,
    )
)
async def test_no_minute_ever_holds_more_than_the_limit_and_none_is_refused_for_less(
    moves: list[tuple[float, int, int, int]],
) -> None:
    """Each move: time that passes, the guess, percent of it that is used, and which open one then ends."""
    gate = Gate({"tpm": LIMIT})
    held: list[tuple[float, int, int, Ticket]] = []
    over: list[tuple[float, int]] = []
    for passes_s, answer, percent, which in moves:
        gate.clock.at_s += passes_s
        now_s = gate.clock.at_s
        guess = 1 + answer
        sums = [(at_s, by) for at_s, by, _, _ in held] + over
        try:
            ticket = await gate.admit(max_output_tokens=answer)
        except Refused:
            within = sum(by for at_s, by in sums if at_s > now_s - 60 - LATE_S)
            assert within + guess > LIMIT, "refused although there was room"
        else:
            held.append((now_s, guess, guess * percent // 100, ticket))
            within = sum(by for at_s, by in sums if at_s > now_s - 60)
            assert within + guess <= LIMIT, "let in over the limit"
        if which < len(held):
            at_s, _, used, ticket = held.pop(which)
            ticket.settle(Usage(input_tokens=used, output_tokens=0))
            await ticket.release()
            over.append((at_s, used))
