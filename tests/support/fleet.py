"""Three gateways behind one balancer, with one Redis and one PostgreSQL, while they fail: `just fleet-proof`.

Clients ask for more than each limit gives out. Under that load one gateway is killed and comes back, one is
cut off from Redis for a while, one reads its configuration anew again and again, every other one broken.
Afterwards: each answer belongs to its question, limits held, and the ledger has a row for each answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final

import aiohttp
import asyncpg
import httpx

from llmitm.demo.received import Received
from llmitm.exchange import Dialect
from support import postgres_server, redis_server
from support.backstage import Backstage
from support.balancers import BINARIES, Balancer, absent
from support.gateway import Gateway
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.relay import Relay
from support.shared_proof import ON_THE_WAY_S, WINDOW_S, Found, most_within
from support.together import AWAY, BACK, Clients, Told, most_at_once

NAMES: Final = ("one", "two", "three")
REQUESTS: Final = 300
TOKENS: Final = 4_000
PLACES: Final = 8
EXCHANGE_S: Final = 120.0
"""Longer than the places that a killed gateway held are taken."""
FREE_S: Final = 32.0
"""After that they are free again."""
AWAY_S: Final = 2.0
"""Around what a gateway says of itself: what it admitted then may reach the provider later."""
FLUSH_S: Final = 3.0
"""What a killed gateway may not have written yet, on a busy machine."""
START_S: Final = 90.0
"""Three at once on a busy machine."""
TOLERATED: Final = 1.02
UNUSED: Final = 0.9
"""Less than that would be a limit that nobody reached."""
CONFIG: Final = f"""
[server]
port = {{port}}
trusted_proxies = ["127.0.0.1/32"]
[timeouts]
exchange_s = {EXCHANGE_S}
[state]
url = "{{redis}}"
while_away = "{{while_away}}"
[ledger]
url = "{{postgres}}"
[endpoints.all]
kind = "gateway"
[providers.quick]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-requests"]
models = ["requests", "free"]
headers = {{{{x-gateway = "{{name}}"}}}}
[providers.counted]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-tokens"]
models = ["tokens"]
headers = {{{{x-gateway = "{{name}}"}}}}
[providers.slow]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-places"]
models = ["places"]
headers = {{{{x-gateway = "{{name}}", x-demo-fault = "slow:400"}}}}
[providers.paced]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-streams"]
models = ["streams"]
headers = {{{{x-gateway = "{{name}}", x-demo-fault = "pace:40"}}}}
[[auth_keys]]
name = "requests"
key = "sk-proxy-requests"
rpm = {REQUESTS}
[[auth_keys]]
name = "tokens"
key = "sk-proxy-tokens"
tpm = {TOKENS}
[[auth_keys]]
name = "places"
key = "sk-proxy-places"
concurrency = {PLACES}
[[auth_keys]]
name = "free"
key = "sk-proxy-free"
[[auth_keys]]
name = "streams"
key = "sk-proxy-streams"
"""
CLIENTS: Final = {"requests": 12, "tokens": 8, "places": 20, "free": 6, "streams": 12}
NOT_COUNTED: Final = b"cannot be counted at the moment"
_MARK = re.compile(rb"question-(\d+)-asked")
_DIALECTS: Final = tuple(Dialect)


class Fleet:
    """Everything that runs. Use it as a context manager."""

    def __init__(self, folder: Path, balancer: str, while_away: str) -> None:
        self._folder = folder
        self._kind = balancer
        self.while_away = while_away
        self._stack = ExitStack()
        self._started = 0
        self.gateways: dict[str, Gateway] = {}
        self.every: list[tuple[str, Gateway]] = []
        """Those that are gone, too."""

    def __enter__(self) -> Fleet:
        with self._stack:
            redis = RedisServer(self._folder)
            redis.start()
            self._stack.callback(redis.kill)
            self.postgres = PostgresServer()
            self._stack.callback(self.postgres.close)
            self.postgres.start()
            self.ledger = asyncio.run(self.postgres.database())
            self.relay = Relay(redis.port)
            self._stack.callback(self.relay.close)
            self.provider = self._stack.enter_context(Backstage(requests_kept=1_000_000))
            ways = {"one": redis.port, "two": self.relay.port, "three": redis.port}
            self._ports = {name: _free_port() for name in NAMES}
            self.configs = {
                name: CONFIG.format(
                    name=name,
                    port=self._ports[name],
                    redis=f"redis://127.0.0.1:{ways[name]}",
                    postgres=self.ledger,
                    while_away=self.while_away,
                    url=self.provider.url,
                )
                for name in NAMES
            }
            made = [self._made(name) for name in NAMES]
            for one in made:
                one.wait_for("listening on", START_S)
                one.start()
            folder = self._folder / "balancer"
            folder.mkdir()
            self.balancer = self._stack.enter_context(Balancer(self._kind, folder, [*self._ports.values()]))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _made(self, name: str) -> Gateway:
        self._started += 1
        folder = self._folder / f"{name}-{self._started}"
        folder.mkdir()
        gateway = self.gateways[name] = Gateway(self.configs[name], folder, host="serve")
        self.every.append((name, gateway))
        self._stack.callback(gateway.stop)
        return gateway

    def start(self, name: str) -> None:
        gateway = self._made(name)
        gateway.wait_for("listening on", START_S)
        gateway.start()

    def kill(self, name: str) -> None:
        self.gateways[name].process.kill()
        self.gateways[name].process.wait()

    def stop(self) -> None:
        """All gateways, as their services would: what they keep is written."""
        for one in self.gateways.values():
            one.process.send_signal(signal.SIGTERM)
        for one in self.gateways.values():
            one.stop()

    @property
    def arrived(self) -> list[Received]:
        return list(self.provider.provider.requests)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass(slots=True, kw_only=True)
class Seen:
    """One question and what came of it."""

    number: int
    key: str
    began_s: float
    told: Told | None = None
    """None: the connection broke."""
    error: str = ""
    ended_s: float = 0.0

    @property
    def is_answered(self) -> bool:
        return self.told is not None and self.told.status == 200 and self.is_whole

    @property
    def is_whole(self) -> bool:
        """A stream has its end; other answers have a length."""
        return self.told is not None and (self.key != "streams" or b"data: [DONE]" in self.told.body)

    @property
    def is_its_own(self) -> bool:
        """Every mark in the answer is that of the question, and there is one."""
        assert self.told is not None
        return set(_MARK.findall(self.told.body)) == {b"%d" % self.number}


@dataclass(slots=True)
class Load:
    """Clients that ask without a pause, and wait as long as they are told to."""

    clients: Clients
    seen: list[Seen] = field(default_factory=list)
    is_over: bool = False

    async def client(self, key: str) -> None:
        while not self.is_over:
            one = Seen(number=len(self.seen), key=key, began_s=time.monotonic())
            self.seen.append(one)
            try:
                one.told = await self._ask(one)
            except (aiohttp.ClientError, TimeoutError) as error:
                one.error = type(error).__name__
            one.ended_s = time.monotonic()
            if one.told is None or one.told.status >= 500:
                await asyncio.sleep(0.1)
            elif one.told.status == 429:
                wait_s = int(one.told.headers.get("retry-after-ms", "1000")) / 1000
                await asyncio.sleep(min(wait_s, 5.0))

    async def _ask(self, one: Seen) -> Told:
        is_stream = one.key == "streams"
        dialect = Dialect.OPENAI_CHAT if is_stream else _DIALECTS[one.number % len(_DIALECTS)]
        return await self.clients.ask(
            one.number,
            key=f"sk-proxy-{one.key}",
            model=one.key,
            dialect=dialect,
            said=f"What of question-{one.number}-asked by a client that wants {one.key}?",
            stream=is_stream,
        )


@dataclass(slots=True)
class Happened:
    """When, by the monotonic clock."""

    killed_s: float = 0.0
    cut_s: float = 0.0
    back_s: float = 0.0
    reloads: int = 0
    refused_reloads: int = 0


async def trouble(fleet: Fleet, seconds: float) -> Happened:
    """A calm quarter, then a quarter each for the kill, the cut and the reloads."""
    happened, quarter_s = Happened(), seconds / 4
    await asyncio.sleep(quarter_s)
    happened.killed_s = time.monotonic()
    await asyncio.to_thread(fleet.kill, "three")
    print("three is killed", flush=True)
    await asyncio.sleep(quarter_s / 3)
    await asyncio.to_thread(fleet.start, "three")
    print("three is back", flush=True)
    await asyncio.sleep(quarter_s * 2 / 3)
    happened.cut_s = time.monotonic()
    await asyncio.to_thread(fleet.relay.cut)
    print("two is cut off from Redis", flush=True)
    await asyncio.sleep(quarter_s / 2)
    await asyncio.to_thread(fleet.relay.mend)
    await asyncio.to_thread(fleet.gateways["two"].wait_for, "is used again after", 30.0)
    happened.back_s = time.monotonic()
    print("two has Redis again", flush=True)
    await asyncio.sleep(quarter_s / 2)
    until_s = time.monotonic() + quarter_s
    one = fleet.gateways["one"]
    while time.monotonic() < until_s:
        happened.reloads += 1
        is_broken = happened.reloads % 2 == 0
        more = "[broken" if is_broken else f"[routing.aliases]\nreload-{happened.reloads} = 'free'\n"
        one.config_path.write_text(fleet.configs["one"] + more)
        one.process.send_signal(signal.SIGHUP)
        happened.refused_reloads += is_broken
        await asyncio.sleep(1.0)
    return happened


async def under_load(fleet: Fleet, seconds: float) -> tuple[list[Seen], Happened]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(Clients([fleet.balancer], session))
        running = [
            asyncio.create_task(load.client(key)) for key, count in CLIENTS.items() for _ in range(count)
        ]
        try:
            happened = await trouble(fleet, seconds)
        finally:
            load.is_over = True
            await asyncio.gather(*running)
    return load.seen, happened


async def rows_of(ledger: str) -> dict[str, int | None]:
    """The status of each exchange in the ledger, by its id."""
    connection = await asyncpg.connect(ledger)
    try:
        return {
            one["id"]: one["status"] for one in await connection.fetch("SELECT id, status FROM exchanges")
        }
    finally:
        await connection.close()


def alone(fleet: Fleet) -> dict[str, list[tuple[float, float]]]:
    """When each gateway counted by itself, as it says, by the monotonic clock. On a busy machine that is also
    one that was not cut off: Redis did not answer in its time."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    ahead_s = time.monotonic() - time.time()
    for name, gateway in fleet.every:
        from_s: float | None = None
        for line in gateway.output().splitlines():
            if AWAY not in line and BACK not in line:
                continue
            at_s = datetime.fromisoformat(json.loads(line)["time"]).timestamp() + ahead_s
            if AWAY in line:
                from_s = at_s
            elif from_s is not None:
                found[name].append((from_s - AWAY_S, at_s + AWAY_S))
                from_s = None
        if from_s is not None:
            found[name].append((from_s - AWAY_S, float("inf")))
    return found


def bound(fleet: Fleet, most: int) -> float:
    """What all together may give out, with one of them cut off."""
    parts = {"share": 1 / len(NAMES), "count": 1.0, "refuse": 0.0}
    return most * (1 + parts[fleet.while_away])


def held(fleet: Fleet, seen: Sequence[Seen], happened: Happened, found: Found) -> None:
    """What the provider got: by those who share a count, and by those who counted by themselves."""
    spans = alone(fleet)
    print(
        "       limits: times alone " + str({name: len(times) for name, times in spans.items()}), flush=True
    )
    for key in ("requests", "tokens", "places"):
        shared: list[Received] = []
        by_name: dict[str, list[Received]] = {name: [] for name in NAMES}
        for one in fleet.arrived:
            if one.json()["model"] == key:
                name = one.text(b"x-gateway")
                is_alone = any(from_s <= one.began_s <= to_s for from_s, to_s in spans[name])
                (by_name[name] if is_alone else shared).append(one)
        most = {"requests": REQUESTS, "tokens": TOKENS, "places": PLACES}[key]
        amount = _amount_of(key, seen)
        reached = _most_of(key, shared, amount)
        by_itself = {name: _most_of(key, part, amount) for name, part in by_name.items() if part}
        every = _most_of(key, [*shared, *(one for part in by_name.values() for one in part)], amount)
        found.check(
            most * UNUSED <= reached <= most * TOLERATED,
            f"{key}: {reached} at most at any time, of {most} ({reached / most:.1%})",
        )
        found.check(
            all(count <= most * TOLERATED for count in by_itself.values()),
            f"{key}: {by_itself} by those who counted by themselves meanwhile",
        )
        allowed = bound(fleet, most)
        found.check(
            every <= allowed * TOLERATED,
            f"{key}: {every} of all together, of {most} ({every / most:.1%}); {allowed:.0f} are allowed",
        )
    free_s = happened.killed_s + FREE_S
    late = [
        one
        for one in fleet.arrived
        if one.json()["model"] == "places" and free_s <= one.began_s < happened.cut_s
    ]
    if late:
        reached = most_at_once(late)
        found.check(
            PLACES - 1 <= reached <= PLACES,
            f"places: {reached} at most at once, of {PLACES}, since {FREE_S:.0f} s after the kill",
        )


def _amount_of(key: str, seen: Sequence[Seen]) -> int:
    """What one request takes: all questions are of one length."""
    if key != "tokens":
        return 1
    body = next(
        one.told.json()
        for one in seen
        if one.key == key and one.told and one.is_answered and one.told.dialect is Dialect.OPENAI_CHAT
    )
    return int(body["usage"]["total_tokens"])


def _most_of(key: str, arrived: Sequence[Received], amount: int) -> int:
    if key == "places":
        return most_at_once(arrived)
    moments_s = sorted(one.began_s for one in arrived)
    return most_within(moments_s, WINDOW_S - ON_THE_WAY_S, [amount] * len(moments_s)) if moments_s else 0


def answered(fleet: Fleet, seen: Sequence[Seen], happened: Happened, found: Found) -> None:
    answers = [one for one in seen if one.is_answered]
    wrong = [one.number for one in answers if not one.is_its_own]
    found.check(not wrong, f"answers: {len(answers)}, {len(wrong)} of another question {wrong[:5]}")
    times = Counter(mark for one in fleet.arrived for mark in set(_MARK.findall(one.body)))
    twice = [mark for mark, count in times.items() if count > 1]
    found.check(not twice, f"answers: {len(twice)} questions were sent to the provider more than once")
    failed = [one for one in seen if _kind(one) == "failed"]
    until_s = happened.killed_s + 3
    elsewhere = [one for one in failed if not happened.killed_s - 0.1 <= one.ended_s <= until_s]
    what = dict(Counter(one.error or (one.told.status if one.told else 0) for one in failed))
    found.check(not elsewhere, f"answers: {len(failed)} failed {what}, {len(elsewhere)} not by the kill")
    lost = [one for one in failed if one.told is None or one.told.status == 200]
    found.check(
        len(lost) <= sum(CLIENTS.values()), f"answers: {len(lost)} were under way in the one that was killed"
    )


def _kind(one: Seen) -> str:
    if one.is_answered:
        return "answered"
    if one.told is not None and one.told.status == 503 and NOT_COUNTED in one.told.body:
        return "refused"
    return "limited" if one.told is not None and one.told.status == 429 else "failed"


def booked(fleet: Fleet, seen: Sequence[Seen], happened: Happened, found: Found) -> None:
    """Rows against answers, by their ids. What was told just before the kill may not have been written."""
    rows = asyncio.run(rows_of(fleet.ledger))
    told = {
        one.told.headers["x-llmitm-id"]: one for one in seen if one.told and one.is_whole and _has_id(one)
    }
    lacking = [one for name, one in told.items() if name not in rows]
    through = {
        int(mark): one.text(b"x-gateway") for one in fleet.arrived for mark in _MARK.findall(one.body)[:1]
    }
    unexplained = [
        one
        for one in lacking
        if through.get(one.number, "three") != "three" or abs(one.ended_s - happened.killed_s) > FLUSH_S
    ]
    found.check(
        not unexplained,
        f"ledger: {len(lacking)} of {len(told)} answers lack a row, {len(unexplained)} not by the kill",
    )
    other = Counter(
        (one.told.status, rows[name])
        for name, one in told.items()
        if one.told and name in rows and rows[name] != one.told.status
    )
    found.check(not other, f"ledger: {other.total()} rows tell of another status {dict(other)}")
    more = len(rows.keys() - told.keys())
    found.check(more <= sum(CLIENTS.values()), f"ledger: {more} rows of what no client got whole")


def _has_id(one: Seen) -> bool:
    """What the balancer says by itself has none."""
    return one.told is not None and "x-llmitm-id" in one.told.headers


def table(seen: Sequence[Seen], happened: Happened, seconds: float) -> None:
    began_s = min(one.began_s for one in seen)
    quarter_s = seconds / 4
    ends = {
        "calm": happened.killed_s,
        "killed, and back": happened.cut_s,
        "cut off, and back": happened.back_s + quarter_s / 2,
        "reloaded": float("inf"),
    }
    names = ("answered", "limited", "refused", "failed", "/s", "median ms", "longest ms")
    columns = " ".join(f"{name:>{width}}" for name, width in zip(names, (9, 8, 8, 7, 6, 10, 11), strict=True))
    print(f"\n{'':18} {columns}")
    for name, until_s in ends.items():
        part = [one for one in seen if began_s <= one.ended_s < until_s]
        kinds = Counter(map(_kind, part))
        took_ms = sorted((one.ended_s - one.began_s) * 1000 for one in part if one.key == "free") or [0.0]
        lasted_s = max(one.ended_s for one in part) - began_s
        print(
            f"{name:18} {kinds['answered']:9} {kinds['limited']:8} {kinds['refused']:8} {kinds['failed']:7}"
            f" {len(part) / lasted_s:6.0f} {took_ms[len(took_ms) // 2]:10.0f} {took_ms[-1]:11.0f}"
        )
        began_s = until_s
    print(flush=True)


def still_right(fleet: Fleet, happened: Happened, found: Found) -> None:
    """The gateway that was reloaded has the last configuration that could be used."""
    last = happened.reloads - (happened.reloads % 2 == 0)
    said = fleet.gateways["one"].output()
    found.check(happened.refused_reloads > 0, f"reloads: {happened.reloads}, every other one broken")
    trouble = said.partition("Traceback")[2]
    found.check(not trouble, f"reloads: nothing went wrong inside{trouble[-2000:]}")
    body = {"model": f"reload-{last}", "messages": [{"role": "user", "content": "Is the last one here?"}]}
    headers = {"x-llmitm-key": "sk-proxy-free"}
    url = f"{fleet.gateways['one'].url}/all/v1/chat/completions"
    status = httpx.post(url, json=body, headers=headers, timeout=20).status_code
    found.check(status == 200, f"reloads: what the last good one brought is there, {status}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=180, help="of load, in four quarters")
    parser.add_argument("--balancer", choices=sorted(BINARIES), default="haproxy")
    parser.add_argument("--while-away", choices=("share", "count", "refuse"), default="share")
    options = parser.parse_args()
    problems = {
        redis_server.NO_BINARY: redis_server.BINARY,
        postgres_server.NO_BINARY: postgres_server.BINARY,
        absent(options.balancer): BINARIES[options.balancer],
    }
    for problem, binary in problems.items():
        if binary is None:
            print(problem, file=sys.stderr)
            return 2
    found = Found()
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(Path(folder), options.balancer, options.while_away) as fleet,
    ):
        seen, happened = asyncio.run(under_load(fleet, options.seconds))
        table(seen, happened, options.seconds)
        still_right(fleet, happened, found)
        fleet.stop()
        answered(fleet, seen, happened, found)
        held(fleet, seen, happened, found)
        booked(fleet, seen, happened, found)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
