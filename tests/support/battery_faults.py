"""Rows of the battery: what upstreams do wrong, and where they cannot be reached."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from support import faulted
from support.authorities import Authority, served
from support.battery import Bench, Row, ask, request_in, rows_of
from support.faulted import Told, Trial
from support.faulty import FAULTS, Faulty, made_bombs
from support.gateway import Gateway
from support.storm import PROVIDERS

_PAIRS: Final = [(one, one) for one in PROVIDERS] + [
    *(("chat", "messages"), ("messages", "gemini"), ("gemini", "responses"), ("responses", "chat")),
]
_KEY: Final = "sk-address-canary"
_CONNECT_S: Final = 1.0
_PATIENCE: Final = aiohttp.ClientTimeout(total=30)


async def answers(bench: Bench) -> str:
    silent = [name for name in faulted.light() if name.endswith("stall")]
    others = [name for name in faulted.light() if name not in silent]
    told: list[str] = []
    # of those that are silent fewer at once: no more than 50 further tries in ten seconds are free
    for names, silent_s, at_once in ((others, 60.0, 64), (silent, 3.0, 12)):
        async with Faulty() as faulty:
            folder = "silent" if names is silent else "others"
            async with bench.gateway(faulted.config(faulty.url, silent_s=silent_s), folder) as gateway:
                trials = list(faulted.trials(names, pairs=_PAIRS))
                wrong = await faulted.run(gateway.url, faulty, trials, at_once=at_once)
        assert not wrong, f"{len(wrong)} of {len(trials)} wrong: {wrong[0]}"
        output = gateway.output()
        assert "Traceback" not in output and "has crashed" not in output, output[-2_000:]
        rows = await asyncio.to_thread(rows_of, gateway.folder)
        assert rows == len(trials), f"{rows} rows of {len(trials)}"
        assert not (less := _below_nothing(gateway.folder)), f"counts below nothing: {less}"
        told.append(f"{len(names)} faults, {len(trials)} requests and rows")
    return "; ".join(told) + ": each right, tried again or told"


def _below_nothing(folder: Path) -> list[str]:
    """Columns of the ledger in which a number is negative."""
    found = []
    with sqlite3.connect(f"file:{folder}/llmitm.db?mode=ro", uri=True) as ledger:
        for table in ("exchanges", "attempts"):
            for _, name, kind, *_ in ledger.execute(f"pragma table_info({table})").fetchall():
                if "INT" in kind.upper() or "FLOAT" in kind.upper():
                    less = ledger.execute(f'select count(*) from {table} where "{name}" < 0').fetchone()[0]
                    found += [f"{table}.{name}"] * bool(less)
    return found


# -- addresses


@dataclass(slots=True)
class Addresses:
    """Places where no answer can come from, by name. `seen` is what arrived there, decrypted where it was."""

    urls: dict[str, str] = field(default_factory=dict)
    seen: bytearray = field(default_factory=bytearray)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                self.seen += piece
        writer.close()


@asynccontextmanager
async def _addresses(folder: Path) -> AsyncIterator[tuple[Addresses, Path]]:
    """With the authority that is trusted."""
    made = Addresses()
    trusted, stranger = Authority(folder, "trusted"), Authority(folder, "stranger")
    shown = {
        "tls-expired": served(trusted.pair("expired", days=-1)),
        "tls-other-name": served(trusted.pair("other", names=("other.example",))),
        "tls-stranger": served(stranger.pair("strange")),
        "tls-silent": None,
    }
    async with AsyncExitStack() as stack:
        for name, context in shown.items():
            server = await asyncio.start_server(made._take, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            made.urls[name] = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            made.urls["refused"] = f"http://127.0.0.1:{free.getsockname()[1]}"
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        made.urls["silent"] = f"http://127.0.0.1:{full.getsockname()[1]}"
        made.urls["unknown-name"] = "http://nowhere.invalid"
        yield made, trusted.ca


def _address_config(urls: dict[str, str], good: str, ca: Path) -> str:
    lines = [
        "retry = {cooldowns = false, base_ms = 1, budget_ratio = 1}",
        'routing = {strategy = "fill-first"}',
        f"timeouts = {{connect_s = {_CONNECT_S}, first_byte_s = 60}}",
        "[server]\nport = 0",
        '[endpoints.all]\nkind = "gateway"',
    ]
    for (name, url), when in itertools.product(urls.items(), ("first", "always")):
        lines += [f'[providers."{name}-{when}"]', 'format = "openai-chat"', f'models = ["{name}-{when}"]']
        lines += [f'tls_ca = "{ca}"'] * url.startswith("https")
        for number, base_url in enumerate((url, url if when == "always" else good)):
            lines += [f'[[providers."{name}-{when}".credentials]]', f'api_key = "{_KEY}-{number}"']
            lines.append(f'base_url = "{base_url}/v1"')
    return "\n".join(lines)


async def addresses(bench: Bench) -> str:
    worst_s: dict[str, float] = {}
    problems: list[str] = []
    async with _addresses(bench.folder) as (there, ca):
        config = _address_config(there.urls, bench.provider.url, ca)
        async with bench.gateway(config) as gateway, aiohttp.ClientSession(timeout=_PATIENCE) as session:
            for name, when in itertools.product(there.urls, ("first", "always")):
                for dialect, is_stream in itertools.product(PROVIDERS, (False, True)):
                    began_s = time.monotonic()
                    problem = await _asked(session, gateway.url, dialect, f"{name}-{when}", is_stream)
                    tries = 2 if when == "always" else 1
                    worst_s[name] = max(worst_s.get(name, 0), (time.monotonic() - began_s) / tries)
                    problems += [f"{name}, {when}: {problem}"] if problem else []
            rows = len(there.urls) * 2 * len(PROVIDERS) * 2
        assert not problems, f"{len(problems)} of {rows}: {problems[0]}"
        assert _KEY.encode() not in there.seen, "a key was sent to whom it is not for"
        found = await asyncio.to_thread(rows_of, gateway.folder)
    assert found == rows, f"{found} rows of {rows}"
    assert max(worst_s.values()) < _CONNECT_S + 0.2, f"seconds a try: {worst_s}"
    slowest = ", ".join(f"{name} {1000 * one:.0f}" for name, one in worst_s.items())
    return f"{rows} requests and rows; no key seen; ms a try at most (connect_s = 1): {slowest}"


async def _asked(
    session: aiohttp.ClientSession, url: str, dialect: str, model: str, is_stream: bool
) -> str | None:
    if model.endswith("-first"):
        return await ask(session, url, dialect, model, is_stream=is_stream, model=model)
    path, body = request_in(dialect, model, "x", is_stream)
    async with session.post(f"{url}/all{path}", json=body) as answer:
        content = await answer.read()
    is_told = answer.status in (502, 503, 504) and b'"error"' in content
    return None if is_told else f"{dialect}, stream {is_stream}: {answer.status} {content[:300]!r}"


# -- what is large


@dataclass(slots=True)
class Watching:
    """How much memory a gateway has at most, and how long it keeps another client waiting."""

    gateway: Gateway
    most_bytes: int = 0
    worst_s: float = 0
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watching:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *raised: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                began_s = time.monotonic()
                async with session.get(f"{self.gateway.url}/health") as answer:
                    await answer.read()
                self.worst_s = max(self.worst_s, time.monotonic() - began_s)
                self.most_bytes = max(self.most_bytes, self.gateway.rss_bytes())
                await asyncio.sleep(0.005)


async def _large(gateway: Gateway, faulty: Faulty, names: Sequence[str]) -> tuple[Watching, int]:
    """One after another; with the number of requests."""
    trials = list(faulted.trials(names, pairs=[*_PAIRS[:5], ("gemini", "chat")]))
    timeout = aiohttp.ClientTimeout(total=120)
    async with (
        Watching(gateway) as watching,
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
    ):
        for trial in trials:
            told = await _bounded(session, gateway.url, trial)
            problem = faulted.problem(trial, told, faulty.calls[trial.model]) if told else None
            assert problem is None, problem
    return watching, len(trials)


async def _bounded(session: aiohttp.ClientSession, url: str, trial: Trial) -> Told | None:
    """None where a bomb was handed on as it is, to a client that has to mind itself."""
    if "bomb" not in trial.fault or trial.client != trial.provider:
        return await faulted.ask(session, url, trial)
    path, body = request_in(trial.client, trial.model, faulted.SAID, trial.is_stream)
    async with session.post(f"{url}/all{path}", json=body) as answer:
        async for _ in answer.content.iter_any():
            pass
    return None


async def large(bench: Bench) -> str:
    told = []
    await asyncio.to_thread(made_bombs)  # takes seconds, in which nobody here would be answered
    async with Faulty() as faulty:
        config = faulted.config(faulty.url, silent_s=60)
        for name in ("big-head", "many-fields", *(one for one, fault in FAULTS.items() if fault.is_heavy)):
            async with bench.gateway(config, name) as gateway:
                await _large(gateway, faulty, ["none"])
                faulty.calls.clear()
                before = gateway.rss_bytes()
                watching, count = await _large(gateway, faulty, [name])
                faulty.calls.clear()
            grown_mb = (watching.most_bytes - before) / 1e6
            most_mb = 20 if "bomb" not in name and name != "long-line" else 60
            told.append(f"{name} {grown_mb:.0f} MB, {1000 * watching.worst_s:.0f} ms")
            assert grown_mb < most_mb, f"{name}: {grown_mb:.0f} MB more in {count} requests"
    return "memory more, longest wait of another client: " + "; ".join(told)


# -- nobody is left


async def resting(bench: Bench) -> str:
    lines = ["[server]\nport = 0", '[endpoints.all]\nkind = "gateway"', "[providers.chat]"]
    lines += ['format = "openai-chat"', 'base_url = "{url}/v1"', 'api_keys = ["sk-a", "sk-b", "sk-c"]']
    bench.provider.script([f"status:429;retry-after={wait_s}" for wait_s in (90, 50, 70)])
    took_s: list[float] = []
    async with bench.gateway("\n".join(lines)) as gateway, aiohttp.ClientSession() as session:
        for _ in range(201):
            began_s = time.monotonic()
            path, body = request_in("chat", "gpt-demo", "x", False)
            async with session.post(f"{gateway.url}/all{path}", json=body) as answer:
                await answer.read()
                assert answer.status == 429, f"{answer.status}"
                assert 30 < int(answer.headers["retry-after"]) <= 50, answer.headers["retry-after"]
            took_s.append(time.monotonic() - began_s)
    assert bench.provider.count == 3, f"{bench.provider.count} calls"
    took_s = sorted(took_s[1:])
    return (
        f"200 requests, no call; 429 with the soonest end, half within {1000 * took_s[100]:.1f} ms, 99 "
        f"of 100 within {1000 * took_s[197]:.1f} ms"
    )


ROWS: Final = (
    Row(
        "faults: answers",
        f"{len(faulted.light())} faults, 8 pairs of dialects, first and all calls",
        answers,
    ),
    Row(
        "faults: addresses",
        "refused, silent, unknown, TLS expired, of others, silent; all clients",
        addresses,
    ),
    Row("faults: large", "bombs of 1 GB in three codings, 10 MB lines, 1 MB heads, 10,000 fields", large),
    Row("faults: all rest", "three keys told to wait 90, 50 and 70 s; 200 requests more", resting),
)
