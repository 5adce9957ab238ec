"""Text of the operator's that stands before the client's system text, or in its place. Pure.

It joins what is there in the form that it has: a text stays a text, blocks stay blocks, the client's cache
markers stay where they are. Text that replaces marked blocks has the last of their markers, so that there
are never more than before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.shape.spans import Edit, Member, edited, elements, members, value_of

_INSTRUCTING: Final = ("system", "developer")
_SEAM: Final = "\n\n"


def with_system(body: bytes, dialect: Dialect, text: str, *, is_replaced: bool) -> bytes:
    """The request, a JSON object, with the text before its system text, or in its place.

    Raises:
        NotJson: it is no JSON object.
    """
    start, end = value_of(body)
    found = members(body, start, end)
    named = {one.name: one for one in found}
    changes = _CHANGES[dialect](body, named, text, is_replaced)
    edits: list[Edit] = []
    added: list[bytes] = []
    for name, value in changes.items():
        if name in named:
            edits.append((named[name].start, named[name].end, value))
        else:
            added.append(orjson.dumps(name) + b":" + value)
    if added:
        at = found[-1].end if found else end - 1
        edits.append((at, at, b",".join(([b""] if found else []) + added)))
    return edited(body, edits)


type _Changes = Mapping[str, bytes]
"""Top-level members and what they become."""


def _chat(body: bytes, named: Mapping[str, Member], text: str, is_replaced: bool) -> _Changes:
    if "messages" not in named:
        return {}
    messages = named["messages"]
    turns = _texts(body, messages)
    if is_replaced:
        role = next((one for turn in turns if (one := _role(turn)) in _INSTRUCTING), "system")
        marker = _last_marker(turn for turn in turns if _role(turn) in _INSTRUCTING)
        kept = [turn for turn in turns if _role(turn) not in _INSTRUCTING]
        return {"messages": _list([_message(role, text, marker), *kept])}
    if turns and _role(turns[0]) in _INSTRUCTING:
        start, end = value_of(turns[0])
        for one in members(turns[0], start, end):
            if one.name == "content":
                content = _before(turns[0][one.start : one.end], text)
                first = edited(turns[0], [(one.start, one.end, content)])
                return {"messages": _spliced(body, messages, first, turns[0])}
    return {"messages": _spliced(body, messages, _message("system", text, None), None)}


def _responses(body: bytes, named: Mapping[str, Member], text: str, is_replaced: bool) -> _Changes:
    there = named.get("instructions")
    if not is_replaced:
        was = body[there.start : there.end] if there is not None else b"null"
        return {"instructions": _before(was, text)}
    return {"instructions": orjson.dumps(text), **_without(body, named, "input", _INSTRUCTING)}


def _messages(body: bytes, named: Mapping[str, Member], text: str, is_replaced: bool) -> _Changes:
    there = named.get("system")
    was = body[there.start : there.end] if there is not None else b"null"
    if not is_replaced:
        return {"system": _before(was, text)}
    marker = _last_marker([was]) if was.startswith(b"[") else None
    system = orjson.dumps(text) if marker is None else _list([_part(text, marker)])
    return {"system": system, **_without(body, named, "messages", ("system",))}


def _gemini(body: bytes, named: Mapping[str, Member], text: str, is_replaced: bool) -> _Changes:
    name = "system_instruction" if "system_instruction" in named else "systemInstruction"
    there = named.get(name)
    part = orjson.dumps({"text": text})
    was = body[there.start : there.end] if there is not None else b"null"
    if not is_replaced and was.startswith(b"{"):
        for one in members(was, *value_of(was)):
            if one.name == "parts" and was[one.start : one.start + 1] == b"[":
                return {name: edited(was, [(one.start, one.end, _list([part, *_texts(was, one)]))])}
    parts = [part]
    if not is_replaced and was.startswith(b'"'):
        parts.append(b'{"text":' + was + b"}")
    return {name: b'{"parts":' + _list(parts) + b"}"}


_CHANGES: Final[Mapping[Dialect, Callable[[bytes, Mapping[str, Member], str, bool], _Changes]]] = {
    Dialect.OPENAI_CHAT: _chat,
    Dialect.OPENAI_RESPONSES: _responses,
    Dialect.ANTHROPIC_MESSAGES: _messages,
    Dialect.GEMINI: _gemini,
}


def _without(body: bytes, named: Mapping[str, Member], name: str, roles: tuple[str, ...]) -> _Changes:
    """A list of turns without those of some roles; nothing where there are none."""
    turns = _texts(body, named[name]) if name in named else []
    kept = [turn for turn in turns if _role(turn) not in roles]
    return {name: _list(kept)} if len(kept) < len(turns) else {}


def _before(was: bytes, text: str) -> bytes:
    """What is there, a text, blocks or nothing, with the text before it."""
    match was[:1]:
        case b'"' if was != b'""':
            return orjson.dumps(text + _SEAM)[:-1] + was[1:]
        case b"[" if was[1:-1].strip():
            at = len(was) - len(was[1:].lstrip())
            return was[:at] + orjson.dumps({"type": "text", "text": text}) + b"," + was[at:]
        case _:
            return orjson.dumps(text)


def _spliced(body: bytes, turns: Member, first: bytes, was: bytes | None) -> bytes:
    """The list of turns with another first one, in place of `was` or before all."""
    whole = body[turns.start : turns.end]
    at = len(whole) - len(whole[1:].lstrip())
    if was is not None:
        return whole[:at] + first + whole[at + len(was) :]
    is_empty = whole[at : at + 1] == b"]"
    return whole[:at] + first + (b"" if is_empty else b",") + whole[at:]


def _message(role: str, text: str, marker: Mapping[str, Any] | None) -> bytes:
    content: Any = text if marker is None else [{"type": "text", "text": text, **marker}]
    return orjson.dumps({"role": role, "content": content})


def _part(text: str, marker: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": "text", "text": text, **marker})


def _texts(body: bytes, there: Member) -> list[bytes]:
    """The elements of a list; none where it is no list."""
    if body[there.start : there.start + 1] != b"[":
        return []
    return [body[start:end] for start, end in elements(body, there.start, there.end)]


def _list(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _role(turn: bytes) -> Any:
    read = orjson.loads(turn)
    return read.get("role") if isinstance(read, dict) else None


def _last_marker(blocks: Any) -> Mapping[str, Any] | None:
    """The last cache marker within these texts, with its name; None where there is none."""
    found: list[Mapping[str, Any]] = []

    def look(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                look(one)
        elif isinstance(value, dict):
            for name, one in value.items():
                if name in ("cache_control", "prompt_cache_breakpoint") and one is not None:
                    found.append({name: one})
                elif name == "content":
                    look(one)

    for block in blocks:
        look(orjson.loads(block))
    return found[-1] if found else None
