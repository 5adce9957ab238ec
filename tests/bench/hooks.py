"""`just bench-hooks`: what functions of the operator's cost, in CPU time of this process, without a network.

Whole journeys over a gateway endpoint with one kind of function after another, in turn: a chat request of
1 KB and one of 12 KB with a whole answer, and a stream of 200 chunks. Told is how much more each takes than
the same without functions, the least of the rounds each.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import translating

from llmitm.config.load import load
from llmitm.exchange import Attempt, ClientRequest, HeldBody, ResponseHead, Unwatched, UpstreamRequest
from llmitm.journey import carry
from llmitm.world import World, build

CHUNKS = 200
CONFIG = """
[endpoints.all]
kind = "gateway"
[providers.openai]
api_keys = ["sk-bench-key-of-a-provider"]
[ledger]
enabled = false
"""
NONE, ASYNC, SAME = "def {}(v): return None\n", "async def {}(v): return None\n", "def {}(v): return v\n"
WAITS = "import asyncio\nasync def {}(v): await asyncio.sleep(0)\n"
CHANGED = "from dataclasses import replace\ndef {}(v): return replace(v, body={{**v.body, 'user': 'x'}})\n"
NAMES = ("on_request", "on_attempt", "on_reply", "on_delta")
WAYS = {"off": ""} | {
    f"{name}, {what}": source.format(name)
    for name in NAMES
    for what, source in {"looks": NONE, "async": ASYNC, "waits": WAITS, "changes": CHANGED}.items()
}
REPLY = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 100}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
)


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return b"data: " + orjson.dumps(made | {"choices": choices}) + b"\n\n"


PIECES = [
    chunk({"role": "assistant"}),
    *[chunk({"content": "a few words "}) for _ in range(CHUNKS)],
    chunk({}, "stop") + b"data: [DONE]\n\n",
]


@dataclass(slots=True)
class Reply:
    head: ResponseHead
    pieces: list[bytes]

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def close(self) -> None: ...


class Canned:
    """A sender that answers at once."""

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> Reply:
        if b'"stream":true' in (request.body.held or b""):
            return Reply(
                ResponseHead(status=200, headers=((b"content-type", b"text/event-stream"),)), [*PIECES]
            )
        return Reply(ResponseHead(status=200, headers=((b"content-type", b"application/json"),)), [REPLY])

    async def close(self) -> None: ...


def bodies() -> dict[str, bytes]:
    said = b'"model":"gpt-4o","messages":[{"role":"user","content":"' + b"word " * 180 + b'"}]}'
    agents = translating.conversation().replace(b'"model":"m"', b'"model":"gpt-4o"')
    agents = agents.replace(b',"stream":true,"stream_options":{"include_usage":true}', b"")
    return {"1 KB": b"{" + said, "12 KB": agents, "stream": b'{"stream":true,' + said}


@dataclass(slots=True)
class Bench:
    rounds: int
    times: int
    worlds: dict[str, World] = field(default_factory=dict)

    def open(self, folder: Path) -> None:
        for at, (way, source) in enumerate(WAYS.items()):
            own = folder / str(at)
            own.mkdir()
            (own / "rules.py").write_text(source)
            hooks = '[hooks]\nmodules = ["rules.py"]\n' if source else ""
            (own / "config.toml").write_text(CONFIG + hooks)
            world = build(load(own / "config.toml", env={}))
            world.sinks, world.sender = (), Canned()
            self.worlds[way] = world

    async def run(self) -> None:
        spent: dict[tuple[str, str], list[float]] = {}
        asked = bodies()
        for number in range(self.rounds + 1):
            for way in WAYS if number % 2 else reversed(WAYS):
                for what, body in asked.items():
                    us = await self._measured(
                        self.worlds[way], body, self.times // (10 if what == "stream" else 1)
                    )
                    if number:  # the first round warms up
                        spent.setdefault((way, what), []).append(us)
        print(f"{'CPU us more':24}" + "".join(f"{what:>10}" for what in asked) + f"{'a chunk':>10}")
        for way in WAYS:
            more = [self._more(spent, way, what) for what in asked]
            shown = "".join(f"{us:10.1f}" for us in more)
            print(f"{way:24}{shown}{more[-1] / CHUNKS:10.2f}")

    def _more(self, spent: dict[tuple[str, str], list[float]], way: str, what: str) -> float:
        least = min(spent[way, what])
        return least if way == "off" else least - min(spent["off", what])

    async def _measured(self, world: World, body: bytes, times: int) -> float:
        started_s = time.process_time()
        for _ in range(times):
            request = ClientRequest(
                id="id-1",
                method="POST",
                target=b"/all/v1/chat/completions",
                headers=(
                    (b"Host", b"127.0.0.1:8811"),
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(body)),
                    (b"user-agent", b"OpenAI/Python 2.0"),
                    (b"x-stainless-lang", b"python"),
                    (b"authorization", b"Bearer sk-of-the-client"),
                    (b"accept", b"application/json"),
                    (b"accept-encoding", b"gzip, deflate"),
                ),
                body=HeldBody(body),
                client="127.0.0.1",
            )
            async for _ in carry(request, world, Unwatched()):
                pass
        return (time.process_time() - started_s) / times * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--times", type=int, default=60, help="requests a round; a tenth of it of streams")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked.rounds, asked.times)
        bench.open(Path(folder))
        await bench.run()
        for world in bench.worlds.values():
            await world.close()


if __name__ == "__main__":
    asyncio.run(main())
