"""`just bench-shaper`: what payload rules and hidden words cost on the request path, as ratios in one run.

The same gateway four times, with ten rules, with a cloak of ten words, with both and with neither, in turn:
the full path (a client's key, limits, routing by model) with a short request and with an agent's of 12 KB,
each of which holds a few of the words; then CPU per relayed chunk of a stream. `--alone` measures the work
itself in this process, and a whole journey with and without it, without a gateway or a socket around them: of
many short runs the quickest fiftieth, which a busy machine leaves alone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import books
import translating
import turns

import bench
from llmitm.config.load import load
from llmitm.config.payload import Payload
from llmitm.exchange import (
    Attempt,
    ClientRequest,
    Dialect,
    HeldBody,
    ResponseHead,
    Unwatched,
    UpstreamRequest,
)
from llmitm.journey import carry
from llmitm.shape.cloak.cloak import Cloak
from llmitm.shape.cloak.streams import Stream
from llmitm.shape.payload import Call
from llmitm.world import World, build

WORDS = (
    ["Project Falcon", "Northwind", "Aurora", "Blue Heron", "Kestrel-9", "Zephyr Labs", "Q3 forecast"]
    + ["ACME Corp", "Lighthouse", "Tessellate"]
)  # fmt: skip
RULES = """
[[payload.default]]
models = [{ name = "gpt-*", protocol = "openai-chat" }]
params = { temperature = 0.2, max_tokens = 4096, parallel_tool_calls = false }
[[payload.default]]
params = { "stream_options.include_obfuscation" = false }
[[payload.override]]
models = [{ name = "gpt-*", protocol = "openai-chat" }, { name = "o*" }]
params = { "metadata.team" = "research", "metadata.stage" = "live", store = false }
[[payload.override]]
params = { service_tier = "default" }
[[payload.filter]]
params = ["logit_bias", "top_k"]
"""
CLOAK = '[providers.up.cloak]\nsensitive_words = {words}\nsecret = "0123456789abcdef0123456789abcdef"\n'
WAYS = ("off", "rules", "words", "both")


def short(is_stream: bool) -> bytes:
    """The request of `just bench` with two words to hide."""
    text = b"word " * 80 + b"about Project Falcon of NORTHWIND " + b"word " * 13
    head = b'{"stream":true,"max_tokens":99,' if is_stream else b'{"max_tokens":99,'
    return head + b'"model":"gpt-demo","messages":[{"role":"user","content":"' + text + b'"}]}'


def agents() -> bytes:
    """A conversation of 12 KB with five words to hide, one of them in a tool's result and one in its call."""
    body = translating.conversation().replace(b'"model":"m"', b'"model":"gpt-demo","max_tokens":99')
    body = body.replace(b',"stream":true,"stream_options":{"include_usage":true}', b"")
    body = body.replace(b"And the last one?", b"And the last one of Aurora?")
    body = body.replace(b"I look.", b"I look at Zephyr Labs.", 2)
    body = body.replace(b"/src/part_1.txt", b"/src/lighthouse.txt")
    return body.replace(b"a line of text", b"a line of ACME Corp", 1)


PATH = "/full/v1/chat/completions"
ASKED = {
    "short": bench.Asked(PATH, short(False), PATH, short(True)),
    "agent": bench.Asked(PATH, agents(), PATH, short(True)),
}


def config_of(way: str) -> str:
    text = books.FULL + books.OFF
    text += RULES if way in ("rules", "both") else ""
    return text + (CLOAK.format(words=WORDS) if way in ("words", "both") else "")


async def measure(folder: Path, rounds: int, duration_s: float) -> None:
    with turns.gateways(folder) as made:
        await made.open()
        found = {
            way: await made.way(way, config_of(way), ASKED["short"])
            for way in ("off", turns.AGAIN, *WAYS[1:])
        }
        print(turns.HEAD)
        for what, asked in ASKED.items():
            ways = {name: replace(way, asked=asked) for name, way in found.items()}
            turns.show(what, ways, await turns.in_turn(ways, rounds, duration_s), "off")
        await chunks(found, max(3, rounds // 10))


async def chunks(ways: Mapping[str, turns.Way], rounds: int) -> None:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before_s = bench.cpu_s(way.pid)
            await asyncio.gather(*(bench._stream(way.port, ASKED["short"]) for _ in range(8)))
            spent[name].append((bench.cpu_s(way.pid) - before_s) / (8 * bench.CHUNKS) * 1e6)
    for name, us in spent.items():
        more = statistics.median(on - off for on, off in zip(us, spent["off"], strict=True))
        print(f"{f'a chunk, {name}':26}{'':22}{statistics.median(us):9.1f}  {more:+.1f} us")


def alone() -> None:
    """What the work itself takes."""
    rules = Payload.model_validate(tomllib.loads(RULES)["payload"]).rules
    assert rules is not None
    call = Call(
        when="after",
        dialect=Dialect.OPENAI_CHAT,
        model="gpt-demo",
        asked="gpt-demo",
        provider="up",
        endpoint="full",
        path="/chat/completions",
        is_answer=True,
    )
    edits = rules.chosen(call).of(())
    cloak = Cloak.of(system_prompt=None, is_strict=False, words=WORDS, has_pseudonym=False, key=b"k" * 32)

    def masked(body: bytes) -> object:
        return cloak.out(body, Dialect.OPENAI_CHAT, "bench", is_generating=True)

    def both(body: bytes) -> object:
        return masked(edits.apply(body)[0])

    print(f"{'':24}{'bytes':>8}{'rules us':>10}{'words us':>10}{'both us':>10}")
    bare = translating.conversation().replace(b'"model":"m"', b'"model":"gpt-demo"')
    bodies = {"short": short(False), "agent": agents(), "agent, without words": bare}
    for name, body in bodies.items():
        rules_us = least_us(edits.apply, body)
        words_us = least_us(masked, body)
        both_us = least_us(both, body)
        print(f"{name:24}{len(body):8}{rules_us:10.1f}{words_us:10.1f}{both_us:10.1f}")
    made, uncloak = cloak.out(short(True), Dialect.OPENAI_CHAT, "bench", is_generating=True)
    assert uncloak is not None
    mark = made[(at := made.index(b"zmask_")) : at + 16]
    chunks = {
        "a chunk": [bench.CHUNK],
        "a chunk with a mark": [bench.CHUNK.replace(b"few", mark)],
        "a mark in six chunks": [
            bench.CHUNK.replace(b"a few words ", mark[at : at + 3]) for at in range(0, len(mark), 3)
        ],
    }
    for name, pieces in chunks.items():
        us = least_us(fed, uncloak.stream(), pieces)
        print(f"{name:24}{sum(map(len, pieces)):8}{'':10}{us:10.1f}")


def fed(stream: Stream, pieces: Sequence[bytes]) -> list[bytes]:
    return [stream.feed(one) for one in pieces]


def least_us[**P](work: Callable[P, object], *of: P.args, **named: P.kwargs) -> float:
    taken_s: list[float] = []
    for _ in range(1_000):
        started_s = time.perf_counter()
        work(*of, **named)
        taken_s.append(time.perf_counter() - started_s)
    return bench.percentile(taken_s, 0.02) * 1e6


class Answering:
    """A sender whose answers are there at once."""

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> Answered:
        if b'"stream":true' in (request.body.held or b""):
            return Answered([bench.CHUNK] * bench.CHUNKS + [bench.END], b"text/event-stream")
        return Answered([bench.ANSWER], b"application/json")

    async def close(self) -> None:
        pass


class Answered:
    def __init__(self, pieces: list[bytes], kind: bytes) -> None:
        self.head = ResponseHead(status=200, headers=((b"content-type", kind),))
        self._pieces = iter(pieces)

    async def read(self) -> bytes | None:
        return next(self._pieces, b"")

    async def close(self) -> None:
        pass


async def journeys() -> None:
    """What a journey takes, in turn with each way."""
    folder = Path(tempfile.mkdtemp(prefix="llmitm-bench-"))
    worlds: dict[str, World] = {}
    for way in WAYS:
        (folder / way).with_suffix(".toml").write_text(
            config_of(way).replace("{port}", "1").replace("{upstream}", "2")
        )
        worlds[way] = build(load((folder / way).with_suffix(".toml"), env={}))
        worlds[way].sender, worlds[way].sinks = Answering(), ()
    print(f"\n{'a journey':24}" + "".join(f"{way + ' us':>12}" for way in WAYS) + f"{'both more':>12}")
    for name, body, times in (
        ("short", short(False), 100),
        ("agent", agents(), 100),
        ("stream, a chunk", short(True), 4),
    ):
        taken_s: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(12):
            for way, world in worlds.items():
                await carried(world, body)  # what is kept for the latest configuration is there now
                for _ in range(times):
                    started_s = time.perf_counter()
                    await carried(world, body)
                    taken_s[way].append(time.perf_counter() - started_s)
        per = bench.CHUNKS if "chunk" in name else 1
        least = {way: bench.percentile(seen, 0.02) / per * 1e6 for way, seen in taken_s.items()}
        row = "".join(f"{one:12.1f}" for one in least.values())
        print(f"{name:24}{row}{least['both'] - least['off']:12.1f}")


async def carried(world: World, body: bytes) -> None:
    headers = (
        (b"host", b"bench"),
        (b"authorization", b"Bearer sk-bench-key-1234"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    )
    request = ClientRequest(
        id="bench",
        method="POST",
        target=PATH.encode(),
        headers=headers,
        body=HeldBody(body),
        client="127.0.0.1",
    )
    async for _ in carry(request, world, Unwatched()):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--alone", action="store_true", help="measure the work alone")
    options = parser.parse_args()
    if options.alone:
        alone()
        asyncio.run(journeys())
    else:
        with tempfile.TemporaryDirectory(prefix="llmitm-bench-") as folder:
            asyncio.run(measure(Path(folder), options.rounds, options.seconds))


if __name__ == "__main__":
    main()
