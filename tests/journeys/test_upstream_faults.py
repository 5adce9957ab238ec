"""Whatever goes wrong upstream: somebody else is asked, or the client is told, and takes no half for all."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from llmitm.config.load import load
from llmitm.errors import LlmitmError
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build
from support.faulted import (
    SAID,
    Told,
    Trial,
    config,
    light,
    problem,
    shuffled,
    told_of,
    trials,
)
from support.faulty import Faulty
from support.storm import PROVIDERS, request_in


async def ask(world: World, trial: Trial) -> Told:
    path, body = request_in(trial.client, trial.model, SAID, trial.is_stream)
    request = ClientRequest(
        id=trial.model,
        method="POST",
        target=f"/all{path}".encode(),
        headers=((b"content-type", b"application/json"), (b"accept-encoding", b"gzip")),
        body=HeldBody(orjson.dumps(body)),
        client="127.0.0.1",
    )
    began_s, content, is_broken = time.monotonic(), b"", False
    status, headers = 0, {}
    try:
        async for step in carry(request, world, Unwatched()):
            if isinstance(step, ResponseHead):
                status, content = step.status, step.whole or b""
                headers = {name.decode().lower(): value.decode() for name, value in step.headers}
            else:
                content += step
    except LlmitmError:
        is_broken = True
    return told_of(status, headers, content, is_broken, began_s)


def some(faults: Sequence[str]) -> list[Trial]:
    """Of each fault, one provider and its own client, and one pair of others."""
    made: list[Trial] = []
    names = list(PROVIDERS)
    for number, fault in enumerate(faults):
        provider, other = names[number % 4], names[(number + 1 + number // 4 % 3) % 4]
        made += trials([fault], pairs=[(provider, provider), (provider, other)], first=len(made))
    return made


SILENT = [name for name in light() if name.endswith("stall")]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    log = logging.getLogger("llmitm")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


@pytest.mark.parametrize(
    ("faults", "silent_s"), [(SILENT, 3), ([name for name in light() if name not in SILENT], 60)]
)
async def test_whatever_goes_wrong_upstream(tmp_path: Path, faults: list[str], silent_s: float) -> None:
    path = tmp_path / "config.toml"
    async with Faulty() as faulty:
        path.write_text(config(faulty.url, silent_s=silent_s))
        world = build(load(path, env={}))
        world.sinks = ()
        waiting, found = iter(shuffled(some(faults))), []

        async def client() -> None:
            for trial in waiting:
                told = await ask(world, trial)
                found.append(problem(trial, told, faulty.calls[trial.model]))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in itertools.repeat(None, 64):
                    group.create_task(client())
        finally:
            await world.close()
    wrong = [one for one in found if one is not None]
    assert not wrong, "\n".join(wrong)
    assert len(found) >= 4 * len(faults)
