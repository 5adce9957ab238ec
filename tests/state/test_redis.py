"""A real redis-server: shared exactly, left clean, and every way of not answering is told in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import pytest
import redis.asyncio

from llmitm.secret import Secret
from llmitm.state.place import Place
from llmitm.state.redis import LANES, MOST_TOGETHER, TIMEOUT_S, RedisStore
from llmitm.state.store import Count, Lease, Mark, Step, Store, StoreBegunAnew, StoreUnavailable, Window
from support.clocks import HandClock
from support.redis_server import RedisServer
from support.stores import redis_store

AT_MOST = LANES * MOST_TOGETHER
SLOW_S = 1.0
"""What a busy machine may add to a time."""


def keys_of(server: RedisServer) -> dict[str, int]:
    """Each key but that of the server's life, and the milliseconds until it is dropped (-1: never)."""
    with redis.Redis(port=server.port) as asked:
        return {key.decode(): asked.pttl(key) for key in asked.keys("*") if not key.endswith(b":life")}


async def value_of(store: Store, *steps: Step) -> tuple[int, ...]:
    return (await store.apply(steps)).values


async def test_every_key_goes_by_itself(server: RedisServer) -> None:
    store = redis_store(server)
    took = Lease(key="places", holder="x", ttl_s=8)
    await store.apply([Count(key="for ever"), Count(key="minute", ttl_s=60), Window(key="rpm")])
    await store.apply([took, Lease(key="places", holder="y", ttl_s=3), Mark(key="rest", value=1, ttl_s=9)])
    await store.apply([Mark(key="dead", value=1)])
    await store.apply([Lease(key="places", holder="z", ttl_s=500), Count(key="full", limit=0)])  # refused
    most_s = {
        "llmitm:{state}:c:for ever": 30 * 86_400,
        "llmitm:{state}:c:minute": 61,
        "llmitm:{state}:w:1000000:rpm": 62,
        "llmitm:{state}:l:places": 9,
        "llmitm:{state}:m:rest": 10,
        "llmitm:{state}:m:dead": 30 * 86_400,
    }
    left_ms = keys_of(server)
    assert left_ms.keys() == most_s.keys()
    for key, at_most_s in most_s.items():
        assert (at_most_s - 5) * 1000 < left_ms[key] <= at_most_s * 1000, key
    await store.close()


async def test_what_is_empty_leaves_no_key(server: RedisServer) -> None:
    for steps in (
        [Count(key="a"), Count(key="a", by=-1)],
        [Window(key="a"), Window(key="a", by=-1)],
        [Lease(key="a", holder="x"), Lease(key="a", holder="x", is_over=True)],
        [Mark(key="a", value=1), Mark(key="a", is_over=True)],
        [Count(key="a", by=0, ttl_s=1), Window(key="a", by=0), Mark(key="a")],
        [Count(key="b", ttl_s=5), Window(key="b"), Mark(key="b", value=1), Count(key="c", limit=0)],
        [Lease(key="b", holder="x"), Count(key="c", limit=0)],
    ):
        store = redis_store(server)
        await store.apply(steps)
        for step in steps[:2]:
            await store.apply([step])
        assert keys_of(server) == {} or steps[-1].limit == 0, steps  # type: ignore[union-attr]
        server.flush()
        await store.close()


async def test_time_is_the_servers(server: RedisServer) -> None:
    store = redis_store(server)
    steps = [
        Window(key="w", by=3, limit=3, window_s=0.3),
        Count(key="c", ttl_s=0.1),
        Mark(key="m", value=1, ttl_s=0.1),
    ]
    began_s = time.monotonic()
    assert await value_of(store, *steps) == (3, 1, 1)
    wait_s = (await store.apply(steps)).wait_s
    assert wait_s is not None
    assert 0.2 < wait_s <= 0.305
    while (await store.apply(steps)).refused is not None:
        assert time.monotonic() - began_s < wait_s + SLOW_S
    assert time.monotonic() - began_s >= 0.3
    await store.close()


async def test_a_clock_that_went_back_holds_nothing_up(shared_server: RedisServer, clock: HandClock) -> None:
    """Else a window would stay full for as long as the clock was ahead."""
    shared_server.flush()
    store = redis_store(shared_server, clock)
    await store.apply([Window(key="w", by=5, limit=5)])
    clock.at_s -= 600
    outcome = await store.apply([Window(key="w", limit=5)])
    assert (outcome.refused, outcome.wait_s) == (0, 61)
    clock.at_s += 61
    assert await value_of(store, Window(key="w", limit=5)) == (1,)
    await store.close()


async def test_two_stores_share_a_window_exactly(shared_server: RedisServer, clock: HandClock) -> None:
    shared_server.flush()
    stores = [redis_store(shared_server, clock), redis_store(shared_server, clock)]
    limit, admitted = 50, []

    async def client(number: int) -> None:
        for turn in range(3):
            outcome = await stores[(number + turn) % 2].apply(
                [Window(key="w", limit=limit), Count(key="all")]
            )
            if outcome.refused is None:
                admitted.append(clock.at_s)

    for _ in range(4):
        admitted.clear()
        await asyncio.gather(*(client(number) for number in range(64)))
        assert len(admitted) == limit
        clock.at_s += 30
        await asyncio.gather(*(client(number) for number in range(64)))
        assert len(admitted) == limit
        clock.at_s += 31
    assert await value_of(stores[0], Count(key="all", by=0)) == (4 * limit,)
    for store in stores:
        await store.close()


async def test_two_stores_share_places_exactly(shared_server: RedisServer) -> None:
    shared_server.flush()
    stores = [redis_store(shared_server), redis_store(shared_server)]
    held: set[int] = set()
    most = 0

    async def client(number: int) -> None:
        nonlocal most
        store, holder = stores[number % 2], f"{number}"
        while (await store.apply([Lease(key="l", holder=holder, limit=5)])).refused is not None:
            pass
        held.add(number)
        most = max(most, len(held))
        await store.apply([Count(key="served")])
        held.discard(number)
        await store.apply([Lease(key="l", holder=holder, is_over=True)])

    async with asyncio.timeout(30):
        await asyncio.gather(*(client(number) for number in range(64)))
    assert most == 5
    looks = Count(key="served", by=0), Lease(key="l", holder="", is_over=True)
    assert await value_of(stores[0], *looks) == (64, 0)
    for store in stores:
        await store.close()


async def test_answers_go_to_those_who_asked(shared_server: RedisServer) -> None:
    shared_server.flush()
    store = redis_store(shared_server)
    numbers = range(1, 600)
    found = await asyncio.gather(
        *(value_of(store, Count(key=f"{n}", by=n), Count(key="all")) for n in numbers)
    )
    assert [one[0] for one in found] == list(numbers)
    assert sorted(one[1] for one in found) == list(numbers)
    await store.close()


async def test_few_connections_carry_many_calls(server: RedisServer) -> None:
    store = redis_store(server)
    await asyncio.gather(*(store.apply([Count(key="a")]) for _ in range(500)))
    with redis.Redis(port=server.port) as asked:
        names = [one["name"] for one in asked.client_list()]
    assert 1 <= names.count("llmitm") <= LANES
    await store.close()


async def test_a_server_that_began_anew_is_taught_again(server: RedisServer) -> None:
    store = redis_store(server)
    assert await value_of(store, Count(key="a")) == (1,)
    with redis.Redis(port=server.port) as asked:
        asked.script_flush()
    found = await asyncio.gather(*(value_of(store, Count(key="a")) for _ in range(9)))
    assert sorted(found) == [(number,) for number in range(2, 11)]
    server.kill()
    server.start()
    for _ in range(5):
        await asyncio.sleep(0)  # the loop sees that connections were closed
    for _ in range(2):
        with pytest.raises(StoreBegunAnew, match="has begun anew, with nothing"):  # once, and did nothing
            await store.apply([Count(key="a")])
        assert await value_of(store, Count(key="a")) == (1,)
        server.flush()
    await store.close()


async def test_all_that_are_under_way_are_told_that_it_began_anew(server: RedisServer) -> None:
    stores = [redis_store(server), redis_store(server)]
    for store in stores:
        await store.apply([Count(key="a")])
    server.flush()
    for store in stores:
        asked = (store.apply([Count(key="a")]) for _ in range(2 * AT_MOST))
        assert {type(one) for one in await asyncio.gather(*asked, return_exceptions=True)} == {StoreBegunAnew}
    for store in stores:
        await store.apply([Count(key="a")])
        await store.close()
    assert keys_of(server).keys() == {"llmitm:{state}:c:a"}


class AllAtOnce:
    """A driver whose answers all come in one turn of the loop, when `gate` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.sent = 0

    async def script_load(self, script: str) -> None: ...

    async def execute_command(self, *words: object) -> bytes:
        if words[0] != "EVALSHA":
            return b"life"
        self.sent += 1
        await self.gate.wait()
        return b"[[-1,-1,1,-1]]"

    async def aclose(self, *, close_connection_pool: bool) -> None: ...


async def test_who_asks_in_the_turn_in_which_all_lanes_end_is_sent_too() -> None:
    client = AllAtOnce()
    store = RedisStore(Place.of(Secret("redis://127.0.0.1:9")), client=cast("redis.asyncio.Redis", client))

    async def twice() -> None:
        await store.apply([Count(key="a")])
        await store.apply([Count(key="a")])

    asking: list[asyncio.Task[object]] = [asyncio.create_task(twice())]
    for _ in range(LANES):  # each in a lane of its own
        for _ in range(9):
            await asyncio.sleep(0)
        asking.append(asyncio.create_task(value_of(store, Count(key="a"))))
    assert client.sent == LANES
    client.gate.set()
    await asyncio.gather(*asking)
    await store.close()


PATIENT_S = 1.0
"""What answers after all has to answer many times: longer than a machine that is busy stands still."""


async def test_who_gives_up_gets_nobody_elses_answer(server: RedisServer) -> None:
    store = redis_store(server, timeout_s=PATIENT_S)
    await store.apply([Count(key="a")])
    server.freeze()
    began_s = time.monotonic()
    outcomes = await asyncio.gather(
        *(store.apply([Count(key="a")]) for _ in range(2 * AT_MOST)), return_exceptions=True
    )
    took_s = time.monotonic() - began_s
    server.thaw()
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert PATIENT_S <= took_s < PATIENT_S + SLOW_S
    # who waited for a turn is not sent
    assert (await value_of(store, Count(key="a")))[0] <= 2 + AT_MOST
    for number in range(1, 50):
        assert await value_of(store, Count(key="b", by=number), Count(key=f"{number}")) == (
            number * (number + 1) // 2,
            1,
        )
    await store.close()


async def test_a_process_that_stood_still_does_not_take_the_server_for_away(server: RedisServer) -> None:
    store = redis_store(server, timeout_s=TIMEOUT_S)
    await store.apply([Count(key="a")])
    for number in range(2, 4):
        asking = asyncio.create_task(value_of(store, Count(key="a")))
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(3 * TIMEOUT_S)  # noqa: ASYNC251
        assert await asking == (number,)
    await store.close()


async def test_a_process_that_is_busy_does_not_take_the_server_for_away(server: RedisServer) -> None:
    """Each turn of its loop takes so long that it makes few of them within the timeout."""
    loop = asyncio.get_running_loop()
    store = redis_store(server, timeout_s=TIMEOUT_S)
    turns = 0

    def work() -> None:
        nonlocal turns
        time.sleep(TIMEOUT_S / 6)
        turns += 1
        if turns < 25:
            loop.call_soon(work)

    loop.call_soon(work)
    assert await value_of(store, Count(key="a")) == (1,)  # with all that a connection takes
    assert turns > 6
    await asyncio.gather(*(store.apply([Count(key="b")]) for _ in range(200)))
    assert await value_of(store, Count(key="b", by=0)) == (200,)
    turns = 25
    server.freeze()
    with pytest.raises(StoreUnavailable):
        await store.apply([Count(key="a")])
    await store.close()


@pytest.mark.parametrize(
    ("options", "user_and_password", "told"),
    [
        (["--requirepass", "right"], "", "refuses the user name or the password"),
        (["--requirepass", "right"], ":hunter22@", "refuses the user name or the password"),
        (["--requirepass", "right"], "me:hunter22@", "refuses the user name or the password"),
        (
            ["--user", *["me", "on", ">hunter22", "~*", "-@all", "+ping"]],
            "me:hunter22@",
            "does not permit this user to use the keys llmitm:* or scripts",
        ),
        (["--maxmemory", "1", "--maxmemory-policy", "noeviction"], "", "is out of memory"),
        (["--databases", "1"], "/3", "answers with an error: DB index is out of range"),
    ],
)
async def test_what_is_wrong_is_told_without_secrets(
    start_server: Callable[..., RedisServer], options: list[str], user_and_password: str, told: str
) -> None:
    server = start_server(*options)
    secret, at, database = user_and_password.rpartition("@")
    place = Place.of(Secret(f"redis://{secret}{at}127.0.0.1:{server.port}{database}"))
    store = RedisStore(place, timeout_s=5)
    with pytest.raises(StoreUnavailable) as caught:
        await store.apply([Count(key="a")])
    assert str(caught.value) == f"{place.name} {told}"
    assert "hunter" not in repr(caught.value)
    await store.close()


async def test_the_right_password_is_taken(start_server: Callable[..., RedisServer]) -> None:
    server = start_server("--requirepass", "p@ss/w#rd")
    store = RedisStore(Place.of(Secret(f"redis://:p%40ss%2Fw%23rd@127.0.0.1:{server.port}")), timeout_s=5)
    assert await value_of(store, Count(key="a")) == (1,)
    await store.close()


async def test_nobody_there(server: RedisServer) -> None:
    server.kill()
    store = redis_store(server)
    with pytest.raises(StoreUnavailable, match=r"^redis://127.0.0.1:\d+/0 cannot be reached: "):
        await store.apply([Count(key="a")])
    await store.close()
