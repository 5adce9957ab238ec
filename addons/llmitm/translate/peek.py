"""A look into a JSON request, and edits of its top level that leave every other byte alone. Pure.

Parsing a body and writing it anew would reorder nothing but could change numbers, escapes and spacing,
and with them providers' prompt caches. So members are found by position and replaced in place. All of it
takes time and memory in proportion to the body, whatever a client puts into one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from llmitm.errors import Refused

# Only its sense of where a value ends is used, so numbers stay text: they may be of any length.
_scanner: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NAMING: Final = ("model", "models")
_BLANKS: Final = re.compile(r"[ \t\n\r]*+")
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_B: Final = rb"[ \t\n\r]*+"
_NAME: Final = re.compile(_B + b",?+" + _B + b"(" + _STRING + b")" + _B + b":" + _B, re.DOTALL)
"""Of a member, and what stands before it and its value."""
_OPENING: Final = (b",", b"[", b"{")
"""Every value but the outermost stands behind one of these, and few of them before no value."""
_NOTHING: Final = msgspec.Raw(b"null")
_BLANKS_OF_BYTES: Final = re.compile(_B)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
MOST_VALUES: Final = 1_000_000
"""Of a request: a few megabytes of brackets would take a gigabyte, and seconds."""


class NotAnObject(ValueError):
    """The body is not a JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """What routing needs of a request."""

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    models: tuple[str, ...] = ()
    """Those of the gateway's own list of models that will do, the best first."""
    max_output_tokens: int | None = None
    """What the client allows; None where it says nothing."""


class _Seen(msgspec.Struct):
    """What is looked at. All else is passed over, which takes a tenth of the time that reading it would."""

    model: msgspec.Raw = _NOTHING
    models: msgspec.Raw = _NOTHING
    stream: msgspec.Raw = _NOTHING
    stream_options: msgspec.Raw = _NOTHING
    generationConfig: msgspec.Raw = _NOTHING
    max_completion_tokens: msgspec.Raw = _NOTHING
    max_tokens: msgspec.Raw = _NOTHING
    max_output_tokens: msgspec.Raw = _NOTHING


_SEEN: Final = msgspec.json.Decoder(_Seen)


def _value(text: msgspec.Raw) -> Any:
    try:
        return None if text is _NOTHING else orjson.loads(memoryview(text))
    except orjson.JSONDecodeError:
        return None  # a number beyond all that is asked for here


def _check_count(body: bytes, most: int) -> None:
    """Raises `Refused`, 413, where a JSON text has more values."""
    if len(body) <= 2 * most or sum(map(body.count, _OPENING)) <= most:
        return
    count, at = 0, 0
    while at < len(body) and count <= most:
        start = body.find(b'"', at) % (len(body) + 1)  # the end where there is none
        between = body[at:start]  # signs in strings say nothing
        count += len(between) - len(between.translate(None, b"".join(_OPENING)))
        at = _string_end(body, start)
    if count > most:
        raise Refused(413, "too_many_values", f"The request's JSON has more than {most:,} values.")


def _string_end(body: bytes, start: int) -> int:
    """Behind the string that opens there. Compiled code that finds it at one go would let nobody else run."""
    at = start
    while (at := body.find(b'"', at + 1)) > 0:
        before = at - 1
        while body[before] == 0x5C:
            before -= 1
        if (at - before) % 2:
            return at + 1
    return len(body)


def peek(body: bytes, *, most_values: int = MOST_VALUES) -> Peek | None:
    """None where the body is not a JSON object. Of a doubled member the last one counts.

    Raises:
        Refused: 413, it has more values than can be read at one go.
    """
    try:
        seen = _SEEN.decode(body)
        body.decode()  # which that does not look at in strings
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    _check_count(body, most_values)
    model, models = _value(seen.model), _value(seen.models)
    options, settings = _value(seen.stream_options), _value(seen.generationConfig)
    limits = [_value(getattr(seen, name)) for name in _LIMITS]
    limits.append(settings.get("maxOutputTokens") if isinstance(settings, dict) else None)
    return Peek(
        model=model if isinstance(model, str) else None,
        stream=_value(seen.stream) is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_output_tokens=next((one for one in limits if type(one) is int and one >= 0), None),
        models=tuple(one for one in models if isinstance(one, str) and one)
        if isinstance(models, list)
        else (),
    )


def named_models(body: bytes) -> tuple[str, ...]:
    """All models that a request names at its top level, doubled members included: whoever passes it on as it
    is cannot know which one counts there. None of what is no JSON object."""
    try:
        found = members(body)
    except NotAnObject:
        return ()
    named: list[str] = []
    for member in found:
        value = orjson.loads(body[member.value_start : member.end]) if member.name in _NAMING else None
        named += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return tuple(dict.fromkeys(named))


class Member(NamedTuple):
    """One member of the top-level object, as positions in the body."""

    name: str
    start: int
    """Of its name's opening quote."""
    value_start: int
    end: int
    """After its value."""


def members(body: bytes) -> list[Member]:
    """The members of the top-level object in order, doubled names included.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    try:
        values = _OBJECT.decode(body)
        body.decode()  # which that does not look at in strings
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnObject(f"the body is not a JSON object: {error}") from None
    found: list[Member] = []
    at = body.index(b"{") + 1
    for name, raw in values.items():
        match = _NAME.match(body, at)
        if match is None or not body.startswith(raw, match.end()):
            return _members_one_by_one(body)
        at = match.end() + len(memoryview(raw))
        found.append(Member(name, match.start(1), match.end(), at))
    return found if body.startswith(b"}", _blanks_end(body, at)) else _members_one_by_one(body)


def _blanks_end(body: bytes, at: int) -> int:
    match = _BLANKS_OF_BYTES.match(body, at)
    return match.end() if match else at


def _members_one_by_one(body: bytes) -> list[Member]:
    """The same of an object that has doubled members."""
    text = body.decode("latin-1")  # one sign a byte: positions in it are positions in the body
    return [
        Member(orjson.loads(body[start : _name_end(text, start)]), start, value_start, end)
        for _, start, value_start, end in _members(text, text.index("{"))
    ]


def _name_end(text: str, start: int) -> int:
    _, end = _scanner.raw_decode(text, start)
    return end


def elements(text: str, at: int) -> list[tuple[int, int]]:
    """Where the elements of the list that begins at `at` begin and end; none where it is no list.

    `text` is a body that was read as JSON before, decoded as latin-1.
    """
    found: list[tuple[int, int]] = []
    if text[at] != "[":
        return found
    at = _after_blanks(text, at + 1)
    while text[at] != "]":
        _, end = _scanner.raw_decode(text, at)
        found.append((at, end))
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)
    return found


def member_spans(text: str, at: int) -> list[tuple[str, tuple[int, int]]]:
    """The members of the object that begins at `at`, each from its name to the end of its value; none where
    it is no object. See `elements`."""
    return [(name, (start, end)) for name, start, _, end in _members(text, at)]


def members_at(text: str, at: int) -> dict[str, tuple[int, int]]:
    """The values of the object that begins at `at`; of a doubled member, the last one's. See `elements`."""
    return {name: (value_start, end) for name, _, value_start, end in _members(text, at)}


def _members(text: str, at: int) -> Iterator[tuple[str, int, int, int]]:
    if text[at] != "{":
        return
    at = _after_blanks(text, at + 1)
    while text[at] != "}":
        start = at
        name, name_end = _scanner.raw_decode(text, at)
        value_start = _after_blanks(text, _after_blanks(text, name_end) + 1)  # a colon
        _, end = _scanner.raw_decode(text, value_start)
        yield name, start, value_start, end
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def top_level(body: bytes) -> Mapping[str, tuple[int, int]]:
    """Where the value of each top-level member begins and ends; of a doubled member, the last one's.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    return {one.name: (one.value_start, one.end) for one in members(body)}


def edit(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """The body with top-level members changed and every other byte as it was.

    Each name is given the JSON text that becomes its value wherever it stands (it is added at the end
    where it does not), or None to take it out.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    every = members(body)
    kept = [at for at, one in enumerate(every) if changes.get(one.name, b"") is not None]
    last = kept[-1] if kept else -1
    cuts: list[tuple[int, int, bytes]] = []
    for at, one in enumerate(every[: last + 1]):
        new = changes.get(one.name, b"")
        if new is None:
            cuts.append((one.start, every[at + 1].start, b""))  # with the comma and blanks after it
        elif new:
            cuts.append((one.value_start, one.end, new))
    if last + 1 < len(every):  # those at the end, with the comma and blanks before them
        cuts.append((every[last].end if kept else every[0].start, every[-1].end, b""))
    there = {one.name for one in every}
    pairs = [orjson.dumps(name) + b":" + new for name, new in changes.items() if new and name not in there]
    if pairs:
        at = every[-1].end if every else body.rindex(b"}")
        cuts.append((at, at, b",".join([b""] * bool(kept) + pairs)))
    parts: list[bytes] = []
    copied_to = 0
    for start, end, new in cuts:
        parts += (body[copied_to:start], new)
        copied_to = end
    parts.append(body[copied_to:])
    return b"".join(parts)


def replace_member(body: bytes, name: str, value: Any) -> bytes:
    """The body with the value of a top-level member replaced wherever it stands; added where it does not.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    return edit(body, {name: orjson.dumps(value)})


def remove_member(body: bytes, name: str) -> bytes:
    """The body without a top-level member.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    return edit(body, {name: None})


def unstream(body: bytes) -> bytes:
    """The same request, asking for its answer in one piece: `stream` false, `stream_options` gone.

    Raises:
        NotAnObject: the body is not a JSON object.
    """
    return edit(body, {"stream": b"false", "stream_options": None})
