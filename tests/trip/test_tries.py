"""The one loop, with a script in place of upstreams and time that jumps."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.route.choice import Choice
from llmitm.route.search import Found
from llmitm.route.verdict import VERDICTS, Ending, Next
from llmitm.state.store import Outcome, Step
from llmitm.trip.missed import Missed
from llmitm.trip.tries import Steps
from support.simulated import BEGAN_S, simulate
from support.trying import HEAD, OK, SILENT, Act, Stage, choice, fails, missed

A, B, C = choice("a"), choice("b"), choice("c")
ELSEWHERE = choice("a", provider="q")
GOES_ON = [ending for ending, one in VERDICTS.items() if one.next is Next.CREDENTIAL]
DELIVERED = [ending for ending, one in VERDICTS.items() if one.next is not Next.CREDENTIAL]
BACKS_OFF = [ending for ending, one in VERDICTS.items() if one.backs_off]


def ask(stage: Stage, *models: str, **options: Any) -> str:
    return simulate(stage.ask(*models, **options))


# ---- what is done next


@pytest.mark.parametrize("ending", GOES_ON)
def test_the_next_one_is_asked(ending: Ending) -> None:
    stage = Stage([A, B], {"p/a": [fails(ending)]})
    assert ask(stage) == "p/b"
    assert stage.names == stage.closed == ["p/a", "p/b"]


@pytest.mark.parametrize("ending", DELIVERED)
def test_the_client_is_told_at_once(ending: Ending) -> None:
    stage = Stage([A, B], {"p/a": [fails(ending)]})
    assert ask(stage) == ending
    assert stage.names == stage.closed == ["p/a"]
    assert not stage.clock.slept_s


@pytest.mark.parametrize("ending", GOES_ON)
def test_each_candidate_is_asked_once_and_the_last_error_told(ending: Ending) -> None:
    stage = Stage([A, B, C], {"p/a": [fails(ending)], "p/b": [fails(ending)], "p/c": [fails("auth")]})
    assert ask(stage) == "auth"
    assert stage.names == ["p/a", "p/b", "p/c"]


@pytest.mark.parametrize("most", [1, 2, 3, None])
def test_no_more_attempts_than_the_configuration_says(most: int | None) -> None:
    script = dict.fromkeys(("p/a", "p/b", "p/c"), [fails("auth")])
    stage = Stage([A, B, C], script, retry={"max_attempts": most} if most else {})
    assert ask(stage) == "auth"
    assert len(stage.sent) == (most or 3)


def test_who_rests_is_not_asked() -> None:
    async def main() -> None:
        stage = Stage([A, B, C])
        await stage.health.rest(A, Ending.SERVER, 10)
        assert await stage.ask() == "p/b"
        # also where that was found out after the search
        search = stage.search()
        first = await search.next()
        assert first is not None and first.choice is B
        await stage.health.rest(C, Ending.SERVER, 10)
        assert await search.next() is None

    simulate(main())


def test_who_began_to_rest_during_the_wait_is_not_asked() -> None:
    async def main() -> None:
        stage = Stage([A, B, ELSEWHERE], {"p/a": [fails("server")]})
        asked = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.1)
        assert stage.clock.slept_s == [0.2]
        await stage.health.rest(B, Ending.SERVER, 10)
        assert await asked == "q/a"

    simulate(main())


def test_after_the_first_step_nothing_is_tried() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [Act(stays_s=5)]})
        steps = stage.tries().steps()
        await anext(steps)
        with pytest.raises(Missed):
            await steps.athrow(missed(fails("server")))
        assert stage.names == ["p/a"]
        assert await stage.left_s(A) == 0

    simulate(main())


def test_what_came_of_a_failed_answer_is_let_go_of_before_another_is_asked() -> None:
    """Without anybody looking for garbage: it may be megabytes."""

    class Held(bytearray):
        pass

    async def main() -> None:
        stage = Stage([A, B])
        left: list[weakref.ref[Held]] = []

        async def steps() -> Steps:
            held = Held(b"much")
            left.append(weakref.ref(held))
            try:
                raise UpstreamFailed(Failure.MALFORMED, "it is too long")
            except UpstreamFailed as error:
                raise missed(fails("server")) from error
            yield HEAD

        def make(found: Found[None], number: int) -> Steps:
            if number == 1:
                return steps()
            assert left[0]() is None
            return stage.make(found, number)

        tries = stage.tries()
        tries.make = make
        assert [step async for step in tries.steps()] == [HEAD, b"p/b"]

    gc.disable()
    try:
        simulate(main())
    finally:
        gc.enable()


# ---- nobody to ask


@pytest.mark.parametrize(
    ("rests", "status", "code", "retry_after", "again"),
    [
        ([("rate_limit", 20.2), ("rate_limit", 7.5)], 429, "rate_limit_exceeded", b"8", None),
        ([("rate_limit", 20), ("server", 30)], 503, "all_resting", b"20", None),
        ([("server", 0.2), ("server", 9)], 503, "all_resting", b"1", None),
        ([("auth", None), ("server", 9)], 503, "all_resting", b"9", None),
        ([("billing", None), ("billing", None)], 503, "all_resting", b"3600", b"false"),
        ([("auth", None), ("auth", None)], 503, "all_resting", None, b"false"),
    ],
)
def test_all_rest(
    rests: list[tuple[str, float | None]],
    status: int,
    code: str,
    retry_after: bytes | None,
    again: bytes | None,
) -> None:
    async def main() -> None:
        stage = Stage([A, B])
        for one, (ending, rest_s) in zip((A, B), rests, strict=True):
            await stage.health.rest(one, Ending(ending), rest_s)
        with pytest.raises(Refused) as caught:
            await stage.ask()
        refused = caught.value
        assert (refused.status, refused.code) == (status, code)
        told = dict(refused.headers)
        assert told.get(b"retry-after") == retry_after
        assert (b"retry-after-ms" in told) == (retry_after is not None)
        assert told.get(b"x-should-retry") == again
        if retry_after:
            assert f"back in {retry_after.decode()} s" in refused.message
        assert not stage.sent

    simulate(main())


def test_a_broken_provider_is_told_with_the_moment_of_its_next_chance() -> None:
    async def main() -> None:
        stage = Stage([A])
        for _ in range(5):
            stage.health.breaker(A).failed(is_probe=False)
        await asyncio.sleep(18.5)
        with pytest.raises(Refused) as caught:
            await stage.ask()
        told = {b"retry-after": b"12", b"retry-after-ms": b"11500"}
        assert (caught.value.status, dict(caught.value.headers)) == (503, told)

    simulate(main())


def test_a_model_that_nobody_serves_is_told_as_such() -> None:
    with pytest.raises(Refused, match="unknown") as caught:
        ask(Stage({"m": [A]}), "unknown")
    assert caught.value.status == 404


# ---- what the client is told of its own retries


@pytest.mark.parametrize(
    ("acts", "retry", "told"),
    [
        # tried once: the client may do what it would do without a gateway, once somebody is back
        ([fails("server")], {}, {b"retry-after": b"2"}),
        ([fails("network")], {}, {b"retry-after": b"2"}),
        ([fails("overloaded", retry_after_s=7.2)], {}, {b"retry-after": b"8"}),
        ([fails("rate_limit", retry_after_s=7.2)], {}, {b"retry-after": b"8"}),
        ([fails("conflict")], {}, {}),
        ([fails("server", headers=((b"Retry-After-Ms", b"9"),))], {}, {b"retry-after": b"2"}),
        ([fails("server", headers=((b"x-should-retry", b"true"),))], {}, None),
        # nobody will be back while it waits
        ([fails("auth")], {}, {b"x-should-retry": b"false"}),
        ([fails("permission")], {}, {b"x-should-retry": b"false", b"retry-after": b"600"}),
        ([fails("billing")], {}, {b"x-should-retry": b"false", b"retry-after": b"3600"}),
        ([fails("rate_limit", retry_after_s=61)], {}, {b"x-should-retry": b"false", b"retry-after": b"61"}),
        # tried again here: tries at two layers multiply
        ([fails("server"), fails("server")], {}, {b"x-should-retry": b"false", b"retry-after": b"2"}),
        ([fails("auth"), fails("timeout")], {}, {b"x-should-retry": b"false", b"retry-after": b"2"}),
        ([fails("server"), fails("auth")], {}, {b"x-should-retry": b"false", b"retry-after": b"2"}),
        (
            [fails("server", headers=((b"x-should-retry", b"true"),))] * 2,
            {},
            {b"x-should-retry": b"false", b"retry-after": b"2"},
        ),
        # but a limit costs nothing to hit, and is over when it says
        (
            [fails("rate_limit", retry_after_s=9), fails("rate_limit", retry_after_s=5)],
            {},
            {b"retry-after": b"5"},
        ),
        # the operator wants no second try here, so it is the client's own
        ([fails("server"), OK], {"max_attempts": 1}, {}),
        ([fails("server"), fails("server")], {"cooldowns": False, "max_attempts": 1}, {}),
        ([fails("server"), fails("server")], {"cooldowns": False}, {b"x-should-retry": b"false"}),
        # an operator's doing, and time that is over
        ([fails("killed"), OK], {}, {b"x-should-retry": b"false"}),
        ([fails("late"), OK], {}, {b"x-should-retry": b"false"}),
        # what the client did wrong is told as it was
        ([fails("client"), OK], {}, None),
        ([fails("client", headers=((b"x-should-retry", b"true"), (b"retry-after", b"3")))], {}, None),
        ([fails("context")], {}, None),
        ([fails("server"), fails("client", headers=((b"retry-after", b"3"),))], {}, None),
    ],
)
def test_what_is_told_of_coming_again(
    acts: Sequence[Act], retry: dict[str, Any], told: dict[bytes, bytes] | None
) -> None:
    async def main() -> None:
        script = {f"p/{name}": [act] for name, act in zip("ab", acts, strict=False)}
        stage = Stage([A, B][: len(acts)], script, retry={"base_ms": 0} | retry)
        with pytest.raises(Missed) as caught:
            _ = [step async for step in stage.tries().steps()]
        last = acts[len(stage.sent) - 1]
        expected = dict(last.headers) if told is None else {b"content": b"kept"} | told
        if told is None and last.ending is Ending.SERVER:
            expected |= {b"retry-after": b"2"}
        for name, wait in tuple(expected.items()):
            if name == b"retry-after" and last.ending is not Ending.CLIENT:
                wait_s = last.retry_after_s or float(wait)
                expected[b"retry-after-ms"] = b"%d" % (wait_s * 1000)
        assert {b"content": b"kept"} | dict(caught.value.told.headers) == {b"content": b"kept"} | expected

    simulate(main())


# ---- waiting


@pytest.mark.parametrize("ending", list(Ending))
def test_it_waits_only_where_the_table_says(ending: Ending) -> None:
    stage = Stage([A, B], {"p/a": [fails(ending)]})
    ask(stage)
    assert stage.clock.slept_s == ([0.2] if ending in BACKS_OFF else [])


@pytest.mark.parametrize(
    ("choices", "slept_s"),
    [
        ([A], []),  # nobody is left
        ([A, ELSEWHERE], []),  # the next try goes elsewhere
        ([A, ELSEWHERE, B], []),
        ([A, B, ELSEWHERE], [0.2]),
        ([choice("a", gateway="acc/one"), choice("b", gateway="acc/one")], [0.2]),
    ],
)
def test_it_waits_only_where_the_next_try_goes_to_the_same_upstream(
    choices: list[Choice[None]], slept_s: list[float]
) -> None:
    stage = Stage(choices, {"p/a": [fails("server")]})
    ask(stage)
    assert stage.clock.slept_s == slept_s


def test_it_does_not_wait_for_one_of_the_same_provider_that_rests() -> None:
    async def main() -> None:
        stage = Stage([A, B, ELSEWHERE], {"p/a": [fails("server", after_s=1)]})
        asked = asyncio.create_task(stage.ask())
        await asyncio.sleep(0.5)
        await stage.health.rest(B, Ending.SERVER, 10)
        assert await asked == "q/a"
        assert not stage.clock.slept_s

    simulate(main())


@pytest.mark.parametrize(
    ("retry", "chance", "slept_s"),
    [
        ({}, 1.0, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        ({}, 0.5, [0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]),
        ({"base_ms": 1000, "cap_s": 3}, 1.0, [1, 2, 3, 3, 3, 3, 3]),
        ({"base_ms": 0}, 1.0, []),
        ({}, 0.0, []),
    ],
)
def test_the_wait_doubles_up_to_a_cap_and_has_full_jitter(
    retry: dict[str, Any], chance: float, slept_s: list[float]
) -> None:
    choices = [choice(str(number)) for number in range(8)]
    stage = Stage(choices, dict.fromkeys((one.name for one in choices), [fails("server")]), retry, chance)
    assert ask(stage) == "server"
    assert stage.clock.slept_s == pytest.approx(slept_s)


# ---- deadline and budget


@pytest.mark.parametrize(
    ("after_s", "deadline_s", "tried", "slept"),
    [
        (1, 1.1, 1, 0),  # the wait would not leave any time
        (1, 1.2, 1, 0),
        (1, 1.3, 2, 1),
        (2, 2, 1, 0),
    ],
)
def test_nothing_is_tried_after_the_deadline(
    after_s: float, deadline_s: float, tried: int, slept: int
) -> None:
    stage = Stage([A, B], dict.fromkeys(("p/a", "p/b"), [fails("server", after_s=after_s)]))
    assert ask(stage, deadline_s=BEGAN_S + deadline_s) == "server"
    assert (len(stage.sent), len(stage.clock.slept_s)) == (tried, slept)


def test_nor_a_larger_model() -> None:
    stage = Stage({"m": [A], "large": [B]}, {"p/a": [fails("context", after_s=2)]})
    search = stage.search("m", larger_models=["large"])
    assert ask(stage, search=search, deadline_s=BEGAN_S + 2) == "context"


def test_no_further_try_once_the_budget_is_spent() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [fails("auth")]}, retry={"cooldowns": False, "budget_ratio": 0})
        assert [await stage.ask() for _ in range(60)] == ["p/b"] * 50 + ["auth"] * 10
        with pytest.raises(Missed) as caught:
            _ = [step async for step in stage.tries().steps()]
        assert dict(caught.value.told.headers) == {b"x-should-retry": b"false"}
        await asyncio.sleep(11)
        assert await stage.ask() == "p/b"

    simulate(main())


@pytest.mark.parametrize("ending", [Ending.CLIENT, Ending.CONTEXT])
def test_what_is_told_at_once_spends_nothing(ending: Ending) -> None:
    async def main() -> None:
        stage = Stage({"m": [A, B], "large": [C]}, {"p/a": [fails(ending)]}, retry={"budget_ratio": 0})
        for _ in range(60):
            await stage.ask(search=stage.search("m", larger_models=["large"]))
        assert stage.health.budget.take()
        stage = Stage([A], {"p/a": [fails("server")]}, retry={"budget_ratio": 0, "cooldowns": False})
        for _ in range(60):
            await stage.ask()
        assert all(stage.health.budget.take() for _ in range(50))

    simulate(main())


# ---- models


MODELS = {"m": [A], "n": [choice("b", model="n")], "large": [C], "same": [A]}


@pytest.mark.parametrize(
    ("asked", "script", "answered", "names"),
    [
        (("m", "n"), {}, "p/a", ["p/a"]),
        (("m", "n"), {"p/a": [fails("auth")]}, "p/b", ["p/a", "p/b"]),
        (("m", "same", "n"), {"p/a": [fails("auth")]}, "p/b", ["p/a", "p/b"]),
        (("m", "same"), {"p/a": [fails("auth")]}, "auth", ["p/a"]),
        (("unknown", "n"), {}, "p/b", ["p/b"]),
        (("m", "unknown"), {"p/a": [fails("auth")]}, "auth", ["p/a"]),
        (("m", "n"), {"p/a": [fails("client")]}, "client", ["p/a"]),
    ],
)
def test_a_chain_of_models(
    asked: Sequence[str], script: Mapping[str, Sequence[Act]], answered: str, names: list[str]
) -> None:
    stage = Stage(MODELS, script)
    assert ask(stage, *asked) == answered
    assert stage.names == names


@pytest.mark.parametrize(
    ("script", "larger", "answered", "names"),
    [
        ({"p/a": [fails("context")]}, ["large"], "p/c", ["p/a", "p/c"]),
        ({"p/a": [fails("context")], "p/c": [fails("context")]}, ["large"], "context", ["p/a", "p/c"]),
        ({"p/a": [fails("context")], "p/c": [fails("auth")]}, ["large", "n"], "p/b", ["p/a", "p/c", "p/b"]),
        ({"p/a": [fails("context")]}, ["unknown"], "context", ["p/a"]),
        ({"p/a": [fails("context")]}, ["same"], "context", ["p/a"]),
        ({"p/a": [fails("context")]}, [], "context", ["p/a"]),
        # instead of all others that would find it too long as well
        ({"p/a": [fails("auth")], "p/b": [fails("context")]}, ["large"], "p/c", ["p/a", "p/b", "p/c"]),
    ],
)
def test_a_prompt_that_is_too_long_goes_to_a_larger_model(
    script: Mapping[str, Sequence[Act]], larger: list[str], answered: str, names: list[str]
) -> None:
    stage = Stage(MODELS, script)
    assert ask(stage, search=stage.search("m", "n", larger_models=larger)) == answered
    assert stage.names == names


UNSAYABLE = Refused(400, "unsupported", "This provider has no such thing.")


def test_one_to_whom_it_cannot_be_said_is_passed_over() -> None:
    stage = Stage([A, B], {"p/a": [Act(refused=UNSAYABLE)]})
    assert ask(stage) == "p/b"
    assert not stage.clock.slept_s
    assert stage.in_flight(A, B) == 0


def test_where_it_can_be_said_to_nobody_the_first_reason_is_told() -> None:
    other = Refused(501, "other", "Nor has this one.")
    stage = Stage([A, B], {"p/a": [Act(refused=UNSAYABLE)], "p/b": [Act(refused=other)]})
    with pytest.raises(Refused) as caught:
        ask(stage)
    assert caught.value is UNSAYABLE


def test_where_it_could_be_said_to_one_that_rests_that_is_told() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [Act(refused=UNSAYABLE)]})
        await stage.health.rest(B, Ending.SERVER, 10)
        with pytest.raises(Refused) as caught:
            await stage.ask()
        assert caught.value.status == 503

    simulate(main())


def test_an_error_of_an_attempt_tells_more_than_that() -> None:
    stage = Stage([A, B], {"p/a": [fails("auth")], "p/b": [Act(refused=UNSAYABLE)]})
    assert ask(stage) == "auth"


# ---- breakers


def test_a_breaker_counts_only_what_left_the_provider_no_credential() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [fails("server")]}, retry={"base_ms": 0})
        for _ in range(20):
            assert await stage.ask() == "p/b"
            await asyncio.sleep(1)
        assert stage.health.breaker(A).standing == "closed"
        stage = Stage([A, B], dict.fromkeys(("p/a", "p/b"), [fails("server")]), retry={"base_ms": 0})
        for number in range(5):
            await asyncio.sleep(2**number)
            assert stage.health.breaker(A).standing == "closed"
            assert await stage.ask() == "server"
        assert stage.health.breaker(A).standing == "open"
        sent = len(stage.sent)
        with pytest.raises(Refused):
            await stage.ask()
        assert len(stage.sent) == sent

    simulate(main())


@pytest.mark.parametrize(
    ("ending", "is_open"),
    [
        ("server", True),
        ("overloaded", True),
        ("network", True),
        ("timeout", True),
        ("rate_limit", False),
        ("auth", False),
        ("client", False),
        ("conflict", False),
        ("killed", False),
        ("late", False),
    ],
)
def test_what_counts_against_a_provider(ending: str, is_open: bool) -> None:
    async def main() -> None:
        own = choice(None)
        stage = Stage([own], {"p/": [fails(ending)]})
        for _ in range(5):
            assert await stage.ask() == ending
        assert (stage.health.breaker(own).standing == "open") is is_open

    simulate(main())


def test_the_gateways_own_errors_do_not_count_against_the_provider() -> None:
    async def main() -> None:
        own = choice(None, gateway="acc/one")
        stage = Stage([own], {"p/": [fails("server", is_gateways=True)]}, retry={"rest_s": {"server": 0}})
        for _ in range(9):
            await stage.ask()
        assert stage.health.breaker(own).standing == "closed"

    simulate(main())


def test_without_cooldowns_no_breaker_opens() -> None:
    async def main() -> None:
        stage = Stage([A], {"p/a": [fails("server")]}, retry={"cooldowns": False})
        assert [await stage.ask() for _ in range(30)] == ["server"] * 30

    simulate(main())


async def half_open(act: Act) -> Stage:
    """Of one whose next attempt does this."""
    stage = Stage([choice(None)], {"p/": [act]})
    for _ in range(5):
        stage.health.breaker(choice(None)).failed(is_probe=False)
    await asyncio.sleep(30)
    return stage


def test_half_open_one_true_request_finds_out() -> None:
    async def main() -> None:
        stage = await half_open(Act(after_s=5))
        probe = asyncio.create_task(stage.ask())
        await asyncio.sleep(1)
        for _ in range(10):
            with pytest.raises(Refused) as caught:
                await stage.ask()
            assert dict(caught.value.headers)[b"retry-after"] == b"1"
        assert await probe == "p/"
        assert await stage.ask() == "p/"
        assert len(stage.sent) == 2

    simulate(main())


@pytest.mark.parametrize("after_s", [0, 0.5])
def test_a_probe_that_is_lost_gives_way_to_another(after_s: float) -> None:
    async def main() -> None:
        stage = await half_open(SILENT)
        for _ in range(3):
            probe = asyncio.create_task(stage.ask())
            await asyncio.sleep(after_s)
            probe.cancel()
            await asyncio.wait([probe])
        assert len(stage.sent) == 3
        assert stage.in_flight(choice(None)) == 0

    simulate(main())


@pytest.mark.parametrize("refused", [UNSAYABLE, ValueError("a mistake of ours")])
def test_a_probe_that_could_not_be_made_gives_way_too(refused: Any) -> None:
    async def main() -> None:
        stage = await half_open(Act(refused=refused))
        for _ in range(2):
            with pytest.raises(type(refused)):
                await stage.ask()

    simulate(main())


def test_a_probe_that_fails_opens_it_for_the_whole_time() -> None:
    async def main() -> None:
        stage = await half_open(fails("network"))
        assert await stage.ask() == "network"
        assert stage.health.breaker(choice(None)).waits_s() == 30

    simulate(main())


# ---- hedges


def test_a_second_attempt_is_made_beside_a_silent_one_and_the_loser_is_closed() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [SILENT], "p/b": [Act(after_s=1, stays_s=100)]})
        steps = stage.tries(hedge_s=3).steps()
        await anext(steps)
        assert stage.sent == [(BEGAN_S, "p/a"), (BEGAN_S + 3, "p/b")]
        assert stage.clock.tick_s() == BEGAN_S + 4
        assert stage.closed == ["p/a"]
        assert stage.in_flight(A) == 0 and stage.in_flight(B) == 1
        await steps.aclose()
        assert stage.closed == ["p/a", "p/b"]
        assert stage.in_flight(B) == 0
        assert await stage.left_s(A) == 0

    simulate(main())


@pytest.mark.parametrize(
    ("script", "answered", "sent"),
    [
        # one that answers in time
        ({"p/a": [Act(after_s=2.9)]}, "p/a", [(0, "p/a")]),
        # the first is quicker after all
        ({"p/a": [Act(after_s=4)], "p/b": [Act(after_s=4)]}, "p/a", [(0, "p/a"), (3, "p/b")]),
        # one fails while the other runs
        ({"p/a": [fails("auth", after_s=4)], "p/b": [Act(after_s=4)]}, "p/b", [(0, "p/a"), (3, "p/b")]),
        ({"p/a": [Act(after_s=9)], "p/b": [fails("auth", after_s=1)]}, "p/a", [(0, "p/a"), (3, "p/b")]),
        # both fail: on with the next, without a second silence
        (
            {"p/a": [fails("auth", after_s=5)], "p/b": [fails("auth", after_s=1)]},
            "p/c",
            [(0, "p/a"), (3, "p/b"), (5, "p/c")],
        ),
        # one fails before there is a second
        ({"p/a": [fails("auth", after_s=1)]}, "p/b", [(0, "p/a"), (1, "p/b")]),
        # what nobody would answer better ends both
        ({"p/a": [SILENT], "p/b": [fails("client", after_s=1)]}, "client", [(0, "p/a"), (3, "p/b")]),
        # the second cannot be made
        (
            {"p/a": [Act(after_s=9)], "p/b": [Act(refused=UNSAYABLE)], "p/c": [Act(after_s=1)]},
            "p/c",
            [(0, "p/a"), (3, "p/c")],
        ),
        # both answer in the same moment
        ({"p/a": [Act(after_s=4)], "p/b": [Act(after_s=1)]}, None, [(0, "p/a"), (3, "p/b")]),
    ],
)
def test_hedges(
    script: Mapping[str, Sequence[Act]], answered: str | None, sent: list[tuple[float, str]]
) -> None:
    stage = Stage([A, B, C], script)
    found = ask(stage, hedge_s=3)
    assert found == answered or (answered is None and found in ("p/a", "p/b"))
    assert [(at_s - BEGAN_S, name) for at_s, name in stage.sent] == sent
    assert sorted(stage.closed) == sorted(stage.names)
    assert stage.in_flight(A, B, C) == 0


@pytest.mark.parametrize(
    ("choices", "retry", "deadline_s"),
    [
        ([A], {}, 1e9),
        ([A, B], {"max_attempts": 1}, 1e9),
        ([A, B], {}, 3),
    ],
)
def test_no_hedge_where_no_second_attempt_may_be_made(
    choices: list[Choice[None]], retry: dict[str, Any], deadline_s: float
) -> None:
    async def main() -> None:
        stage = Stage(choices, {"p/a": [Act(after_s=9)]}, retry=retry)
        assert await stage.ask(hedge_s=3, deadline_s=BEGAN_S + deadline_s) == "p/a"
        assert stage.names == ["p/a"]
        assert all(stage.health.budget.take() for _ in range(50))  # nothing was spent for nobody

    simulate(main())


def test_hedges_spend_the_budget() -> None:
    async def main() -> None:
        stage = Stage([A, B], {"p/a": [Act(after_s=9)]}, retry={"budget_ratio": 0})
        for _ in range(50):
            assert stage.health.budget.take()
        assert await stage.ask(hedge_s=3) == "p/a"
        await asyncio.sleep(9)
        assert await stage.ask(hedge_s=3) == "p/b"

    simulate(main())


# ---- cancelled at any moment


class SlowStore:
    """A store that takes its time, as a shared one does: every question is a moment to be cancelled at."""

    has_marks = True

    def __init__(self, store: Any) -> None:
        self._store = store

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        await asyncio.sleep(0.01)
        outcome: Outcome = await self._store.apply(steps)
        await asyncio.sleep(0.01)
        return outcome

    async def close(self) -> None:
        await self._store.close()


SCRIPTS: list[tuple[Mapping[str, Sequence[Act]], float | None]] = [
    ({"p/a": [fails("server", after_s=0.05)], "p/b": [fails("auth")], "p/c": [Act(stays_s=0.05)]}, None),
    ({"p/a": [Act(after_s=0.3)], "p/b": [fails("rate_limit", after_s=0.1)], "p/c": [OK]}, 0.05),
    ({"p/a": [fails("server", after_s=0.2)], "p/b": [fails("server", after_s=0.1)]}, 0.05),
    ({"p/a": [SILENT], "p/b": [Act(after_s=0.1, stays_s=0.05)]}, 0.05),
]


@pytest.mark.parametrize(("script", "hedge_s"), SCRIPTS)
def test_nothing_is_left_behind_wherever_it_is_cancelled(
    script: Mapping[str, Sequence[Act]], hedge_s: float | None
) -> None:
    async def cancelled_after(at_s: float) -> bool:
        stage = Stage([A, B, C], script)
        stage.health._store = SlowStore(stage.store)
        task = asyncio.create_task(stage.ask(hedge_s=hedge_s))
        done, _ = await asyncio.wait([task], timeout=at_s)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.001)
        assert stage.in_flight(A, B, C) == 0
        assert sorted(stage.closed) == sorted(stage.names)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return bool(done)

    async def main() -> None:
        at_s = 0.0
        while not await cancelled_after(at_s):
            at_s += 0.005
        assert at_s > 0.1

    simulate(main())


@pytest.mark.parametrize(("script", "hedge_s"), SCRIPTS)
def test_a_probe_is_never_lost_wherever_it_is_cancelled(
    script: Mapping[str, Sequence[Act]], hedge_s: float | None
) -> None:
    async def cancelled_after(at_s: float) -> None:
        stage = Stage([A, B, C], script)
        stage.health._store = SlowStore(stage.store)
        breaker = stage.health.breaker(A)
        for _ in range(5):
            breaker.failed(is_probe=False)
        await asyncio.sleep(30)
        task = asyncio.create_task(stage.ask(hedge_s=hedge_s))
        await asyncio.wait([task], timeout=at_s)
        task.cancel()
        await asyncio.wait([task])
        if breaker.standing == "half-open":
            assert breaker.passes() == "probe"

    async def main() -> None:
        for number in range(100):
            await cancelled_after(number * 0.005)

    simulate(main())
