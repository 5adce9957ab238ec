"""Clients of every dialect, each asking for something that goes wrong upstream in a way of its own."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson

from llmitm.translate.inflate import Broken, inflater
from support.faulty import ECHOED, FAULTS, Faulty
from support.storm import PROVIDERS, request_in, text_in

SAID: Final = "one two three four five"
HEARD: Final = f"The demo provider heard you say: {SAID}"
_BETTER: Final = {
    "right": ("right",),
    "replaced": ("right", "replaced"),
    "told": ("told",),
    "cut": ("right", "replaced", "cut"),
}
_BLOCK_ENDS: Final = re.compile(rb"\n\n+")


def config(url: str, *, silent_s: float = 1.5, more: str = "") -> str:
    """A provider of each dialect with two keys; nothing rests."""
    lines = [
        "retry = {cooldowns = false, base_ms = 1, budget_ratio = 1}",
        'routing = {strategy = "fill-first"}',
        "streaming = {heartbeat_s = 0}",  # on a busy machine they would spend the status
        f"timeouts = {{connect_s = 60, first_byte_s = {silent_s}, idle_s = {silent_s}}}",
        "[server]\nport = 0",
        '[endpoints.all]\nkind = "gateway"',
    ]
    for name, (dialect, _, path) in PROVIDERS.items():
        lines += [
            f"[providers.{name}]",
            f'format = "{dialect}"',
            f'base_url = "{url}{path}"',
            f'models = ["{name}.*"]',
            f'api_keys = ["{ECHOED}-{name}", "sk-second-{name}"]',
        ]
    return "\n".join([*lines, more])


@dataclass(frozen=True, slots=True)
class Trial:
    """One request, and what goes wrong with it."""

    number: int
    fault: str
    provider: str
    client: str
    is_stream: bool
    is_always: bool
    """All calls fail; else the first one."""

    @property
    def model(self) -> str:
        return f"{self.provider}.{self.fault}.{'always' if self.is_always else 'first'}.{self.number}"

    def __str__(self) -> str:
        kind = "stream" if self.is_stream else "whole"
        return f"{self.fault}: {self.client} of {self.provider}, {kind}, always {self.is_always}"


@dataclass(frozen=True, slots=True)
class Told:
    """What the client got. `status` 0: no head."""

    status: int
    content: bytes
    is_broken: bool
    """The connection broke before HTTP's own end."""
    took_s: float


def trials(
    faults: Sequence[str], *, pairs: Sequence[tuple[str, str]] | None = None, first: int = 0
) -> Iterator[Trial]:
    """Each fault in each pair of provider and client, streamed and not, for the first call and for all."""
    numbers = itertools.count(first)
    for fault in faults:
        for provider, client in pairs or itertools.product(PROVIDERS, PROVIDERS):
            for is_stream, is_always in itertools.product((False, True), (False, True)):
                if is_stream or FAULTS[fault].whole is not None:
                    yield Trial(next(numbers), fault, provider, client, is_stream, is_always)


async def ask(session: aiohttp.ClientSession, url: str, trial: Trial) -> Told:
    path, body = request_in(trial.client, trial.model, SAID, trial.is_stream)
    headers: dict[str, str] = {}
    began_s, content, is_broken, status = time.monotonic(), b"", False, 0
    try:
        async with session.post(f"{url}/all{path}", json=body, allow_redirects=False) as answer:
            status, headers = answer.status, dict(answer.headers)
            async for piece in answer.content.iter_any():
                content += piece
    except (aiohttp.ClientError, OSError):
        is_broken = True
    return told_of(
        status, {name.lower(): value for name, value in headers.items()}, content, is_broken, began_s
    )


def told_of(status: int, headers: dict[str, str], content: bytes, is_broken: bool, began_s: float) -> Told:
    """`headers` by lower names; `began_s` on the monotonic clock."""
    if (length := headers.get("content-length")) is not None:
        is_broken = is_broken or int(length) != len(content)
    try:
        inflate = inflater(headers.get("content-encoding", "").encode())
        if inflate is not None:
            content = b"".join(inflate(content))
    except LookupError:
        pass
    except Broken:
        is_broken = True
    return Told(status, content, is_broken, time.monotonic() - began_s)


def problem(trial: Trial, told: Told, calls: int) -> str | None:
    """What is wrong with it; None: nothing is."""
    fault = FAULTS[trial.fault]
    worst = fault.stream if trial.is_stream else fault.whole
    assert worst is not None
    found = _outcome(trial, told, calls)
    if fault.may_pass and trial.client == trial.provider and told.status == 200:
        return None
    if found not in _BETTER[worst]:
        return f"{trial}: {found}, not {worst}: {told.status} {told.content[-400:]!r} after {calls} calls"
    if ECHOED.encode() in told.content:
        return f"{trial}: shows the key"
    known = 503 if fault.status == 502 and trial.client == "gemini" else fault.status  # Google has no 502
    if _is_told_of(trial, found) and known not in (None, told.status):
        return f"{trial}: status {told.status}"
    return None


def _is_told_of(trial: Trial, found: str) -> bool:
    return found == "told" or (found == "replaced" and trial.is_always)


def _outcome(trial: Trial, told: Told, calls: int) -> str:
    if told.status != 200:
        if told.is_broken or not _is_error(trial.client, told.content) or told.status < 400:
            return "an error in no form"
        if calls == 1:
            return "told"
        return "replaced" if trial.is_always else f"told after {calls} calls"
    if not told.is_broken and said(trial.client, told.content, trial.is_stream) == HEARD:
        return "right" if calls == 1 else "replaced"
    return "cut" if told.is_broken or _is_cut(trial, told.content) else "wrong, and no word of it"


_LAST_WORDS: Final = {"chat": b"data: [DONE]\n\n", "messages": b'data: {"type":"message_stop"}\n\n'}
"""Clients do without, where they were told why it ended."""
_WHY: Final = {"chat": b'"finish_reason":"', "messages": b'"stop_reason":"'}


def said(dialect: str, content: bytes, is_stream: bool) -> str | None:
    """What was said, as the standard of event streams has it read; None where the answer is not whole."""
    if is_stream:
        content = b"".join(b"data: " + one + b"\n\n" for one in _events(content))
        if _WHY.get(dialect, b"") not in content:
            return None
    try:
        return text_in(dialect, content + _LAST_WORDS.get(dialect, b"") * is_stream, is_stream)
    except (LookupError, TypeError, ValueError):
        return None


def _events(content: bytes) -> Iterator[bytes]:
    """The data of those that are known, to the terminator."""
    plain = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *blocks, _ = _BLOCK_ENDS.split(plain)
    for block in blocks:
        lines = [line.partition(b":") for line in block.split(b"\n")]
        data = b"\n".join(
            value.removeprefix(b" ") for name, colon, value in lines if name == b"data" and colon
        )
        if not data or b'"type":"new"' in data:
            continue
        if data == b"[DONE]" or b'"message_stop"' in data:
            return
        yield data
        if b'"response.completed"' in data:
            return


def _is_cut(trial: Trial, content: bytes) -> bool:
    """Whether a stream ends in an error that a client of this dialect notices."""
    return trial.is_stream and any(_is_error(trial.client, one) for one in list(_events(content))[-1:])


def _is_error(dialect: str, content: bytes) -> bool:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    match dialect, told:
        case "messages", {"type": "error", "error": {"type": str(), "message": str()}}:
            return True
        case "gemini", {"error": {"code": int(), "message": str(), "status": str()}}:
            return True
        case "chat", {"error": {"message": str()}}:
            return True
        case "responses", {"error": {"message": str()}} | {"type": "error", "message": str()}:
            return True
        case "responses", {"type": "response.failed", "response": {"error": {"message": str()}}}:
            return True
        case _:
            return False


def shuffled(all_of: Sequence[Trial]) -> list[Trial]:
    """So that those which are tried again, of which there is a budget, stand among others."""
    return random.Random(1).sample(all_of, len(all_of))


async def run(url: str, faulty: Faulty, all_of: Sequence[Trial], *, at_once: int = 64) -> list[str]:
    """What was wrong with any of them."""
    waiting, found = iter(shuffled(all_of)), []

    async def client(session: aiohttp.ClientSession) -> None:
        for trial in waiting:
            told = await ask(session, url, trial)
            if (wrong := problem(trial, told, faulty.calls[trial.model])) is not None:
                found.append(wrong)

    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(at_once):
            group.create_task(client(session))
    return found


def light() -> list[str]:
    return [name for name, fault in FAULTS.items() if not fault.is_heavy]
