"""Names that one account alone knows, such as a stored response's: what speaks of them goes back to it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import orjson

from llmitm.route.choice import Choice
from llmitm.state.store import Mark, Store

MOST_PINS: Final = 50_000
"""About 10 MB. Those that were used longest ago go first."""
TTL_S: Final = 30 * 86_400.0
"""OpenAI keeps a response for 30 days."""
_MARKS: Final = (b'"previous_response_id"', b'"conversation"', b'"file_id"', b'"batch_id"')
_NAMES: Final = frozenset({"previous_response_id", "file_id", "batch_id"})


class Pins:
    """Which account an id belongs to. In memory; in the store too, where other processes share it."""

    def __init__(self, store: Store | None = None) -> None:
        """`store`: None where nobody else shares it."""
        self._store = store
        self._known: OrderedDict[str, int] = OrderedDict()

    async def pin(self, name: str, choice: Choice[Any]) -> None:
        key, owner = _key(name), _owner(choice)
        if self._known.get(key) == owner:
            return
        self._keep(key, owner)
        if self._store is not None:
            await self._store.apply([Mark(key=key, value=owner, ttl_s=TTL_S)])

    async def only[T](self, names: Sequence[str], choices: Sequence[Choice[T]]) -> list[Choice[T]]:
        """Those that know one of the names; all where nobody is known to."""
        for name in names:
            owner = await self._owner_of(_key(name))
            found = [one for one in choices if _owner(one) == owner]
            if found:
                return found
        return list(choices)

    async def _owner_of(self, key: str) -> int | None:
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        if self._store is None:
            return None
        owner = (await self._store.apply([Mark(key=key)])).values[0]
        if owner:
            self._keep(key, owner)
        return owner or None

    def _keep(self, key: str, owner: int) -> None:
        self._known[key] = owner
        self._known.move_to_end(key)
        if len(self._known) > MOST_PINS:
            self._known.popitem(last=False)


def named_in(body: bytes) -> list[str]:
    """The ids in a request that only one account may know, in order."""
    if not any(mark in body for mark in _MARKS):
        return []
    try:
        asked: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    found: list[str] = []
    waiting = [asked]
    while waiting:
        match waiting.pop():
            case dict() as one:
                if isinstance(asked, dict) and one is asked:
                    found += _conversation(one.get("conversation"))
                found += [one[name] for name in _NAMES & one.keys() if isinstance(one[name], str)]
                waiting += one.values()
            case list() as many:
                waiting += many
    return found


def _conversation(value: Any) -> list[str]:
    match value:
        case str() | {"id": str()}:
            return [value if isinstance(value, str) else value["id"]]
        case _:
            return []


def _key(name: str) -> str:
    return "pin:" + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def _owner(choice: Choice[Any]) -> int:
    """The account as a number that any store can keep, never 0."""
    digest = hashlib.blake2b(choice.name.encode(), digest_size=6).digest()
    return int.from_bytes(digest) or 1
