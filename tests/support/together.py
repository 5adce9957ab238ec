"""Two gateways as processes of their own on one redis-server, a provider behind both, and their clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

import aiohttp
import orjson

from llmitm.demo.received import Received
from llmitm.exchange import Dialect
from support.backstage import Backstage
from support.gateway import Gateway
from support.redis_server import RedisServer

AWAY: Final = "local to this process for now"
BACK: Final = "is used again after"
_PATHS: Final = {
    Dialect.OPENAI_CHAT: "/all/v1/chat/completions",
    Dialect.OPENAI_RESPONSES: "/all/v1/responses",
    Dialect.ANTHROPIC_MESSAGES: "/all/v1/messages",
    Dialect.GEMINI: "/all/v1beta/models/{model}:generateContent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client got."""

    dialect: Dialect
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    took_s: float

    def json(self) -> Any:
        return orjson.loads(self.body)


class Together:
    """`gateways` run on `redis`, which `provider` stands behind. Use it as a context manager."""

    def __init__(self, config: str, folder: Path) -> None:
        """`config` names `{redis}`, the store's URL, and `{url}`, the provider's."""
        self._config = config
        self._folder = folder
        self._stack = ExitStack()
        self.redis = RedisServer(folder)
        self.gateways: tuple[Gateway, ...] = ()
        self.provider: Backstage

    def __enter__(self) -> Together:
        with self._stack:
            self.redis.start()
            self._stack.callback(self.redis.kill)
            self.provider = self._stack.enter_context(Backstage(requests_kept=1_000_000))
            made = []
            for name in ("one", "other"):
                folder = self._folder / name
                folder.mkdir()
                config = self._config.format(redis=self.redis.url, url=self.provider.url)
                made.append(Gateway(config, folder, host="serve"))
            self.gateways = tuple(self._stack.enter_context(one) for one in made)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def arrived(self) -> list[Received]:
        """What reached the provider since `provider.forget`."""
        count = self.provider.new
        return list(self.provider.provider.requests)[-count:] if count else []

    def wait_away(self, times: int, timeout_s: float = 20.0) -> None:
        """Until each gateway has said `times` times that its counters are local."""
        self._wait(AWAY, times, timeout_s)

    def wait_back(self, times: int, timeout_s: float = 20.0) -> None:
        self._wait(BACK, times, timeout_s)

    def _wait(self, words: str, times: int, timeout_s: float) -> None:
        """Looks now and then: under load there are thousands of lines, and few are of this."""
        until_s = time.monotonic() + timeout_s
        while any(one.output().count(words) < times for one in self.gateways):
            assert time.monotonic() < until_s, f"not {times} times: {words!r}"
            time.sleep(0.02)

    def said(self) -> list[tuple[int, int]]:
        """How often each gateway said that its counters are local, and that they are shared again."""
        outputs = [one.output() for one in self.gateways]
        return [(said.count(AWAY), said.count(BACK)) for said in outputs]


class Reached(Protocol):
    """A gateway, or what stands before some."""

    @property
    def url(self) -> str: ...


class Clients:
    """Many clients of the gateways, each request on a connection of its own if need be."""

    def __init__(self, gateways: Iterable[Reached], session: aiohttp.ClientSession) -> None:
        self._urls = [one.url for one in gateways]
        self._session = session

    async def ask(
        self,
        number: int,
        *,
        key: str,
        model: str,
        dialect: Dialect = Dialect.OPENAI_CHAT,
        said: str = "hello there",
        stream: bool = False,
    ) -> Told:
        """Client `number` asks: even ones of one gateway, odd ones of the other."""
        began_s = time.monotonic()
        url = self._urls[number % len(self._urls)] + _PATHS[dialect].format(model=model)
        headers = {"x-llmitm-key": key, "x-debug": "true"}
        async with self._session.post(url, json=_body(dialect, model, said, stream), headers=headers) as got:
            body = await got.read()
        return Told(
            dialect=dialect,
            status=got.status,
            headers={name.lower(): value for name, value in got.headers.items()},
            body=body,
            took_s=time.monotonic() - began_s,
        )

    async def all_at_once(self, count: int, *, key: str, model: str, **asked: Any) -> list[Told]:
        return await asyncio.gather(
            *(self.ask(number, key=key, model=model, **asked) for number in range(count))
        )


@asynccontextmanager
async def clients_of(together: Together, timeout_s: float = 30.0) -> AsyncIterator[Clients]:
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Clients(together.gateways, session)


def _body(dialect: Dialect, model: str, said: str, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": said}]
    match dialect:
        case Dialect.OPENAI_CHAT:
            return {"model": model, "messages": messages, "max_completion_tokens": 20, "stream": stream}
        case Dialect.OPENAI_RESPONSES:
            return {"model": model, "input": said, "max_output_tokens": 20, "stream": stream, "store": False}
        case Dialect.ANTHROPIC_MESSAGES:
            return {"model": model, "messages": messages, "max_tokens": 20, "stream": stream}
        case Dialect.GEMINI:
            part = {"role": "user", "parts": [{"text": said}]}
            return {"contents": [part], "generationConfig": {"maxOutputTokens": 20}}


def most_at_once(arrived: Iterable[Received]) -> int:
    """How many of them were under way at one moment."""
    moments = [(one.began_s, 1) for one in arrived]
    moments += [(one.ended_s, -1) for one in arrived if one.ended_s is not None]
    under_way = most = 0
    for _, change in sorted(moments):
        under_way += change
        most = max(most, under_way)
    return most
