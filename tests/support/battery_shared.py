"""Rows of the battery: limits and budgets of several gateways, and what befalls the Redis that they share."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import aiohttp
import redis.asyncio

from support.battery import Bench, Row
from support.gateway import Gateway
from support.redis_server import BINARY, RedisServer
from support.relay import Relay
from support.together import AWAY, BACK, Clients, Told, most_at_once

LIMIT: Final = 60
TOKENS: Final = 3_000
ADDED_S: Final = 0.25
"""So much longer a request may take while the store goes away, of a hundred all but one."""
BACK_S: Final = 5.0
TOLERATED: Final = 1.02
_KEYS: Final = {
    "free": "",
    "requests": f"rpm = {LIMIT}",
    "tokens": f"tpm = {TOKENS}",
    "places": "concurrency = 8",
    "away": f"rpm = {LIMIT}",
    "back": f"rpm = {LIMIT}",
    "spending": "budget_usd = {budget}",
}
_CONFIG: Final = """
model_prices = {steady = {input = 1000.0, output = 0.0}}
[server]
port = 0
[state]
url = "{redis}"
gateways = {gateways}
[endpoints.all]
kind = "gateway"
[providers.steady]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-steady"]
models = ["steady"]
[providers.slow]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-slow"]
models = ["slow"]
headers = {x-demo-fault = "slow:1500"}
"""


def _config_of(url: str, gateways: int, budget_usd: float) -> str:
    keys = "".join(
        f'[[auth_keys]]\nname = "{name}"\nkey = "sk-proxy-{name}"\n{limit}\n' for name, limit in _KEYS.items()
    )
    config = (_CONFIG + keys).replace("{redis}", url).replace("{gateways}", str(gateways))
    return config.replace("{budget}", f"{budget_usd}")


@dataclass(slots=True)
class Shared:
    """Gateways that share a Redis server, which is reached through a relay."""

    redis: RedisServer
    relay: Relay
    gateways: list[Gateway]
    clients: Clients

    def said(self, words: str) -> list[int]:
        return [one.output().count(words) for one in self.gateways]

    async def until_said(self, words: str, timeout_s: float = 40) -> float:
        """Until each gateway has, and how long that took."""
        began_s = time.monotonic()
        while min(self.said(words)) < 1:
            assert time.monotonic() < began_s + timeout_s, f"nobody says: {words}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began_s

    async def many(self, count: int, key: str, at_once: int = 16) -> list[Told]:
        """So many requests, a few of them at a time."""
        numbers = iter(range(count))
        told: list[Told] = []

        async def client() -> None:
            for number in numbers:
                told.append(await self.clients.ask(number, key=f"sk-proxy-{key}", model="steady"))

        await asyncio.gather(*(client() for _ in range(at_once)))
        return told

    async def until_refused(self, key: str, at_once: int = 16) -> list[Told]:
        """What was let in of some clients, and then of one, which finds nothing under way: it comes again,
        since what an exchange used is told after its answer."""
        told: list[Told] = []

        async def client(number: int) -> None:
            while (
                one := await self.clients.ask(number, key=f"sk-proxy-{key}", model="steady")
            ).status == 200:
                told.append(one)

        await asyncio.gather(*map(client, range(at_once)))
        for _ in range(10):
            await client(0)
            await asyncio.sleep(0.1)
        return told


@asynccontextmanager
async def shared(
    bench: Bench, gateways: int = 2, *, budget_usd: float = 1.0, is_up: bool = True, is_direct: bool = False
) -> AsyncIterator[Shared]:
    """`is_direct`: not through the relay, which is as busy as the clients, and may be taken for a server that
    is away."""
    assert BINARY is not None, "not run: there is no redis-server"
    bench.provider.requests.clear()
    server = RedisServer(bench.folder)
    if is_up:
        await asyncio.to_thread(server.start)
    relay = Relay(server.port)
    port = server.port if is_direct else relay.port
    config = _config_of(f"redis://:right@127.0.0.1:{port}", gateways, budget_usd)
    if is_up:
        await _command(server, "CONFIG", "SET", "requirepass", "right")
    timeout = aiohttp.ClientTimeout(total=60)
    made: list[Gateway] = []
    try:
        starting = (
            asyncio.to_thread(bench.started, config, f"gateway-{number}") for number in range(gateways)
        )
        made += await asyncio.gather(*starting)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            yield Shared(server, relay, made, Clients(made, session))
    finally:
        await asyncio.gather(*(asyncio.to_thread(one.stop) for one in made))
        relay.close()
        server.kill()


async def _command(server: RedisServer, *words: str, password: str | None = None) -> None:
    async with redis.asyncio.Redis(port=server.port, password=password) as asked:
        await asked.execute_command(*words)


def _statuses(told: Iterable[Told]) -> Counter[int]:
    return Counter(one.status for one in told)


# -- limits and budgets


async def limits(bench: Bench) -> str:
    figures = []
    for gateways in (1, 4, 8):
        async with shared(bench, gateways, is_direct=True) as made:
            requests = _statuses(await made.many(4 * LIMIT, "requests"))
            tokens = await made.until_refused("tokens")
            used = sum(one.json()["usage"]["total_tokens"] for one in tokens)
            bench.provider.requests.clear()
            await made.clients.all_at_once(64, key="sk-proxy-places", model="slow")
            places = most_at_once(bench.provider.requests)
            away = sum(made.said(AWAY))
        told = f", away {away} times" if away else ""
        figures.append(f"{gateways}: {requests[200]} requests, {used} tokens, {places} at once{told}")
        assert requests == {200: LIMIT, 429: 3 * LIMIT}, figures
        assert TOKENS * 0.98 <= used <= TOKENS * TOLERATED, figures
        assert places == 8, figures
    return f"of {LIMIT} requests, {TOKENS} tokens, 8 at once, by number of gateways: {'; '.join(figures)}"


async def budget(bench: Bench) -> str:
    """Each task asks until it is refused; then, with nothing under way, what is left is asked for."""
    gateways, tasks, most_usd, cost_usd = 8, 200, 50.0, 0.025
    said = " ".join(["word"] * 25)
    async with shared(bench, gateways, budget_usd=most_usd, is_direct=True) as made:
        ask = partial(made.clients.ask, key="sk-proxy-spending", model="steady", said=said)
        first = await ask(0)
        guess_usd = most_usd - float(first.headers["x-llmitm-budget-remaining-usd"])
        told = [first]

        async def task(number: int) -> None:
            while True:
                told.append(await ask(number))
                if told[-1].status != 200:
                    return

        async with asyncio.TaskGroup() as running:
            for number in range(gateways * tasks):
                running.create_task(task(number))
        under_load = _statuses(told)
        for number in range(gateways):  # nothing is held any more
            while (last := await ask(number)).status == 200:
                told.append(last)
        statuses = _statuses(told)
    spent_usd = statuses[200] * cost_usd
    figures = (
        f"{gateways} x {tasks} tasks: {spent_usd:.3f} of {most_usd:g} USD in {statuses[200]} requests,"
        f" {under_load[200]} of them under load; left is less than a request is guessed at ({guess_usd:.3f})"
    )
    assert set(statuses) <= {200, 429}, statuses
    assert spent_usd <= most_usd, figures
    assert spent_usd > most_usd - guess_usd, figures
    return figures


# -- what befalls Redis


@dataclass(slots=True)
class Pace:
    """Clients without limits that ask again and again; how long each answer took, by phase."""

    clients: Clients
    took_s: dict[str, list[float]] = field(default_factory=dict)
    wrong: Counter[int] = field(default_factory=Counter)
    phase: str = "before"
    is_over: bool = False

    async def client(self, number: int) -> None:
        while not self.is_over:
            told = await self.clients.ask(number, key="sk-proxy-free", model="steady")
            self.took_s.setdefault(self.phase, []).append(told.took_s)
            if told.status != 200:
                self.wrong[told.status] += 1

    async def more(self, count: int, phase: str) -> None:
        self.phase = phase
        while len(self.took_s.get(phase, ())) < count:
            await asyncio.sleep(0.01)

    def p99_s(self, phase: str) -> float:
        took_s = sorted(self.took_s[phase])
        return took_s[len(took_s) * 99 // 100]


type Act = Callable[[Shared], Awaitable[None]]


async def _befalls(bench: Bench, fault: Act, remedy: Act, *, least_s: float = 0, is_up: bool = True) -> str:
    """`fault` under load, for at least so long, then `remedy`."""
    async with shared(bench, is_up=is_up) as made:
        pace = Pace(made.clients)
        running = [asyncio.create_task(pace.client(number)) for number in range(4)]
        try:
            await pace.more(600, "before")
            began_s = time.monotonic()
            pace.phase = "away"
            await fault(made)
            await made.until_said(AWAY)
            await pace.more(600, "away")
            pace.phase = "with others"
            away = _statuses(await made.many(4 * LIMIT, "away"))
            await asyncio.sleep(max(began_s + least_s - time.monotonic(), 0))
            await remedy(made)
            back_s = await made.until_said(BACK)
            back = _statuses(await made.many(4 * LIMIT, "back"))
        finally:
            pace.is_over = True
            await asyncio.gather(*running)
        times = max(made.said(AWAY))
    added_s = pace.p99_s("away") - pace.p99_s("before")
    figures = (
        f"{sum(map(len, pace.took_s.values()))} requests, p99 {pace.p99_s('before') * 1000:.0f} ms before, "
        f"{pace.p99_s('away') * 1000:.0f} while away, the slowest {max(pace.took_s['away']) * 1000:.0f}; "
        f"shared again after {back_s:.1f} s; "
        f"of a limit of {LIMIT}: {away[200]} while away, {back[200]} then"
    )
    assert not pace.wrong, f"{pace.wrong}; {figures}"
    assert added_s <= ADDED_S, figures
    assert back_s < BACK_S, figures
    assert away == {200: LIMIT, 429: 3 * LIMIT} and back == away, figures
    assert times <= 2, f"away {times} times; {figures}"
    return figures


async def _start(made: Shared) -> None:
    await asyncio.to_thread(made.redis.start)
    await _command(made.redis, "CONFIG", "SET", "requirepass", "right")


async def _kill(made: Shared) -> None:
    made.redis.kill()


async def _freeze(made: Shared) -> None:
    made.redis.freeze()


async def _thaw(made: Shared) -> None:
    made.redis.thaw()


async def _other_password(made: Shared) -> None:
    await _command(made.redis, "CONFIG", "SET", "requirepass", "other", password="right")
    await _command(made.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", password="other")


async def _right_password(made: Shared) -> None:
    await _command(made.redis, "CONFIG", "SET", "requirepass", "right", password="other")


async def _full(made: Shared) -> None:
    """Nobody notices who only looks."""
    await _command(made.redis, "CONFIG", "SET", "maxmemory", "1", password="right")
    await made.many(4, "requests")


async def _not_full(made: Shared) -> None:
    await _command(made.redis, "CONFIG", "SET", "maxmemory", "0", password="right")


async def _slow(made: Shared) -> None:
    made.relay.delay_s = 2.0


async def _quick(made: Shared) -> None:
    made.relay.delay_s = 0.0


async def _nothing(made: Shared) -> None:
    pass


async def replaced(bench: Bench) -> str:
    """By an empty one, at once: gateways may notice, and what was spent goes on."""
    async with shared(bench, budget_usd=1.0) as made:
        ask = partial(made.clients.ask, key="sk-proxy-spending", model="steady", said="word " * 100)
        spent = [await ask(number) for number in range(6)]
        assert _statuses(spent) == {200: 6}
        before = _statuses(await made.many(4 * LIMIT, "requests"))
        await asyncio.to_thread(made.redis.kill)
        await made.many(20, "free")
        await _start(made)
        began_s = time.monotonic()
        await made.until_said(BACK)
        back_s = time.monotonic() - began_s
        after = _statuses(await made.many(4 * LIMIT, "requests"))
        spent += [await ask(number) for number in range(8)]
        total = _statuses(spent)[200]
    figures = (
        f"shared again after {back_s:.1f} s; {total} of 10 requests of a budget in all, "
        f"{before[200]} of {LIMIT} requests a minute before, {after[200]} after"
    )
    assert back_s < BACK_S and 9 <= total <= 10, figures
    assert before[200] == LIMIT and after[200] <= LIMIT, figures
    return figures


async def evicting(bench: Bench) -> str:
    """Others fill the same server, which drops what was used longest ago."""
    async with shared(bench) as made:
        await made.many(20, "free")
        for name, value in (("maxmemory", "3mb"), ("maxmemory-policy", "allkeys-lru")):
            await _command(made.redis, "CONFIG", "SET", name, value, password="right")
        passed: Counter[int] = Counter()
        async with redis.asyncio.Redis(port=made.redis.port, password="right") as other:
            for turn in range(12):
                for number in range(20):
                    await other.set(f"other {turn} {number}", "x" * 20_000)
                passed += _statuses(await made.many(20, "requests"))
            evicted = (await other.info("stats"))["evicted_keys"]
        away = sum(made.said(AWAY))
    figures = (
        f"{passed[200]} of {LIMIT} in 240 requests, while {evicted} keys were dropped; away {away} times"
    )
    assert evicted > 0 and set(passed) <= {200, 429}, figures
    assert passed[200] <= LIMIT * TOLERATED, figures
    return figures


ROWS: Final = (
    Row("limits: 1, 4, 8 gateways", "the same limits asked for four times over through all", limits),
    Row("budget: 8 gateways", "200 tasks each ask until they are refused", budget),
    Row(
        "Redis: down at the start",
        "gateways start without it; it comes under load",
        lambda bench: _befalls(bench, _nothing, _start, is_up=False),
    ),
    Row("Redis: killed", "under load; started again", lambda bench: _befalls(bench, _kill, _start)),
    Row(
        "Redis: stands still",
        "SIGSTOP under load, for 30 s",
        lambda bench: _befalls(bench, _freeze, _thaw, least_s=30),
    ),
    Row(
        "Redis: another password",
        "set under load, connections cut; set back",
        lambda bench: _befalls(bench, _other_password, _right_password),
    ),
    Row("Redis: empty", "killed and replaced by an empty one", replaced),
    Row(
        "Redis: full, noeviction",
        "it refuses to write, under load; has room again",
        lambda bench: _befalls(bench, _full, _not_full),
    ),
    Row("Redis: full, allkeys-lru", "others fill it while a limit is used up", evicting),
    Row(
        "Redis: slow",
        "each answer takes 4 s more, under load",
        lambda bench: _befalls(bench, _slow, _quick, least_s=12),
    ),
)
