"""Broken JSON that is broken where it hurts: valid documents with members changed, not bytes at random.

What cannot be said as a Python value (`1e999`, a list of 2,000 levels) is put in as text afterwards, where
its stand-in is found.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import orjson

_MARK: Final = "\x01raw"
_RAWS: Final = (
    "1e999",
    "-0",
    "1.50",
    "9" * 40,
    "9" * 5_000,
    "NaN",
    "1E400",
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    "[" * 2_000 + "]" * 2_000,
    '{"a":' * 1_100 + "1" + "}" * 1_100,
    "[" * 300 + "1" + "]" * 300,
    '{"type":"object","properties":{"a":' * 120 + "{}" + "}}" * 120,
    '{"a":1,"a":2}',
    " \t\r\n null",
    "tru",
    "",
    '{"',
    "]",
)
_CONSTANTS: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**53,
    -(2**62),
    0.5,
    1e300,
    "",
    " ",
    "x",
    "0",
    "null",
    "{}",
    "[]",
    '{"a": 1}',
    "{",
    "ü😀",
    "\x00",
    "data:,",
    "data:image/png;base64,AAAA",
    "gwid-",
    "x" * 300,
    [],
    {},
    [[]],
    [None],
    [{}],
    ["x"],
    {"": None},
    {"type": None},
    {"type": "text"},
    {"type": "text", "text": None},
    {"type": "tool_use"},
    {"error": {}},
    {"error": "x"},
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
)


class Mutator:
    """Makes variants of documents; what one document holds is spread to others."""

    def __init__(self, documents: Sequence[bytes], rng: random.Random) -> None:
        self.rng = rng
        self._values: list[bytes] = []
        self._names: list[str] = []
        self._strings: list[str] = []
        for document in documents:
            self._learn(orjson.loads(document))
        self._names = sorted(set(self._names))
        self._strings = sorted(set(self._strings))

    def _learn(self, value: Any) -> None:
        if isinstance(value, dict):
            self._names += value
        elif isinstance(value, str) and len(value) < 80:
            self._strings.append(value)
        if isinstance(value, dict | list):
            if len(text := orjson.dumps(value)) < 2_000:
                self._values.append(text)
            for one in value.values() if isinstance(value, dict) else value:
                self._learn(one)

    def mutated(self, document: bytes) -> bytes:
        """A variant: one to a few changes, once in a while to the bytes."""
        rng = self.rng
        holder = [orjson.loads(document)]
        raws: list[str] = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            self._change(holder, raws)
        text = json.dumps(holder[0], ensure_ascii=rng.random() < 0.5, separators=(",", ":"))
        for raw in raws:
            text = text.replace(f'"\\u0001raw{len(raw)}"', raw, 1)
        made = text.encode("utf-8", "surrogatepass")
        return self.bytes_of(made) if rng.random() < 0.04 else made

    def _change(self, holder: list[Any], raws: list[str]) -> None:
        rng = self.rng
        at, key = rng.choice(_places(holder))
        value = at[key]
        match rng.randrange(12):
            case 0 | 1:
                at[key] = _fresh(rng.choice(_CONSTANTS))
            case 2 if isinstance(at, dict):
                del at[key]
            case 3 if isinstance(at, list) and at is not holder:
                del at[key]
            case 4:
                at[key] = orjson.loads(rng.choice(self._values))
            case 5 if isinstance(value, str):
                at[key] = rng.choice(self._strings)
            case 6 if isinstance(at, dict):
                at[rng.choice(self._names)] = value
            case 7 if isinstance(value, list) and value:
                value.insert(rng.randrange(len(value) + 1), _fresh(rng.choice(value)))
            case 8 if isinstance(value, list):
                rng.shuffle(value)
            case 9:
                at[key] = [value] if rng.random() < 0.5 else {rng.choice(self._names): value}
            case 10:
                raws.append(rng.choice(_RAWS))
                at[key] = f"{_MARK}{len(raws[-1])}"
            case 11 if isinstance(value, str) and value:
                at[key] = value[: rng.randrange(len(value))] + rng.choice(("", '"', "\\", "\ud83d", "\n"))
            case _:
                at[key] = rng.choice((None, "", 1, self._strings[rng.randrange(len(self._strings))]))

    def bytes_of(self, text: bytes) -> bytes:
        """The same with bytes cut out, doubled, or replaced."""
        rng = self.rng
        made = bytearray(text)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(made) + 1)
            match rng.randrange(4):
                case 0:
                    del made[at : at + rng.randrange(1, 20)]
                case 1:
                    made[at:at] = made[at : at + rng.randrange(1, 40)]
                case 2:
                    made[at:at] = rng.choice(
                        (
                            b"\r",
                            b"\n",
                            b"\r\n",
                            b"\n\n",
                            b"\0",
                            b"\xff",
                            b"\xed\xa0\x80",
                            b'"',
                            b"}",
                            b"data:",
                        )
                    )
                case _:
                    del made[at:]
        return bytes(made)

    def pieces(self, text: bytes) -> list[bytes]:
        """The text, cut somewhere."""
        cuts = sorted(self.rng.randrange(len(text) + 1) for _ in range(self.rng.randrange(6)))
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _fresh(value: Any) -> Any:
    """A copy: a later change to one place must not show at another."""
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def _places(holder: list[Any]) -> list[tuple[Any, Any]]:
    """Every member of every object and list."""
    found: list[tuple[Any, Any]] = []
    todo: list[Any] = [holder]
    while todo:
        at = todo.pop()
        for key, value in at.items() if isinstance(at, dict) else enumerate(at):
            found.append((at, key))
            if isinstance(value, dict | list):
                todo.append(value)
    return found
