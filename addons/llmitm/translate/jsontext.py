"""JSON whose spelling is kept: numbers, key order, and slices of a text as they stand in it. Pure.

Providers' prompt caches match bytes, and a number beyond 2^53 must not change on its way. So numbers that
Python would spell otherwise stay text, and arguments of tools are cut out of the body, not rebuilt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import orjson

_LONG_INT_DIGITS: Final = 18
_TOKEN: Final = re.compile(rb'("(?:[^"\\]|\\.)*+")|[ \t\n\r]++')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HALF: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F])", re.DOTALL
)
"""An escaped backslash, a whole pair, or half of one."""


class Spelled(float):
    """A number that Python would spell otherwise than it came: `1.50`, `1e3`, 2^64."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Spelled:
        made = super().__new__(cls, text)
        made.text = text
        return made


class Raw(str):
    """JSON text that `dumps` puts in as it is."""

    __slots__ = ()


def _int(text: str) -> int | Spelled:
    return int(text) if len(text) <= _LONG_INT_DIGITS and text != "-0" else Spelled(text)


def _float(text: str) -> float:
    value = float(text)
    return value if repr(value) == text else Spelled(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _same(value: Any) -> Any:
    return value


_decoder: Final = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_constant)
_gentle: Final = json.JSONDecoder(
    parse_int=_int, parse_float=_float, parse_constant=_constant, object_hook=_same
)
"""For what is long: between two objects others get a turn, which compiled code alone does not give them."""
_LONG: Final = 131_072


def loads(text: bytes | str) -> Any:
    """The value, numbers as they were spelled, halves of surrogate pairs replaced by U+FFFD.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deep.
    """
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8-sig")
        value = (_gentle if len(whole) > _LONG else _decoder).decode(whole)
        if "\\ud" in whole or "\\uD" in whole:
            value = _without_surrogates(value)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def places_of_halves(text: bytes) -> list[str]:
    """Where `loads` replaces halves of surrogate pairs: `messages[0].content`. The text must be JSON."""
    if b"\\u" not in text or not any(found[1] for found in _HALF.finditer(text)):
        return []
    return list(_with_surrogates(_decoder.decode(text.decode("utf-8-sig")), ""))


def _with_surrogates(value: Any, at: str) -> Iterator[str]:
    match value:
        case str() if _SURROGATE.search(value):
            yield at
        case list():
            for n, one in enumerate(value):
                yield from _with_surrogates(one, f"{at}[{n}]")
        case dict():
            for key, one in value.items():
                place = f"{at}.{key}" if at else key
                yield from _with_surrogates(key, at)
                yield from _with_surrogates(one, place)


def loads_fast(text: bytes) -> Any:
    """The value, as fast as it goes; numbers may be spelled otherwise afterwards.

    Raises:
        ValueError: as `loads`.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return loads(text)


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [_without_surrogates(one) for one in value]
        case dict():
            return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
        case _:
            return value


def _spell(value: Any) -> Any:
    if isinstance(value, Spelled):
        return orjson.Fragment(value.text)
    if isinstance(value, Raw):
        return orjson.Fragment(str(value).encode())
    raise TypeError(type(value).__name__)


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8: no blanks, key order as given, `Spelled` and `Raw` as they are.

    Raises:
        RecursionError: the value is nested deeper than about 250 levels.
    """
    try:
        return orjson.dumps(value, default=_spell, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except orjson.JSONEncodeError as error:
        if "Recursion" in str(error):
            raise RecursionError(str(error)) from None
        raise


def text_of(value: Any) -> str:
    """`dumps` as text."""
    return dumps(value).decode()


def minified(text: bytes) -> str:
    """Valid JSON without insignificant white space, all else as it was spelled."""
    if any(blank in text for blank in (b" ", b"\n", b"\t", b"\r")):
        text = _TOKEN.sub(lambda match: match[1] or b"", text)
    return text.decode("utf-8", "replace")


def is_object(text: str) -> bool:
    """Whether the text is one valid JSON object."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        pass
    try:  # numbers that no double holds, halves of surrogate pairs
        return isinstance(loads(text), dict)
    except ValueError:
        return False


INVALID_JSON: Final = "_invalid_json"
"""The only member of arguments that are no JSON object: their text."""


def object_of(args: str) -> Any:
    """Arguments of a call as an object: spelled as they are, or wrapped where they are none."""
    bare = args.strip()
    if bare in ("", "null"):
        return {}
    return Raw(bare) if is_object(bare) else {INVALID_JSON: args}


def unwrapped(value: Any) -> str | None:
    """The arguments that `object_of` wrapped; None where the value is no wrapper."""
    match value:
        case {"_invalid_json": str(text), **others} if not others:
            return text
        case _:
            return None


class Slices:
    """The texts of values within one JSON document, by their place. What it holds is parsed lazily."""

    __slots__ = ("_levels", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text.removeprefix(b"\xef\xbb\xbf")
        self._levels: dict[tuple[str | int, ...], Any] = {}

    def at(self, *path: str | int) -> str:
        """The value at this place, minified. The place must exist in the document.

        Raises:
            ValueError: the document is not JSON.
            KeyError, IndexError: no such place.
        """
        try:
            return self._at(path)
        except msgspec.DecodeError:  # halves of surrogate pairs, of which it reads none
            self._text = dumps(loads(self._text))
            self._levels.clear()
            return self._at(path)

    def _at(self, path: tuple[str | int, ...]) -> str:
        text: Any = self._text
        for depth, step in enumerate(path):
            place = path[:depth]
            level = self._levels.get(place)
            if level is None:
                kind: Any = dict[str, msgspec.Raw] if isinstance(step, str) else list[msgspec.Raw]
                level = self._levels[place] = msgspec.json.decode(text, type=kind)
            text = level[step]
        return minified(bytes(text).strip())


def joined(texts: Sequence[str]) -> str:
    """JSON texts as one array."""
    return "[" + ",".join(texts) + "]"
