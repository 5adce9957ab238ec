"""Half an hour of all kinds of traffic at once, and what is left behind: `just soak`.

Clients of four dialects ask for models of four dialects, streamed and not, short and long; some leave in
the middle; a twentieth of the calls upstream fails; each minute the configuration is another one. Both
`llmitm serve` and `mitmdump` are asked. Six times nothing is asked for a moment, and what is held then is
looked at: a machine that is busier needs more for what is under way, which says nothing of what stays. Told
at the end: how memory, descriptors and tasks went, whether each answer belongs to its question, and whether
each has its row in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from llmitm.demo.provider import Provider
from support.gateway import Gateway
from support.sampling import Sample, Slope, sample, slope
from support.storm import FAULTS, PROVIDERS, Weather, request_in, text_in

HOSTS: Final = ("serve", "mitmdump")
FAILING: Final = 0.05
LATE_FAULTS: Final = (
    "truncate:3",
    "reset-body:3",
    "early-end:2",
    "error-event:2",
    "stall-stream:3",
    "stall",
    "slow:1500",
    "pace:10",
)
"""They come when something was said already, or take their time. None is an event that cannot be read: to a
client of the provider's own dialect it passes byte for byte, as everything does."""
LEAVING: Final = 0.05
LONG: Final = 0.02
LONG_WORDS: Final = 4_000
MOST_AT_ONCE: Final = 48
"""Requests of one gateway. A machine that is too busy gets fewer, where they would pile up without an end."""
SILENCE_S: Final = 4
SAMPLE_S: Final = 5.0
WRONG_SHOWN: Final = 5
RESTS: Final = 6
"""So often nothing is asked for a moment; the first time the gateways are still warming up."""
LONG_ENOUGH_S: Final = 600
"""What grows within less than that may still be warming up."""
HEARD: Final = "The demo provider heard you say: "
_QUESTION: Final = re.compile(r"question (\d+) of \d")
CENSUS: Final = """
import asyncio, gc, json
from collections import Counter
from pathlib import Path
from llmitm.edge.garbage import trimming
from llmitm.hooks import Reply

def on_request(request):
    if request.model != "census":
        return None
    gc.collect()
    kinds = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    if (trim := trimming()) is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    said = {
        "tasks": len(asyncio.all_tasks()), "objects": kinds.total(), "kinds": dict(kinds), "pages": pages
    }
    return Reply.saying(request, json.dumps(said))
"""
"""A function of the operator's: it answers how many tasks there are, how many objects of each type, and how
much memory is in use once what is free was given back."""
MORE: Final = """
[log]
format = "json"
[hooks]
modules = ["census.py"]
[timeouts]
first_byte_s = {silence_s}
idle_s = {silence_s}
[ledger]
bodies = true
[routing]
strategy = "{strategy}"
{broken}
"""
STRATEGIES: Final = ("round-robin", "least-in-flight", "latency", "fill-first")
WEATHER: Final = Weather(name="a soak", flaky=6, healthy=2, refused=1)


def config(url: str, turn: int, *, broken: bool = False) -> str:
    """Each turn's is another one."""
    more = MORE.format(
        silence_s=SILENCE_S,
        strategy=STRATEGIES[turn % len(STRATEGIES)],
        broken="stategy = 1" if broken else "",
    )
    return WEATHER.config(url) + more


@dataclass(slots=True, kw_only=True)
class Seen:
    """What clients saw of one gateway, and what was seen of it."""

    name: str
    gateway: Gateway
    right: set[int] = field(default_factory=set)
    """Numbers of requests whose answers came to their end."""
    told: dict[int, int] = field(default_factory=dict)
    """Statuses of those that failed."""
    cut: set[int] = field(default_factory=set)
    """Streams that broke off, and said so."""
    left: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    under_way: int = 0
    passed_over: int = 0
    """Requests that were not sent, since too many were under way."""
    reloads: int = 0
    refused: int = 0
    censuses: list[dict[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return sum(map(len, (self.right, self.told, self.cut, self.left, self.wrong)))


class Soak:
    def __init__(self, folder: Path, provider: Provider, minutes: float, rate: float) -> None:
        self._provider = provider
        self._rate = rate
        self._drawn = random.Random(1)
        self._fed = 0
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.lasted_s = 60 * minutes
        self.began_s = 0.0
        self.seen: list[Seen] = []
        for name in HOSTS:
            (folder / name).mkdir()
            (folder / name / "census.py").write_text(CENSUS)
            gateway = Gateway(config(provider.url, 0), folder / name, host=name)
            self.seen.append(Seen(name=name, gateway=gateway))

    async def run(self) -> None:
        """All of it; the gateways run on afterwards, with nothing to do."""
        for one in self.seen:
            await asyncio.to_thread(one.gateway.wait_for, "listening on", 90)
            await asyncio.to_thread(one.gateway.start)
        self.began_s = time.monotonic()
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            watching = [asyncio.create_task(work) for work in (self._sample(), self._reload())]
            for number in range(RESTS):
                await self._load(session, (number + 1) * self.lasted_s / RESTS)
                await self._rest()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    @property
    def _at_s(self) -> float:
        return time.monotonic() - self.began_s

    async def _rest(self) -> None:
        """Nobody asks, and what is held is looked at."""
        await asyncio.sleep(2 * SILENCE_S)  # connections of those who left come to their end
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            await self._census(session)

    async def _load(self, session: aiohttp.ClientSession, until_s: float) -> None:
        """Requests come as they do, at that rate, whoever is still waiting for an answer; within bounds."""
        told_s = self._at_s
        while self._at_s < until_s:
            self._feed()
            for one in self.seen:
                if one.under_way >= MOST_AT_ONCE:
                    one.passed_over += 1
                    continue
                task = asyncio.create_task(self._ask(session, one))
                one.under_way += 1
                self._tasks.add(task)
                task.add_done_callback(partial(self._ended, one))
            if self._at_s - told_s >= 60:
                told_s = self._at_s
                self._tell()
            await asyncio.sleep(self._drawn.expovariate(self._rate / len(self.seen)))
        await asyncio.gather(*self._tasks)

    def _ended(self, one: Seen, task: asyncio.Task[None]) -> None:
        one.under_way -= 1
        self._tasks.discard(task)

    def _feed(self) -> None:
        """There are always faults for what comes next; keys that never fail take none."""
        drawn, faulty = self._drawn, FAILING * _SPARED
        while self._fed < self._provider.count + 200:
            fault = drawn.choice((*FAULTS, *LATE_FAULTS)).format(rest_ms=50)
            self._provider.script([fault if drawn.random() < faulty else None])
            self._fed += 1

    def _tell(self) -> None:
        now = [one.samples[-1] for one in self.seen if one.samples]
        held = ", ".join(f"{one.own_bytes / 1e6:.0f} MB {one.descriptors} fd" for one in now)
        print(f"{self._at_s / 60:5.1f} min: {sum(one.asked for one in self.seen)} asked; {held}", flush=True)

    async def _sample(self) -> None:
        while True:
            for one in self.seen:
                one.samples.append(sample(one.gateway.process.pid, self._at_s))
            await asyncio.sleep(SAMPLE_S)

    async def _reload(self) -> None:
        """Another file each minute; every third is broken at first."""
        turn = 0
        while True:
            await asyncio.sleep(60)
            turn += 1
            for one in self.seen:
                path = one.gateway.config_path
                if turn % 3 == 0:
                    path.write_text(config(self._provider.url, turn, broken=True))
                    one.refused += await _said(one.gateway, "did you mean", one.refused + 1)
                path.write_text(config(self._provider.url, turn))
                one.reloads += await _said(one.gateway, "changed routing.strategy", one.reloads + 1)

    async def _census(self, session: aiohttp.ClientSession) -> None:
        for one in self.seen:
            body = {"model": "census", "messages": [{"role": "user", "content": "who is there?"}]}
            async with session.post(f"{one.gateway.url}/all/v1/chat/completions", json=body) as answer:
                said = orjson.loads(await answer.read())["choices"][0]["message"]["content"]
            descriptors = sample(one.gateway.process.pid, self._at_s).descriptors
            found = orjson.loads(said)
            own_bytes = found["pages"] * os.sysconf("SC_PAGE_SIZE")
            seen = {"at_s": self._at_s, "own_bytes": own_bytes, "descriptors": descriptors}
            one.censuses.append({**found, **seen})

    async def _ask(self, session: aiohttp.ClientSession, one: Seen) -> None:
        drawn = self._drawn
        dialect, model = drawn.choice(list(PROVIDERS)), drawn.choice(list(PROVIDERS.values()))[1]
        is_stream, leaves = drawn.random() < 0.5, drawn.random() < LEAVING
        self._number += 1
        number = self._number
        said = f"question {number} of {drawn.random()}"
        if drawn.random() < LONG:
            said += " word" * LONG_WORDS
        path, body = request_in(dialect, model, said, is_stream)
        url = f"{one.gateway.url}/all{path}"
        if leaves:
            await _leave(session, url, body, drawn.uniform(0, 0.1))
            one.left.add(number)
            return
        began_s = time.monotonic()
        how = f"{dialect} to {model}, stream {is_stream}, {said[:30]!r}"
        try:
            async with session.post(url, json=body) as answer:
                status, (content, is_whole) = answer.status, await _read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            one.wrong.append(f"{how}: {error!r}")
            return
        one.took_s.append(time.monotonic() - began_s)
        if status != 200:
            one.told[number] = status
        elif is_whole and _found(dialect, content, is_stream) == HEARD + said:
            one.right.add(number)
        elif is_stream and _says_cut(content, is_whole):
            one.cut.add(number)
        else:
            found = _found(dialect, content, is_stream)
            told = "cannot be read" if found is None else f"says {found[:80]!r}"
            one.wrong.append(f"{how}: status {status}, {told}: {content[:1000]!r}")


_SPARED: Final = (WEATHER.flaky + WEATHER.healthy) / WEATHER.flaky
"""Keys that never fail are called, too."""


async def _leave(session: aiohttp.ClientSession, url: str, body: dict[str, Any], after_s: float) -> None:
    """Asks, and is gone before or in the middle of the answer."""
    try:
        async with asyncio.timeout(after_s):
            answer = await session.post(url, json=body)
    except (TimeoutError, aiohttp.ClientError):
        return
    await answer.content.readany()
    answer.close()


async def _read(answer: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """What came, and whether HTTP's own end came, too."""
    pieces: list[bytes] = []
    try:
        async for piece in answer.content.iter_any():
            pieces.append(piece)
    except aiohttp.ClientPayloadError:
        return b"".join(pieces), False
    return b"".join(pieces), True


def _found(dialect: str, content: bytes, is_stream: bool) -> str | None:
    """The text; None where the answer is not whole."""
    try:
        return text_in(dialect, content, is_stream)
    except (KeyError, IndexError, ValueError):
        return None


def _says_cut(content: bytes, is_whole: bool) -> bool:
    return not is_whole or b'"error"' in content or b"response.failed" in content


async def _said(gateway: Gateway, words: str, times: int, timeout_s: float = 15.0) -> bool:
    """Whether it has said so often within that time."""
    until_s = time.monotonic() + timeout_s
    while gateway.output().count(words) < times:
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(0.25)
    return True


@dataclass(slots=True)
class Rows:
    """What the ledger has."""

    outcomes: dict[int, str]
    """By the question's number."""
    count: int
    attempts: int


def rows_of(one: Seen) -> Rows:
    """Once the gateway has ended."""
    (path,) = one.gateway.folder.glob("*.db")
    with closing(sqlite3.connect(path)) as ledger:
        rows = ledger.execute(
            "SELECT request, outcome, attempts FROM exchanges JOIN bodies ON exchange = id"
        ).fetchall()
    asked = [(_QUESTION.search(request or ""), outcome, tries) for request, outcome, tries in rows]
    found = [(int(mark[1]), outcome, tries) for mark, outcome, tries in asked if mark]
    return Rows(
        {number: outcome for number, outcome, _ in found}, len(found), sum(tries for *_, tries in found)
    )


def judged(one: Seen, most_mb_an_hour: float) -> tuple[list[tuple[str, str]], list[str]]:
    """Lines of the table, and what does not hold."""
    rows = rows_of(one)
    rests = one.censuses[1:]
    own = slope([(each["at_s"], each["own_bytes"]) for each in rests])
    warm = [each for each in one.samples if each.at_s >= one.censuses[0]["at_s"]]
    writer = slope([(each.at_s, each.children_bytes) for each in warm])
    lost = [number for number in (*one.right, *one.told, *one.cut) if number not in rows.outcomes]
    astray = [number for number in one.right if rows.outcomes.get(number, "ok") != "ok"]
    astray += [number for number in (*one.cut, *one.told) if rows.outcomes.get(number) == "ok"]
    failed = (len(one.cut) + len(one.told)) / max(1, one.asked)
    first, last = rests[0], rests[-1]
    took_ms = [1000 * each for each in sorted(one.took_s)]
    lines = [
        ("requests", f"{one.asked}"),
        ("  not sent: too many at once", f"{one.passed_over}"),
        ("  right", f"{len(one.right)}"),
        ("  wrong", f"{len(one.wrong)}"),
        ("  told of a failure", f"{len(one.told)} {dict(Counter(one.told.values())) or ''}"),
        ("  broke off, and said so", f"{len(one.cut)}"),
        ("  left by their clients", f"{len(one.left)}"),
        ("attempts a request", f"{rows.attempts / max(1, rows.count):.3f}"),
        ("p50, p99", f"{took_ms[len(took_ms) // 2]:.0f}, {took_ms[len(took_ms) * 99 // 100]:.0f} ms"),
        ("rows", f"{rows.count}"),
        ("  lost", f"{len(lost)}"),
        ("  twice", f"{rows.count - len(rows.outcomes)}"),
        ("  of another outcome", f"{len(astray)}"),
        ("memory under load, MB", _range([each.own_bytes for each in warm])),
        ("memory at rest, MB", " ".join(f"{each['own_bytes'] / 1e6:.1f}" for each in rests)),
        ("  slope, MB/h", _told(own)),
        ("ledger's writer, MB", _range([each.children_bytes for each in warm])),
        ("  slope, MB/h", _told(writer)),
        ("descriptors", f"{first['descriptors']} -> {last['descriptors']}"),
        ("tasks", f"{first['tasks']} -> {last['tasks']}"),
        ("objects", f"{first['objects']} -> {last['objects']}"),
        ("files taken, refused", f"{one.reloads}, {one.refused}"),
    ]
    problems = [f"wrong answer: {each}" for each in one.wrong[:WRONG_SHOWN]]
    problems += [f"{len(lost)} answers lack a row"] * bool(lost)
    problems += [f"{rows.count - len(rows.outcomes)} rows too many"] * (rows.count > len(rows.outcomes))
    problems += [f"{len(astray)} rows tell of another outcome, first {astray[:5]}"] * bool(astray)
    problems += [f"{failed:.1%} failed, more than went wrong upstream"] * (failed > FAILING)
    is_long = last["at_s"] - first["at_s"] >= LONG_ENOUGH_S
    for what, line in (("the gateway", own), ("the ledger's writer", writer)):
        if is_long and line.sure_a_s * 3600 / 1e6 > most_mb_an_hour:
            problems.append(f"{what} grows by {_told(line)} MB/h")
    problems += [f"{last['tasks']} tasks of {first['tasks']}"] * (last["tasks"] > first["tasks"] + 5)
    if last["descriptors"] > first["descriptors"] + 40:
        problems.append(f"{last['descriptors']} descriptors of {first['descriptors']}")
    problems += ["a traceback in the output"] * ("Traceback" in one.gateway.output())
    return lines, problems


def _told(line: Slope) -> str:
    return f"{line.a_s * 3600 / 1e6:+.1f} ± {2 * line.error_a_s * 3600 / 1e6:.1f}"


def _range(values: list[int]) -> str:
    return (
        f"{values[0] / 1e6:.1f} -> {values[-1] / 1e6:.1f}, at most {max(values) / 1e6:.1f}" if values else "-"
    )


def grown(one: Seen, most: int = 8) -> Iterator[str]:
    """Types of which there are more at the end than there were at the beginning."""
    first, last = (Counter(census["kinds"]) for census in (one.censuses[1], one.censuses[-1]))
    for kind, count in (last - first).most_common(most):
        yield f"{count:+7d}  {kind}"


async def soak(minutes: float, rate: float, most_mb_an_hour: float, folder: Path) -> bool:
    """Whether all of it holds. Prints the table."""
    async with Provider(requests_kept=100) as provider:
        run = Soak(folder, provider, minutes, rate)
        try:
            await run.run()
        finally:
            for one in run.seen:
                await asyncio.to_thread(one.gateway.stop)
    found = [judged(one, most_mb_an_hour) for one in run.seen]
    print(f"\n{'':28}" + "".join(f"{one.name:>32}" for one in run.seen))
    for cells in zip(*(lines for lines, _ in found), strict=True):
        print(f"{cells[0][0]:28}" + "".join(f"{value:>32}" for _, value in cells))
    for one in run.seen:
        print(f"\n{one.name}: more objects of", *grown(one), sep="\n  ")
    problems = [
        f"{one.name}: {each}" for one, (_, each_of) in zip(run.seen, found, strict=True) for each in each_of
    ]
    print()
    for problem in problems:
        print(f"WRONG  {problem}")
    if not problems:
        print("all of it holds")
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=40, help="requests a second, of all gateways together")
    parser.add_argument("--most", type=float, default=10, help="MB/h that memory may surely grow by")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmitm-soak-") as folder:
        holds = asyncio.run(soak(options.minutes, options.rate, options.most, Path(folder)))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
