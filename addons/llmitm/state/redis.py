"""Counters that processes share through a Redis server: one script call for many batches, in its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import orjson
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.maint_notifications import MaintNotificationsConfig

from llmitm.secret import MASK, Secret
from llmitm.state.attention import Attention
from llmitm.state.kinds import SECOND_US, in_us, slice_us
from llmitm.state.place import Place
from llmitm.state.store import Count, Lease, Mark, Outcome, Step, StoreBegunAnew, StoreUnavailable, Window

TIMEOUT_S: Final = 0.25
LANES: Final = 4
"""Calls under way at once. What comes while all are taken goes together in the next one."""
MOST_TOGETHER: Final = 64
_LANE_TIMES: Final = 2
"""A connection is given up later than the callers whose answers it owes have gone."""
_CONNECT_S: Final = 10.0
"""Of the driver alone: calls end sooner."""
IDLE_S: Final = 30 * 86_400
"""Counts and marks without an end go when nobody has used them for so long."""

_PREFIX: Final = "llmitm:{state}:"
"""All keys have one hash tag: a batch is of one slot."""
_LIFE: Final = f"{_PREFIX}life"
"""Holds what the first process wrote that found nothing: where it is gone, all else is."""

_SCRIPT: Final = Path(__file__).with_name("steps.lua").read_text("utf-8")
_SCRIPT_ID: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (AuthenticationError, "refuses the user name or the password"),
    (NoPermissionError, "does not permit this user to use the keys llmitm:* or scripts"),
    (BusyLoadingError, "is still loading its data"),
    (ReadOnlyError, "is a replica that only reads"),
    (OutOfMemoryError, "is out of memory"),
    (MovedError, "is one node of a cluster, which is not supported"),
    (ssl.SSLError, "does not speak TLS as expected"),
)


@dataclass(frozen=True, slots=True)
class _Call:
    """A batch that waits for its turn, or for its answer."""

    keys: Sequence[bytes]
    """One a step."""
    fields: Sequence[tuple[object, ...]]
    answer: asyncio.Future[list[int]]
    since_s: float
    """What `Attention` said when it came."""


class _Anew(Exception):
    """The server has lost what it held."""


class RedisStore:
    """A `Store` on a Redis server, version 5 or later. Needs no clock: time is the server's.

    No call takes longer than `timeout_s`, its wait for a turn included, and none is tried twice. Of that
    time only what this process listened in is counted: where it is too busy to look, the server is not away.
    """

    def __init__(
        self,
        place: Place,
        *,
        timeout_s: float = TIMEOUT_S,
        now_us: Callable[[], int] | None = None,
        client: Redis | None = None,
    ) -> None:
        """`now_us`: a time to be used for the server's, and `client` another driver, in tests."""
        self.name = place.name
        self._password = place.password
        self._timeout_s = timeout_s
        self._now_us = now_us
        self._client = client or connected(place)
        self._ask: Callable[..., Awaitable[Any]] = self._client.execute_command
        self._waiting: list[_Call] = []
        self._open: dict[asyncio.Future[list[int]], _Call] = {}
        """All that have no answer yet, the oldest first."""
        self._trips: dict[asyncio.Timeout, float] = {}
        """What the lanes are at, and since when."""
        self._attention = Attention(self._end_overdue)
        self._lanes: set[asyncio.Task[None]] = set()
        self._life: bytes | None = None
        """Of the server, since it was seen to have the script; None: it may not have it."""

    @property
    def has_marks(self) -> bool:
        return True  # others may have set one

    async def apply(self, steps: Sequence[Step]) -> Outcome:
        """Raises: StoreUnavailable, StoreBegunAnew"""
        if not steps:
            return Outcome(values=())
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        keys, fields = [_key(step) for step in steps], [_fields(step) for step in steps]
        call = _Call(keys, fields, answer, self._attention.paid_s)
        self._waiting.append(call)
        self._open[call.answer] = call
        self._attention.pay()
        if len(self._lanes) < LANES:
            self._lanes.add(asyncio.create_task(self._keep_lane()))
        try:
            return _outcome(await call.answer)
        except _Anew:
            raise StoreBegunAnew(f"{self.name} has begun anew, with nothing") from None
        except (TimeoutError, RedisError, OSError) as error:
            raise StoreUnavailable(f"{self.name} {reason(error, self._password, self._timeout_s)}") from None
        finally:
            del self._open[call.answer]

    def _end_overdue(self, paid_s: float) -> bool:
        """Whether anything is still under way."""
        for call in self._open.values():
            if paid_s - call.since_s < self._timeout_s:
                break
            if not call.answer.done():
                call.answer.set_exception(TimeoutError())
        late_s = _LANE_TIMES * self._timeout_s
        for trip in [trip for trip, since_s in self._trips.items() if paid_s - since_s >= late_s]:
            del self._trips[trip]
            trip.reschedule(0)
        return bool(self._open or self._trips)

    async def _keep_lane(self) -> None:
        try:
            await self._send_waiting()
        finally:
            # not by a callback of the task, which comes a turn later: who asks until then would wait in vain
            lane = asyncio.current_task()
            assert lane is not None
            self._lanes.discard(lane)

    async def _send_waiting(self) -> None:
        """One lane: sends until nobody waits. What fails, fails all that went together."""
        await asyncio.sleep(0)  # those who come in the same turn of the loop go together
        while self._waiting:
            calls = [call for call in self._waiting[:MOST_TOGETHER] if not call.answer.done()]
            del self._waiting[:MOST_TOGETHER]
            try:
                async with asyncio.timeout(None) as trip:
                    self._trips[trip] = self._attention.paid_s
                    try:
                        await self._send(calls)
                    finally:
                        self._trips.pop(trip, None)
            except Exception as error:
                for call in calls:
                    if not call.answer.done():
                        call.answer.set_exception(error)

    async def _send(self, calls: Sequence[_Call]) -> None:
        if not calls:
            return
        life = self._life or await self._join()
        keys = [key for call in calls for key in call.keys]
        now = b"" if self._now_us is None else b"%d" % self._now_us()
        batches = orjson.dumps([call.fields for call in calls])
        words = ("EVALSHA", _SCRIPT_ID, len(keys) + 1, _LIFE, *keys, life, now, IDLE_S, batches)
        try:
            told: bytes = await self._ask(*words)
        except NoScriptError:  # it did nothing
            await self._join()
            await self._send(calls)
            return
        if not told:
            self._begin_anew(life)
            raise _Anew
        for call, answer in zip(calls, orjson.loads(told), strict=True):
            if not call.answer.done():
                call.answer.set_result(answer)

    async def _join(self) -> bytes:
        """Sees that the server has the script, and which life of it this is."""
        await self._client.script_load(_SCRIPT)
        await self._ask("SET", _LIFE, token_hex(8), "NX")
        life: bytes | None = await self._ask("GET", _LIFE)
        if life is None:
            raise _Anew
        if self._life is None:
            self._life = life
        return self._life

    def _begin_anew(self, life: bytes) -> None:
        """Who waits for a turn is told too: all have to look first what was lost."""
        if self._life == life:
            self._life = None
        for call in self._waiting:
            if not call.answer.done():
                call.answer.set_exception(_Anew())

    async def close(self) -> None:
        for lane in list(self._lanes):
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._attention.close()
        for call in self._waiting:
            call.answer.cancel()
        await self._client.aclose(close_connection_pool=True)


def reason(error: Exception, password: Secret | None, timeout_s: float) -> str:
    """What a server does, such as `cannot be reached: ...`. Holds no password."""
    if isinstance(error, TimeoutError | RedisTimeout):
        return f"gives no answer within {timeout_s * 1000:.0f} ms"
    for kind, told in _REASONS:
        if isinstance(error, kind):
            return told
    text = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    if password is not None:
        text = text.replace(password.reveal(), MASK)
    is_refused = isinstance(error, RedisConnectionError | OSError)
    return f"{'cannot be reached' if is_refused else 'answers with an error'}: {text}"


def connected(place: Place) -> Redis:
    """The driver. Connects when it is first asked."""
    options: dict[str, Any] = dict(place.files)
    pool = BlockingConnectionPool(
        connection_class=SSLConnection if place.scheme == "rediss" else Connection,
        host=place.host,
        port=place.port,
        db=place.database,
        username=place.user,
        password=None if place.password is None else place.password.reveal(),
        max_connections=LANES,
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=_CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        client_name="llmitm",
        driver_info=None,
        protocol=2,
        # where these are on, a connection that the server closed is not noticed before it is used
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    return Redis(connection_pool=pool)


def _key(step: Step) -> bytes:
    match step:
        case Count():
            kind = "c:"
        case Window():
            kind = f"w:{slice_us(step.window_s)}:"
        case Lease():
            kind = "l:"
        case Mark():
            kind = "m:"
    return f"{_PREFIX}{kind}{step.key}".encode("utf-8", "surrogatepass")


def _fields(step: Step) -> tuple[object, ...]:
    """The five that the script takes for a step."""
    match step:
        case Count():
            return "c", step.by, _or_false(step.limit), _us(step.ttl_s), step.is_lasting
        case Window():
            return "w", step.by, _or_false(step.limit), slice_us(step.window_s), _us(step.age_s)
        case Lease():
            holder = step.holder.encode("utf-8", "backslashreplace").decode()
            return "l", holder, _or_false(step.limit), _us(step.ttl_s), step.is_over
        case Mark():
            return "m", step.value, False, _us(step.ttl_s), step.is_over


def _or_false(number: int | None) -> int | bool:
    return False if number is None else number


def _us(duration_s: float | None) -> int | bool:
    return False if duration_s is None else in_us(duration_s)


def _outcome(answer: list[int]) -> Outcome:
    refused, wait_us, *looks = answer
    return Outcome(
        values=tuple(looks[0::2]),
        refused=None if refused < 0 else refused,
        ends_s=tuple(None if end_us < 0 else end_us / SECOND_US for end_us in looks[1::2]),
        wait_s=None if wait_us < 0 else wait_us / SECOND_US,
    )
