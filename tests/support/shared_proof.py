"""Minutes of load on two gateways that share one redis-server, with figures: `just shared-proof`.

Clients of both ask for more than each limit gives out, and come again when they are told to. Counted is
what reaches the provider. Then the store goes away and comes back, again and again, under load.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from support.redis_server import BINARY, NO_BINARY
from support.together import Clients, Together, Told, clients_of, most_at_once

REQUESTS: Final = 600
TOKENS: Final = 20_000
PLACES: Final = 8
CLIENTS: Final = 64
WINDOW_S: Final = 60.0
SLICE_S: Final = 1.0
ON_THE_WAY_S: Final = 0.5
"""Between the moment when a request is counted and the one when the provider has it."""
CONFIG: Final = f"""
[server]
port = 0
[state]
url = "{{redis}}"
[endpoints.all]
kind = "gateway"
[providers.steady]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-requests"]
models = ["requests", "free"]
[providers.counted]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-tokens"]
models = ["tokens"]
[providers.slow]
base_url = "{{url}}/v1"
format = "openai-chat"
api_keys = ["sk-places"]
models = ["places"]
headers = {{{{x-demo-fault = "slow:100"}}}}
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
"""


class Found:
    """What does not hold."""

    def __init__(self) -> None:
        self.wrong = 0

    def check(self, holds: bool, what: str) -> None:
        self.wrong += not holds
        print(f"{'ok   ' if holds else 'WRONG'}  {what}", flush=True)


async def obeying(clients: Clients, number: int, name: str, until_s: float) -> list[Told]:
    """One client that asks without a pause, and waits as long as it is told to. What it got."""
    told: list[Told] = []
    while (left_s := until_s - time.monotonic()) > 0:
        told.append(await clients.ask(number, key=f"sk-proxy-{name}", model=name))
        if told[-1].status == 429:
            await asyncio.sleep(min(int(told[-1].headers["retry-after-ms"]) / 1000, max(left_s, 0)))
    return told


def most_within(moments_s: Sequence[float], length_s: float, amounts: Sequence[int] | None = None) -> int:
    """The largest sum of what lies within `length_s`, wherever that begins."""
    amounts = amounts or [1] * len(moments_s)
    most = held = first = 0
    for at_s, amount in zip(moments_s, amounts, strict=True):
        held += amount
        while moments_s[first] <= at_s - length_s:
            held -= amounts[first]
            first += 1
        most = max(most, held)
    return most


async def limits(together: Together, seconds: float, found: Found) -> None:
    """Requests, tokens and places at once, each with clients of its own."""
    names = ("requests", "tokens", "places")
    async with clients_of(together) as clients:
        until_s = time.monotonic() + seconds
        told = await asyncio.gather(
            *(
                obeying(clients, number, names[number // 2 % 3], until_s)
                for number in range(CLIENTS // 2 * 2 * 3)
            )
        )
    by_name = {
        name: [one for number, mine in enumerate(told) if names[number // 2 % 3] == name for one in mine]
        for name in names
    }
    sure_s = WINDOW_S - ON_THE_WAY_S
    full = int(seconds // (WINDOW_S + SLICE_S))
    for name in names:
        statuses = Counter(one.status for one in by_name[name])
        arrived = [one for one in together.arrived if one.text(b"authorization") == f"Bearer sk-{name}"]
        found.check(set(statuses) <= {200, 429}, f"{name}: answers {dict(statuses)}")
        found.check(len(arrived) == statuses[200], f"{name}: {len(arrived)} reached the provider")
        moments_s = [one.began_s for one in arrived]
        match name:
            case "requests":
                most = most_within(moments_s, sure_s)
                found.check(most <= REQUESTS, f"{name}: {most} at most within {sure_s} s, of {REQUESTS}")
                found.check(
                    len(arrived) >= full * REQUESTS,
                    f"{name}: {len(arrived)} in {seconds:.0f} s; less than {full * REQUESTS} is too few",
                )
            case "tokens":
                each = by_name[name][0].json()["usage"]["total_tokens"]
                most = most_within(moments_s, sure_s, [each] * len(moments_s))
                found.check(most <= TOKENS, f"{name}: {most} at most within {sure_s} s, of {TOKENS}")
                found.check(most > TOKENS * 0.95, f"{name}: {most / TOKENS:.1%} of the limit given out")
            case _:
                most = most_at_once(arrived)
                found.check(most == PLACES, f"{name}: {most} at most at once, of {PLACES}")


async def outages(together: Together, rounds: int, found: Found) -> None:
    redis = together.redis
    away, back = max(together.said())
    found.check((away, back) == (0, 0), f"outages: none was seen before, said {(away, back)}")
    told: list[Told] = []
    is_over = False

    async def client(number: int) -> None:
        while not is_over:
            told.append(await clients.ask(number, key="sk-proxy-free", model="free"))

    async with clients_of(together) as clients:
        running = [asyncio.create_task(client(number)) for number in range(16)]
        back_s = []
        for number in range(1, rounds + 1):
            redis.freeze() if number % 2 else redis.kill()
            await asyncio.to_thread(together.wait_away, number)
            before = len(told)
            while len(told) < before + 500:
                await asyncio.sleep(0.01)
            redis.thaw() if number % 2 else await asyncio.to_thread(redis.start)
            began_s = time.monotonic()
            await asyncio.to_thread(together.wait_back, number)
            back_s.append(time.monotonic() - began_s)
        is_over = True
        await asyncio.gather(*running)
    statuses = dict(Counter(one.status for one in told))
    took_s = sorted(one.took_s for one in told)
    found.check(set(statuses) == {200}, f"outages: {rounds}, and {len(told)} requests, answers {statuses}")
    middle_ms, longest_ms = took_s[len(took_s) // 2] * 1000, took_s[-1] * 1000
    found.check(
        longest_ms < 1000, f"outages: a request took {middle_ms:.0f} ms, the longest {longest_ms:.0f}"
    )
    found.check(max(back_s) < 5, f"outages: shared again after {min(back_s):.1f} to {max(back_s):.1f} s")
    found.check(
        together.said() == [(rounds, rounds)] * 2, f"outages: lines of (away, back) {together.said()}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=190, help="of limits under load")
    parser.add_argument("--rounds", type=int, default=20, help="of outages")
    options = parser.parse_args()
    if BINARY is None:
        print(NO_BINARY, file=sys.stderr)
        return 2
    found = Found()
    with tempfile.TemporaryDirectory() as folder, Together(CONFIG, Path(folder)) as together:
        asyncio.run(limits(together, options.seconds, found))
        asyncio.run(outages(together, options.rounds, found))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
