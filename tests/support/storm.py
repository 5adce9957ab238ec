"""A storm: many clients of four dialects at once, through a running gateway to upstreams that fail.

As a program it prints figures for ten thousand requests in each of three weathers: `just storm`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from llmitm.demo.provider import Provider
from llmitm.demo.received import Received
from support.gateway import Gateway

FAULTS: Final = (
    "status:429;retry-after=;retry-after-ms={rest_ms}",
    "status:500",
    "status:503",
    "status:529",
    "reset",
    "close",
    "reset-headers",
    "error-event:0",
    "truncate:0",
)
"""Each of them before anything meaningful was said."""
PROVIDERS: Final = {
    "chat": ("openai-chat", "gpt-demo", "/v1"),
    "responses": ("openai-responses", "gpt-5.2-demo", "/v1"),
    "messages": ("anthropic-messages", "claude-demo", ""),
    "gemini": ("gemini", "gemini-demo", ""),
}


CONCURRENCY: Final = 32
"""Clients at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How much goes wrong, and what the gateway is told to do about it."""

    name: str
    failing: float = 0.45
    """Share of the calls of keys that are not spared; a closed connection that came from the pool is not told
    of, and a whole answer has no first event."""
    flaky: int = 9
    """Keys of each provider whose calls fail at random."""
    healthy: int = 2
    """Keys of each provider whose calls never fail."""
    dead: int = 0
    """Keys of each provider whose calls always fail."""
    refused: int = 1
    """Keys of each provider whose address nobody listens at."""
    retry: str = ""
    rest_ms: int = 20
    dead_rest_s: int = 3
    """What a dead key that says for how long it is to be left alone asks for."""

    def config(self, url: str) -> str:
        lines = [f"retry = {{{self.retry}}}", "[server]", "port = 0", "[endpoints.all]", 'kind = "gateway"']
        for name, (dialect, model, path) in PROVIDERS.items():
            lines += [
                f"[providers.{name}]",
                f'format = "{dialect}"',
                f'base_url = "{url}{path}"',
                f'models = ["{model}"]',
            ]
            for key, more in self._keys():
                lines += [
                    f"[[providers.{name}.credentials]]",
                    f'api_key = "sk-{name}-{key}"',
                    f'name = "{key}"',
                ]
                lines += [more] if more else []
        return "\n".join(lines)

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from ((f"flaky{number}", "") for number in range(self.flaky))
        yield from (
            (f"healthy{number}", 'headers = {x-demo-fault = "none"}') for number in range(self.healthy)
        )
        for number in range(self.dead):
            limited = f"status:429;retry-after={self.dead_rest_s}"
            fault = ("status:500", "status:529", "close", limited)[number % 4]
            yield f"dead{number}", f'headers = {{x-demo-fault = "{fault}"}}'
        yield from ((f"refused{number}", 'base_url = "http://127.0.0.1:1"') for number in range(self.refused))

    def faults(self, count: int, seed: int) -> list[str | None]:
        drawn = random.Random(seed)
        return [
            drawn.choice(FAULTS).format(rest_ms=self.rest_ms) if drawn.random() < self.failing else None
            for _ in range(count)
        ]


CALM_REST: Final = ", ".join(f"{ending} = 0.02" for ending in ("overloaded", "server", "network", "timeout"))
ANSWERED: Final = Weather(
    name="short rests, a budget of one retry a request",
    retry=f"budget_ratio = 1, base_ms = 5, rest_s = {{{CALM_REST}}}",
)
BUDGET: Final = Weather(
    name="no rests, the budget as it is by default",
    retry="cooldowns = false, base_ms = 5",
    flaky=12,
    refused=0,
)
RESTS: Final = Weather(name="all as it is by default, half of the keys dead", dead=4, flaky=0, healthy=4)
_LONG_REST_S: Final = 600
LONG_RESTS: Final = Weather(
    name="rests that outlast the storm, half of the keys dead",
    retry=f"rest_s = {{overloaded = {_LONG_REST_S}, server = {_LONG_REST_S}, network = {_LONG_REST_S}}}",
    dead=4,
    dead_rest_s=_LONG_REST_S,
    flaky=0,
    healthy=4,
)


@dataclass(slots=True)
class Figures:
    requests: int = 0
    wrong: list[str] = field(default_factory=list)
    """Answers that are not right, with what was."""
    told: Counter[int] = field(default_factory=Counter)
    """Statuses of clients that were told of a failure."""
    attempts: int = 0
    calls: int = 0
    """Requests that reached the provider."""
    worst: int = 0
    took_s: list[float] = field(default_factory=list)
    lasted_s: float = 0
    retried_s: list[float] = field(default_factory=list)
    """When exchanges ended that took more than one attempt, once for each further one."""
    ended_s: list[float] = field(default_factory=list)

    @property
    def failed(self) -> float:
        """Share of the attempts."""
        return 1 - (self.requests - self.told.total()) / self.attempts

    def line(self) -> str:
        took_ms = [1000 * one for one in sorted(self.took_s)]
        told, count = self.told.total(), self.requests
        return (
            f"{count} requests in {self.lasted_s:.1f} s ({count / self.lasted_s:.0f}/s): "
            f"{count - len(self.wrong) - told} right, {len(self.wrong)} wrong, {told} told of a failure; "
            f"{self.attempts} attempts ({self.attempts / count:.3f} a request, {self.worst} at most), "
            f"{self.failed:.0%} of them failed; {self.calls} calls upstream; half within "
            f"{took_ms[count // 2]:.0f} ms, 99 of 100 within {took_ms[count * 99 // 100]:.0f} ms"
        )


async def storm(
    gateway: Gateway, provider: Provider, *, requests: int, concurrency: int = CONCURRENCY, seed: int = 1
) -> Figures:
    """Sends them all, and reads every answer to its end."""
    figures = Figures(requests=requests)
    waiting = iter(range(requests))
    drawn = random.Random(seed)
    before, began_s = provider.count, time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        for number in waiting:
            asked_s = time.perf_counter()
            await _ask(session, gateway.url, number, drawn, figures)
            figures.took_s.append(time.perf_counter() - asked_s)
            figures.ended_s.append(time.perf_counter())

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client(session))
    figures.lasted_s = time.perf_counter() - began_s
    figures.calls = provider.count - before
    return figures


async def _ask(
    session: aiohttp.ClientSession, url: str, number: int, drawn: random.Random, figures: Figures
) -> None:
    dialect, model = drawn.choice(list(PROVIDERS)), drawn.choice(list(PROVIDERS.values()))[1]
    is_stream, said = drawn.random() < 0.5, f"number {number} {drawn.random()}"
    path, body = request_in(dialect, model, said, is_stream)
    async with session.post(f"{url}/all{path}", json=body, headers={"x-debug": "1"}) as answer:
        content = await answer.read()
    attempts = int(answer.headers.get("x-debug-attempts", 0))
    figures.attempts += attempts
    figures.worst = max(figures.worst, attempts)
    figures.retried_s += [time.perf_counter()] * (attempts - 1)
    if answer.status != 200:
        figures.told[answer.status] += 1
        return
    found = text_in(dialect, content, is_stream)
    if found != f"The demo provider heard you say: {said}":
        figures.wrong.append(f"{dialect} to {model}, stream {is_stream}: {content[-600:]!r}")


def request_in(dialect: str, model: str, said: str, is_stream: bool) -> tuple[str, dict[str, Any]]:
    turns = [{"role": "user", "content": said}]
    match dialect:
        case "chat":
            return "/v1/chat/completions", {"model": model, "messages": turns, "stream": is_stream}
        case "responses":
            return "/v1/responses", {"model": model, "input": said, "stream": is_stream, "store": False}
        case "messages":
            body = {"model": model, "messages": turns, "max_tokens": 900, "stream": is_stream}
            return "/v1/messages", body
        case _:
            call = "streamGenerateContent?alt=sse" if is_stream else "generateContent"
            return f"/v1beta/models/{model}:{call}", {
                "contents": [{"role": "user", "parts": [{"text": said}]}]
            }


def text_in(dialect: str, content: bytes, is_stream: bool) -> str | None:
    """What was said; None where the answer is not whole."""
    if not is_stream:
        return _of_whole(dialect, orjson.loads(content))
    lines = [line[6:] for line in content.splitlines() if line.startswith(b"data: ")]
    events = [orjson.loads(line) for line in lines if line != b"[DONE]"]
    match dialect:
        case "chat":
            deltas = [choice["delta"].get("content") for one in events for choice in one["choices"]]
            return "".join(filter(None, deltas)) if lines[-1] == b"[DONE]" else None
        case "responses":
            if events[-1]["type"] != "response.completed":
                return None
            return "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta")
        case "messages":
            if events[-1]["type"] != "message_stop":
                return None
            deltas = [one["delta"] for one in events if one["type"] == "content_block_delta"]
            return "".join(one["text"] for one in deltas if one["type"] == "text_delta")
        case _:
            if "finishReason" not in events[-1]["candidates"][0]:
                return None
            return "".join(_of_whole(dialect, one) for one in events)


def _of_whole(dialect: str, body: Any) -> str:
    match dialect:
        case "chat":
            return str(body["choices"][0]["message"]["content"])
        case "responses":
            parts = [part for item in body["output"] for part in item.get("content") or ()]
        case "messages":
            parts = body["content"]
        case _:
            parts = body["candidates"][0].get("content", {}).get("parts", ())
    return "".join(part.get("text", "") for part in parts)


def check_budget(figures: Figures, ratio: float, window_s: float = 10.0) -> None:
    """Of any ten seconds: further tries by the requests that came; what was under way is let be."""
    for end_s in figures.retried_s[:: max(1, len(figures.retried_s) // 200)]:
        tries = sum(end_s - window_s <= at_s <= end_s for at_s in figures.retried_s)
        requests = sum(end_s - window_s - 2 <= at_s <= end_s + 1 for at_s in figures.ended_s)
        assert tries <= max(50, ratio * requests) + 32, f"{tries} tries for {requests} requests"


def check_rests(arrived: Sequence[Received], *, rest_s: float = 2.0, under_way: int = 4 * CONCURRENCY) -> int:
    """That a dead key was left alone after each failure, but for what was under way already: however slow the
    machine is, that arrives among the next so many calls.

    Returns how many of its calls were looked at.
    """
    began_s = sorted(one.began_s for one in arrived)
    by_key: dict[str, list[Received]] = defaultdict(list)
    for one in arrived:
        given = one.text(b"authorization") or one.text(b"x-api-key") or one.text(b"x-goog-api-key")
        if "dead" in given:
            by_key[given].append(one)
    for key, calls in by_key.items():
        first = calls[0]
        for call in calls[1:]:
            assert first.ended_s is not None
            if call.began_s - first.ended_s >= rest_s - 0.05:
                first = call
                continue
            between = bisect(began_s, call.began_s) - bisect(began_s, first.ended_s)
            assert between <= under_way, f"{key} was asked {between} calls after it had failed"
    return sum(map(len, by_key.values()))


async def run(weather: Weather, folder: Path, *, requests: int, seed: int = 1) -> tuple[Figures, Provider]:
    async with Provider(requests_kept=3 * requests) as provider:
        provider.script(weather.faults(3 * requests, seed))
        gateway = Gateway(weather.config(provider.url), folder, host="serve")
        await asyncio.to_thread(gateway.start)
        try:
            figures = await storm(gateway, provider, requests=requests, seed=seed)
        finally:
            await asyncio.to_thread(gateway.stop)
        return figures, provider


async def _main(requests: int) -> None:
    for weather in (ANSWERED, BUDGET, RESTS):
        with tempfile.TemporaryDirectory() as folder:
            figures, provider = await run(weather, Path(folder), requests=requests)
        print(f"{weather.name}:\n  {figures.line()}", flush=True)
        assert not figures.wrong, figures.wrong[0]
        check_budget(figures, 1.0 if weather is ANSWERED else 0.25)
        if weather is not BUDGET:
            assert not figures.told
        if weather is RESTS:
            print(f"  {check_rests(provider.requests)} calls with dead keys, none while they rested")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=int, nargs="?", default=10_000)
    asyncio.run(_main(parser.parse_args().requests))


if __name__ == "__main__":
    main()
