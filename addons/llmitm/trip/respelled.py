"""Names of models within messages of sessions and lines of batches, in the spelling of who gets them.

A request's own model is replaced where it is planned; these stand deeper. All else stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import orjson

from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.route import providers
from llmitm.route.providers import Candidate
from llmitm.shape.spans import Edit, NotJson, edited, elements, members, value_of
from llmitm.translate.live import HOLDERS

type Spell = Callable[[str], str]
"""From a model's name as the client spells it to the provider's; one that is not known stays."""

_MODEL: Final = b'"model"'
_MOST_DEPTH: Final = 8
_BATCH: Final = re.compile(rb'name="?purpose"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\nbatch\r\n', re.IGNORECASE)


def spelling(config: Config, chosen: Candidate, asked: str | None) -> Spell | None:
    """How the chosen provider spells models. `asked` is what the client calls the one that it was chosen for.
    None: as clients do."""
    aliases = config.routing.aliases
    options = chosen.options
    has_names = bool(aliases) or bool(options.prefix) or any(one.alias is not None for one in options.models)
    if not has_names and (not asked or not chosen.model or chosen.model == asked):
        return None

    def spell(name: str) -> str:
        if name == asked and chosen.model:
            return chosen.model
        for one in (*(member.model for member in aliases.get(name, ())), name):
            try:
                return providers.find(one, config, only=chosen.provider)[0].model
            except Refused:
                continue
        return name

    return spell


def message(content: bytes, spell: Spell) -> bytes:
    """A client's message of a session, with the models that it names in the provider's spelling."""
    if _MODEL not in content:
        return content
    try:
        start, end = value_of(content)
        edits = list(_renamed(content, start, end, spell, 0)) if content[start] == 0x7B else []
    except NotJson:
        return content
    return edited(content, edits) if edits else content


def _renamed(text: bytes, start: int, end: int, spell: Spell, depth: int) -> Iterator[Edit]:
    """Of an object, and of the objects in it that settings stand in."""
    for one in members(text, start, end):
        if one.name == "model":
            yield from _respelled(text, one.start, one.end, spell)
        elif one.name in HOLDERS and text[one.start] == 0x7B and depth < _MOST_DEPTH:
            yield from _renamed(text, one.start, one.end, spell, depth + 1)


def _respelled(text: bytes, start: int, end: int, spell: Spell) -> Iterator[Edit]:
    try:
        name = orjson.loads(text[start:end])
    except orjson.JSONDecodeError:
        return
    if not isinstance(name, str) or not name:
        return
    bare = name.removeprefix("models/")  # as Gemini has it
    spelled = spell(bare)
    if spelled != bare:
        yield start, end, orjson.dumps(name[: len(name) - len(bare)] + spelled)


def requests(body: bytes, spell: Spell) -> bytes:
    """A batch of Anthropic's, a JSON object, with the models of its requests in the provider's spelling."""
    try:
        edits: list[Edit] = []
        for listed in _within(body, *value_of(body), "requests", b"["):
            for one in elements(body, *listed):
                edits += _model_within(body, *one, "params", spell)
    except NotJson:
        return body
    return edited(body, edits) if edits else body


def lines(body: bytes, spell: Spell) -> bytes:
    """A form with a file of OpenAI's for a batch, a request in each line, with their models in the provider's
    spelling; any other form as it is."""
    if not is_batch(body) or _MODEL not in body:
        return body
    return b"\n".join([_line(one, spell) if _MODEL in one else one for one in body.split(b"\n")])


def is_batch(form: bytes) -> bool:
    """Whether a form, or its beginning, says that its file is that of a batch."""
    return _BATCH.search(form) is not None


def _line(line: bytes, spell: Spell) -> bytes:
    try:
        edits = _model_within(line, *value_of(line), "body", spell)
    except NotJson:
        return line
    return edited(line, edits) if edits else line


def _model_within(text: bytes, start: int, end: int, name: str, spell: Spell) -> list[Edit]:
    """Of a member of an object that has a model."""
    return [
        edit
        for inner in _within(text, start, end, name, b"{")
        for one in members(text, *inner)
        if one.name == "model"
        for edit in _respelled(text, one.start, one.end, spell)
    ]


def _within(text: bytes, start: int, end: int, name: str, sign: bytes) -> list[tuple[int, int]]:
    """From where to where members of this name stand that begin with `sign`."""
    if not text.startswith(b"{", start):
        return []
    return [
        (one.start, one.end)
        for one in members(text, start, end)
        if one.name == name and text.startswith(sign, one.start)
    ]
