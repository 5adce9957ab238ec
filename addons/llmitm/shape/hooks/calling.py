"""One hook called: within its time, and with what becomes of an exchange where it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from llmitm.clock import Clock
from llmitm.errors import Refused
from llmitm.hooks import Refuse, Skip
from llmitm.shape.hooks.modules import Hook, line_of

log = logging.getLogger("llmitm")

SLOW_S: Final = 0.05
_SAID_EVERY_S: Final = 60.0
_said_s: dict[tuple[str, str, str], float] = {}
"""When what was last said of a function, by file, name and kind."""


class RefusedByHook(Refused):
    """A function of the operator's wants it so, or failed."""


class _TooLate(Exception):
    pass


class _Exits(Exception):
    pass


async def call(hook: Hook, value: object, takes: tuple[type, ...], clock: Clock) -> Any:
    """What the hook makes of `value`: one of `takes`, or None.

    Raises:
        RefusedByHook: as the hook wants it; or 500, it failed and is fail-closed.
        Skip: the hook raised it, which is `on_attempt`.
    """
    if not hook.is_async:
        return call_plain(hook, value, takes, clock)
    try:
        made = await _in_time(hook.function(value), hook.time_limit_s, clock)
    except (Exception, SystemExit) as error:
        return _raised(hook, error, clock)
    return _taken(hook, made, takes, clock)


def call_plain(hook: Hook, value: object, takes: tuple[type, ...], clock: Clock) -> Any:
    """The same of a function that is not `async`."""
    began_s = clock.tick_s()
    try:
        made = hook.function(value)
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # nobody else could have cancelled it
        return _raised(hook, error, clock)
    if (took_s := clock.tick_s() - began_s) > SLOW_S:
        _say(hook, "slow", f"held up all exchanges for {took_s * 1000:.0f} ms; make it async", clock)
    return _taken(hook, made, takes, clock)


def _taken(hook: Hook, made: object, takes: tuple[type, ...], clock: Clock) -> Any:
    if made is None or isinstance(made, takes):
        return made
    return failed(hook, f"gave back a value of type {type(made).__name__}", clock)


def _raised(hook: Hook, error: BaseException, clock: Clock) -> None:
    match error:
        case Refuse():
            status = error.status if isinstance(error.status, int) and 400 <= error.status <= 599 else 403
            raise RefusedByHook(status, str(error.code), str(error.message)) from None
        case Skip() if hook.name == "on_attempt":
            raise error
        case _TooLate():
            failed(hook, f"took longer than {hook.time_limit_s:g} s", clock)
        case _Exits() | SystemExit():
            failed(hook, "tried to end the process", clock)
        case _:  # its text may hold what clients said
            what = f"raised {type(error).__name__} in line {line_of(error, hook.file)}"
            failed(hook, what, clock)


async def _in_time(coroutine: Coroutine[Any, Any, object], limit_s: float, clock: Clock) -> object:
    # begun in place: where it waits for nothing it is over at once, and nobody need watch the time
    task = asyncio.Task(_kept_in(coroutine), eager_start=True, loop=asyncio.get_running_loop())
    if not task.done():
        alarm = asyncio.ensure_future(clock.sleep(limit_s))
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _TooLate
        finally:
            alarm.cancel()
            if not task.done():
                task.add_done_callback(_forgotten)
                task.cancel()
    if task.cancelled():
        raise RuntimeError("it cancelled itself")
    return task.result()


async def _kept_in(coroutine: Coroutine[Any, Any, object]) -> object:
    try:
        return await coroutine
    except SystemExit:  # of a task it would end the loop
        raise _Exits from None


def _forgotten(task: asyncio.Task[object]) -> None:
    """Nobody asks any more what a function raised that was too late; asyncio is not to tell of it."""
    if not task.cancelled():
        task.exception()


def failed(hook: Hook, what: str, clock: Clock) -> None:
    """Says what is wrong with a function, at most once a minute, and goes on without it.

    Raises:
        RefusedByHook: it is fail-closed.
    """
    _say(hook, "failed", what, clock)
    if hook.is_closed:
        raise RefusedByHook(500, "hook_failed", f"A rule of this gateway's operator failed: {hook.shown}.")


def _say(hook: Hook, kind: str, what: str, clock: Clock) -> None:
    place, now_s = (hook.file, hook.name, kind), clock.tick_s()
    if (last_s := _said_s.get(place)) is not None and now_s - last_s < _SAID_EVERY_S:
        return
    _said_s[place] = now_s
    log.warning("%s: %s %s", hook.file, hook.name, what)
