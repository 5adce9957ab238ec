"""Calls of models beside those for an answer: plain completions, vectors of texts, counts of tokens.

They go the way of all calls of models. What is different here: several prompts, or more texts than a
provider embeds at once, are asked for in calls of their own and answered as one; and where nobody counts
tokens, they are guessed, and that is said.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import count
from typing import Final

from llmitm.aside import aside
from llmitm.errors import Failure, Refused, UpstreamFailed
from llmitm.exchange import Dialect, ResponseHead, Usage
from llmitm.record.entry import Entry
from llmitm.route import abilities, plan
from llmitm.route.calls import Call, Task
from llmitm.route.plan import Asked
from llmitm.route.providers import Candidate
from llmitm.route.search import Found, Search
from llmitm.translate import completions, counting, embeddings
from llmitm.translate.notes import Notes
from llmitm.trip.missed import Missed
from llmitm.trip.routed import Trip
from llmitm.trip.translated import Wanted, id_header, model_header

type Steps = AsyncGenerator[ResponseHead | bytes]

TASKS: Final[frozenset[Task]] = frozenset({"complete", "embed", "count"})
AT_ONCE: Final = 4
"""Calls that are made at the same time for one client's request."""
UNCOUNTED_S: Final = 600.0
"""So long a host that has no counting call is not asked for it again."""
_NO_SUCH_PATH: Final = (404, 405, 501)
WARNINGS: Final = b"x-llmitm-warnings"
_OF_ONE: Final = frozenset({b"content-length", b"transfer-encoding", WARNINGS})
"""Headers that are true of one answer only."""
_MOST_TOLD: Final = 3
"""Different warnings; parts of one request differ little."""


async def steps(trip: Trip, call: Call, body: bytes, wanted: Wanted) -> Steps:
    """What the client is told.

    Raises:
        Refused, Missed: as `Trip.gateway`.
    """
    known = {one.name: getattr(trip, one.name) for one in fields(trip)}
    beside = _Beside(**known, counts_for=call.dialect if call.task == "count" else None)
    found = list(_candidates(trip, wanted))
    if call.task == "count":
        made = beside.counted(call, body, wanted, found)
    else:
        bodies = await aside(len(body), _split, call, body, found)
        if len(bodies) == 1:
            made = beside.gateway(call, body, wanted)
        elif wanted.is_stream:
            made = _streamed(beside, call, bodies, wanted)
        else:
            made = _whole(beside, call, bodies, wanted)
    async with aclosing(made):
        async for step in made:
            yield step


def _candidates(trip: Trip, wanted: Wanted) -> Iterator[Candidate]:
    """All that may be asked in the end, in no order."""
    routing = trip.config.routing
    asked = [one for model in wanted.models for one in (model, *routing.fallbacks.get(model, ()))]
    for model in filter(trip.is_allowed, asked):
        pool = routing.aliases.get(model)
        for name in [one.model for one in pool] if pool else [model]:
            try:
                yield from (one.value for one in plan.of_model(name, trip.asked.endpoint, trip.config))
            except Refused:
                continue


def _split(call: Call, body: bytes, found: Sequence[Candidate]) -> list[bytes]:
    """A request for each call that has to be made; the request itself where one is enough.

    Raises:
        Refused: 400, it cannot be read.
    """
    if call.task == "complete":
        return [body] if all(map(abilities.completes, found)) else completions.split(body)
    most = [one for one in map(abilities.most_embedded, found) if one is not None]
    if not most or call.path != b"/embeddings":
        return [body]
    return embeddings.split(body, min(most))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside(Trip):
    """A trip of which several parts may be under way at once: their attempts are numbered together."""

    numbers: Iterator[int] = field(default_factory=partial(count, 1))
    counts_for: Dialect | None = None
    """The dialect of a client that wants tokens counted; None: this is no such call."""

    def by_model(self, body: bytes, wanted: Wanted, models: Sequence[str]) -> Search[Candidate]:
        """Those that count nothing are not asked to: there is one that does."""
        search = Trip.by_model(self, body, wanted, models)
        if (client := self.counts_for) is not None:
            found = search.find
            search.find = lambda model: [one for one in found(model) if self._counts(one.value, client)]
        return search

    def by_candidate(
        self, found: Found[Candidate], number: int, call: Call, body: bytes, wanted: Wanted, asked: Asked
    ) -> Steps:
        made = Trip.by_candidate(self, found, next(self.numbers), call, body, wanted, asked)
        chosen = found.choice.value
        if call.task != "count" or abilities.is_sure_to_count(chosen):
            return made
        return self._or_guessed(made, call, body, found.asked_model, chosen)

    # ---- counting

    async def counted(
        self, call: Call, body: bytes, wanted: Wanted, candidates: Sequence[Candidate]
    ) -> Steps:
        """By one that counts; guessed where there is none."""
        if candidates and not any(self._counts(one, call.dialect) for one in candidates):
            yield await aside(len(body), self._guess, call, body, wanted.models[0], candidates[0])
            return
        async with aclosing(self.gateway(call, body, wanted)) as made:
            async for step in made:
                yield step

    async def _or_guessed(self, made: Steps, call: Call, body: bytes, model: str, chosen: Candidate) -> Steps:
        """Of a host that may not have such a call at all."""
        try:
            async with aclosing(made):
                async for step in made:
                    yield step
        except Missed as missed:
            if missed.failure.status not in _NO_SUCH_PATH:
                raise
            self.world.uncounted_s[chosen.base] = self.world.clock.tick_s() + UNCOUNTED_S
            yield await aside(len(body), self._guess, call, body, model, chosen)

    def _counts(self, chosen: Candidate, client: Dialect) -> bool:
        if abilities.counts_in(chosen, client) is None:
            return False
        again_s = self.world.uncounted_s.get(chosen.base)
        return again_s is None or again_s <= self.world.clock.tick_s()

    def _guess(self, call: Call, body: bytes, model: str, chosen: Candidate) -> ResponseHead:
        """Raises `Refused`, 400, where strict was asked for."""
        notes = Notes()
        asked = counting.read_counted(call.dialect, body, model)
        told = counting.guessed(asked, chosen.model, notes, is_strict=self.is_strict(chosen.options))
        self.kept.usage = counting.FREE
        warnings = notes.header()
        assert warnings is not None
        return ResponseHead(
            status=200,
            reason=b"OK",
            headers=(
                (b"content-type", b"application/json"),
                (id_header(call.dialect), self.request.id.encode()),
                model_header(chosen.model),
                (WARNINGS, warnings),
            ),
            whole=told,
        )


# ---- several calls for one request


async def _whole(trip: _Beside, call: Call, bodies: Sequence[bytes], wanted: Wanted) -> Steps:
    """All of them answered, or none."""
    room = asyncio.Semaphore(AT_ONCE)

    async def answer(body: bytes) -> tuple[ResponseHead, bytes]:
        async with room, aclosing(trip.gateway(call, body, wanted)) as made:
            return await _read(made)

    tasks = [asyncio.create_task(answer(body)) for body in bodies]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _add_up(trip.kept)
    try:
        every = [body for _, body in answers]
        whole = await aside(sum(map(len, every)), _joined, call, every, bodies[0])
    except (ValueError, RecursionError):
        raise UpstreamFailed(Failure.MALFORMED, "one of several answers cannot be read") from None
    yield replace(_head_of_all([head for head, _ in answers]), whole=whole)


def _joined(call: Call, answers: Sequence[bytes], asked: bytes) -> bytes:
    if call.task == "embed":
        return embeddings.join(answers)
    joined = completions.Joined(completions.per_prompt(asked))
    for at, body in enumerate(answers):
        joined.add(at, body)
    return joined.whole()


async def _read(made: Steps) -> tuple[ResponseHead, bytes]:
    head: ResponseHead | None = None
    collected: list[bytes] = []
    async for step in made:
        if isinstance(step, ResponseHead):
            head = step
            collected.append(step.whole or b"")
        else:
            collected.append(step)
    assert head is not None
    return head, b"".join(collected)


async def _streamed(trip: _Beside, call: Call, bodies: Sequence[bytes], wanted: Wanted) -> Steps:
    """One after another: choices of a later prompt begin where those of an earlier one have ended."""
    joined = completions.Joined(completions.per_prompt(bodies[0]))
    try:
        for at, body in enumerate(bodies):
            async with aclosing(trip.gateway(call, body, wanted)) as made:
                async for step in made:
                    piece = step if isinstance(step, bytes) else step.whole or b""
                    if isinstance(step, ResponseHead) and at == 0:
                        yield replace(_head_of_all([step]), whole=None)
                    if shown := joined.feed(at, piece):
                        yield shown
            if shown := joined.next(at):
                yield shown
            if trip.kept.error is not None:
                return  # the client has been told
        yield joined.finish()
    finally:
        _add_up(trip.kept)


def _head_of_all(heads: Sequence[ResponseHead]) -> ResponseHead:
    """The first, with what all of them warn of."""
    kept = tuple(pair for pair in heads[0].headers if pair[0].lower() not in _OF_ONE)
    told = [value for head in heads if (value := head.header(WARNINGS)) is not None]
    if told:
        kept = (*kept, (WARNINGS, b", ".join([*dict.fromkeys(told)][:_MOST_TOLD])))
    return replace(heads[0], headers=kept)


def _add_up(kept: Entry) -> None:
    """An exchange of several calls has used what they have used together."""
    every = [one.usage for one in kept.attempts if one.usage is not None]
    if not every:
        return
    sums = {
        name: sum(known)
        for name in Usage.__slots__
        if name.endswith("_tokens")
        and (known := [n for one in every if (n := getattr(one, name)) is not None])
    }
    tools: Counter[str] = Counter()
    for one in every:
        tools.update(dict(one.server_tools))
    kept.usage = replace(
        every[0], **sums, server_tools=tuple(tools.items()), is_final=all(one.is_final for one in every)
    )
