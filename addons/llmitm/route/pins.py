"""Names that one account alone knows, such as a stored response's: what speaks of them goes back to it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.route.choice import Choice
from llmitm.state.store import Mark, Store

MOST_PINS: Final = 50_000
"""About 10 MB. Those that were used longest ago go first."""
TTL_S: Final = 30 * 86_400.0
"""OpenAI keeps a response for 30 days."""
_NAMES: Final = frozenset(
    {
        "previous_response_id",
        "previous_message_id",
        "file_id",
        "batch_id",
        "input_file_id",
        "training_file",
        "validation_file",
        "vector_store_id",
        "assistant_id",
        "container",
        "cachedContent",
        "fileUri",
        "file_uri",
        "fileName",
    }
)
_LISTS: Final = frozenset({"file_ids", "vector_store_ids", "part_ids"})
_MARKS: Final[Mapping[Dialect, tuple[bytes, ...]]] = {
    Dialect.OPENAI_CHAT: (b'"file_id"',),
    Dialect.OPENAI_RESPONSES: (b'"previous_response_id"', b'"conversation"', b'"file_id"'),
    Dialect.ANTHROPIC_MESSAGES: (b'"file_id"', b'"previous_message_id"'),
    Dialect.GEMINI: (b'"fileUri"', b'"file_uri"', b'"cachedContent"'),
}
"""What calls of models hold of these; without one of them such a call is not read for its names."""
_MADE: Final = ("id", "name", "output_file_id", "error_file_id")
"""Where answers name what they made."""


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

    async def is_first(self, name: str) -> bool:
        """Whether nobody has asked this of `name` before."""
        key = "first:" + _key(name)
        if key in self._known:
            return False
        is_known = False
        if self._store is not None:
            outcome = await self._store.apply([Mark(key=key), Mark(key=key, value=1, ttl_s=TTL_S)])
            is_known = bool(outcome.values[0])
        self._keep(key, 1)
        return not is_known

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


def is_kept(body: bytes, dialect: Dialect) -> bool:
    """Whether a later request may go on from the answer by its id: it lies with the account that gave it."""
    is_threaded = dialect is Dialect.ANTHROPIC_MESSAGES and b'"thread"' in body
    return dialect is Dialect.OPENAI_RESPONSES or is_threaded


def named_in(body: bytes, dialect: Dialect | None = None) -> list[str]:
    """The ids in a request that only one account may know, in order. `dialect`: of a call of a model; None:
    it is none."""
    if dialect is not None and not any(mark in body for mark in _MARKS[dialect]):
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
                found += [bare(one[name]) for name in _NAMES & one.keys() if isinstance(one[name], str)]
                for name in _LISTS & one.keys():
                    many = one[name]
                    found += (
                        [bare(each) for each in many if isinstance(each, str)]
                        if isinstance(many, list)
                        else []
                    )
                waiting += one.values()
            case list() as many:
                waiting += many
    return found


def made_in(body: bytes) -> list[str]:
    """The ids in an answer of what an account made, or keeps."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    found: list[str] = []
    for one in _things(told):
        found += [bare(one[name]) for name in _MADE if isinstance(one.get(name), str)]
    return found


def _things(told: Any) -> Iterator[dict[str, Any]]:
    """The thing that an answer is about, or those that it lists."""
    if not isinstance(told, dict):
        return
    yield told
    for value in told.values():
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, dict))
    if isinstance(told.get("file"), dict):
        yield told["file"]


def bare(name: str) -> str:
    """Without what stands before it in Gemini's names and addresses: `files/abc` is `abc`."""
    return name.rpartition("/")[2]


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
