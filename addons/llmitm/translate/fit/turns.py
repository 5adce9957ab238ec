"""The conversation, as a target takes it: roles, ids, results, order. Pure.

Turns are only ever changed by what stands before them, so that a longer conversation begins with the same
bytes as a shorter one, and prompt caches hold. The exceptions: results that came late, and what concerns
the running tool loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from typing import Final

import orjson

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext
from llmitm.translate.fit import seals
from llmitm.translate.fit.media import fit_media
from llmitm.translate.fit.tools import Names
from llmitm.translate.neutral import (
    Hosted,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

_MERGES: Final = frozenset({Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI})
_OBJECTS: Final = _MERGES
"""Arguments of calls are objects there; others say them as text."""
_SYSTEM: Final = frozenset({Role.SYSTEM, Role.DEVELOPER})
_GEMINI_RESULT_MEDIA: Final = frozenset(
    {"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}
)


def fit_turns(asked: Request, target: Target, names: Names, notes: Notes, *, is_thinking: bool) -> list[Turn]:
    """The turns for this upstream, leading system turns first.

    Raises:
        Refused: 400, a result without its call, a last turn that is empty or that the model cannot go on
            with, or a conversation that only another vendor can read.
    """
    turns = _placed(list(asked.turns), target, notes)
    first_running = seals.running_from(turns)
    calls = _Calls(target, names, notes, had_objects=asked.dialect in _OBJECTS)
    made: list[Turn] = []
    for index, turn in enumerate(turns):
        if turn.role is Role.ASSISTANT:
            turn = seals.fit_reasoning(turn, target, notes, is_running=index >= first_running)
        turn = _named(turn, target, notes)
        parts = [fitted for part in turn.parts for fitted in _part(part, turn, target, calls, notes)]
        made.append(replace(turn, parts=tuple(parts)))
    made = _answered(_filled(made), target, notes)
    made = [split for turn in made for split in _media_moved(turn, target, notes) if split.parts]
    if target.dialect in _MERGES:
        made = _merged(made)
    made = seals.with_needed_signatures(made, target, notes)
    return _ended(made, target, notes, is_thinking=is_thinking)


# ---- where turns stand


def _placed(turns: list[Turn], target: Target, notes: Notes) -> list[Turn]:
    """System turns: leading ones stay at the head, later ones in place, where the target has such turns."""
    led = 0
    while led < len(turns) and turns[led].role in _SYSTEM:
        led += 1
    if target.dialect is Dialect.OPENAI_CHAT or target.dialect is Dialect.OPENAI_RESPONSES:
        return [_role_word(turn, target) if turn.role in _SYSTEM else turn for turn in turns]
    head = turns[:led]
    if led == len(turns) and turns:
        notes.adjusted("system-as-user", turns[-1].at)
        return [*turns[:-1], replace(turns[-1], role=Role.USER)]
    rest: list[Turn] = []
    for index, turn in enumerate(turns[led:], led):
        if turn.role in _SYSTEM and not _may_stay(turns, index, target):
            notes.adjusted("system-role", turn.at)
            turn = replace(turn, role=Role.USER)
        rest.append(turn)
    return [*head, *rest]


def _role_word(turn: Turn, target: Target) -> Turn:
    """`developer` where the model knows it; a client's own choice between the two words stays."""
    if turn.role is Role.SYSTEM and turn.at.startswith("system") and target.row.takes_developer:
        return replace(turn, role=Role.DEVELOPER)
    return turn


def _may_stay(turns: list[Turn], index: int, target: Target) -> bool:
    """Anthropic's newer models take a system turn after the user's, before the assistant's or the end."""
    if not target.row.takes_system_turns or target.dialect is not Dialect.ANTHROPIC_MESSAGES:
        return False
    is_before = index + 1 == len(turns) or turns[index + 1].role is Role.ASSISTANT
    return turns[index - 1].role is Role.USER and is_before


def _named(turn: Turn, target: Target, notes: Notes) -> Turn:
    if turn.name is not None and target.dialect is not Dialect.OPENAI_CHAT:
        notes.note("name", f"{turn.at}.name")
        turn = replace(turn, name=None)
    if turn.phase is not None and target.dialect is not Dialect.OPENAI_RESPONSES:
        notes.note("phase", f"{turn.at}.phase")
        turn = replace(turn, phase=None)
    return turn


# ---- parts


@dataclass(slots=True)
class _Calls:
    """Calls of the conversation so far: what they are called here, and which result is theirs."""

    target: Target
    names: Names
    notes: Notes
    had_objects: bool
    """The client's dialect has arguments as objects too: what is no object came in one of ours."""
    wire_ids: dict[str, str] = field(default_factory=dict)
    """The latest call with a client's id, by that id."""
    tool_names: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)

    def call(self, part: ToolCall) -> ToolCall:
        target = self.target
        own = ids.from_client(part.id.partition("__thought__")[0] if "__thought__" in part.id else part.id)
        use = self.uses[own] = self.uses.get(own, 0) + 1
        wants_unique = target.is_openai or target.dialect is Dialect.ANTHROPIC_MESSAGES
        unique = f"{own}#{use}" if use > 1 and wants_unique else own
        wire = self._wire(unique, part.at)
        name = self.names.wire(part.name, part.namespace)
        self.wire_ids[part.id], self.tool_names[part.id] = wire, name
        self.kinds[part.id] = part.kind
        args, kind = part.args, part.kind
        if kind == "custom" and self.names.is_wrapping:
            args, kind = orjson.dumps({"input": args}).decode(), "function"
        elif target.dialect in _OBJECTS and not self.had_objects and not _is_object(args):
            self.notes.adjusted("invalid-arguments", part.at)
        namespace = part.namespace if self.names.has_namespaces else None
        cache = part.cache if target.dialect is Dialect.ANTHROPIC_MESSAGES else None
        return replace(part, id=wire, name=name, args=args, kind=kind, namespace=namespace, cache=cache)

    def _wire(self, call_id: str, at: str) -> str:
        target = self.target
        wire = ids.for_upstream(
            target.dialect, call_id, is_openai=target.is_openai, is_mistral=target.is_mistral
        )
        if wire != call_id:
            self.notes.note("call-id", at)
        return wire

    def result(self, part: ToolResult) -> ToolResult:
        known = self.wire_ids.get(part.call_id)
        if known is None:
            if self.target.dialect in _MERGES:
                raise Refused(
                    400,
                    "orphan_tool_result",
                    f"{part.at}: there is no call {part.call_id} that this result could answer.",
                    param=part.at,
                )
            known = self._wire(ids.from_client(part.call_id), part.at)
        kind = self.kinds.get(part.call_id, part.kind)
        return replace(
            part,
            call_id=known,
            name=self.tool_names.get(part.call_id, part.name),
            kind="custom" if kind == "custom" and not self.names.is_wrapping else "function",
            cache=part.cache if self.target.dialect is Dialect.ANTHROPIC_MESSAGES else None,
        )


def _is_object(args: str) -> bool:
    """Whether arguments are an object, or nothing, which stands for an empty one."""
    return args.strip() in ("", "null") or jsontext.is_object(args)


def _part(part: Part, turn: Turn, target: Target, calls: _Calls, notes: Notes) -> Iterable[Part]:
    match part:
        case Text():
            return _text(part, target)
        case Refusal():
            is_kept = target.dialect in (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES)
            return (part,) if is_kept else (Text(text=part.text, at=part.at),)
        case Media():
            if turn.role in _SYSTEM and target.dialect is not Dialect.OPENAI_RESPONSES:
                notes.lost("media", part.at)
                return ()
            if turn.role is Role.ASSISTANT:
                notes.lost("assistant-media", part.at)
                return ()
            return fit_media(part, target, notes)
        case ToolCall():
            return (calls.call(part),)
        case ToolResult():
            return (_result(calls.result(part), target, notes),)
        case Reasoning():
            return (part,)
        case Hosted():
            return _hosted(part, notes)
        case _:
            return _opaque(part, notes)


def _text(part: Text, target: Target) -> Iterable[Part]:
    is_signed = part.sealed is not None and target.dialect is Dialect.GEMINI
    return (replace(part, citations=()),) if is_signed or _says(part.text, target) else ()


def _says(text: str, target: Target) -> bool:
    """Whether the target takes text that is empty, or white space alone."""
    match target.dialect:
        case Dialect.OPENAI_CHAT:
            return True
        case Dialect.ANTHROPIC_MESSAGES:
            return bool(text.strip())
        case _:
            return bool(text)


def _hosted(part: Hosted, notes: Notes) -> Iterable[Part]:
    if part.text:
        notes.adjusted("hosted-as-text", part.at)
        return (Text(text=part.text, at=part.at),)
    notes.lost("hosted-activity", part.at)
    return ()


def _opaque(part: Opaque, notes: Notes) -> Iterable[Part]:
    if "compaction" in part.type:
        raise Refused(
            400,
            "stateful_not_supported",
            f"{part.at}: the conversation before this was packed by another vendor than this model's.",
            param=part.at,
        )
    notes.lost("unknown-field", part.at)
    return ()


# ---- results


def _result(part: ToolResult, target: Target, notes: Notes) -> ToolResult:
    """The result's own parts, and what it says of an error."""
    parts: list[Part] = []
    for one in part.parts:
        if isinstance(one, Media):
            parts += fit_media(one, target, notes)
        elif isinstance(one, Text):
            parts.append(replace(one, cache=None, citations=()))
        else:
            notes.lost("unknown-field", one.at)
    raw, is_error = part.raw, part.is_error
    if raw is not None and target.dialect is not Dialect.GEMINI:
        text, is_error = _unwrapped(raw)
        parts.insert(0, Text(text=text))
        raw = None
    if is_error and target.dialect in (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES):
        notes.note("is-error", part.at)
    kept = tuple(one for one in parts if not isinstance(one, Text) or _says(one.text, target))
    return replace(part, parts=kept, raw=raw, is_error=is_error)


def _unwrapped(raw: str) -> tuple[str, bool]:
    """Gemini's object as text; one that only says an output or an error is just that."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw, False
    match value:
        case {"output": str(text)} if len(value) == 1:
            return text, False
        case {"error": str(text)} if len(value) == 1:
            return text, True
        case _:
            return raw, False


def _answered(turns: list[Turn], target: Target, notes: Notes) -> list[Turn]:
    """Results right after their calls, in the order of the calls, one for each."""
    if target.dialect is not Dialect.OPENAI_RESPONSES:
        turns = _gathered(_moved_up(turns, notes))
    called: list[str] = []
    made: list[Turn] = []
    for turn in turns:
        if turn.role is Role.ASSISTANT:
            called = [part.id for part in turn.parts if isinstance(part, ToolCall)]
        elif turn.role is Role.USER and any(isinstance(part, ToolResult) for part in turn.parts):
            turn = _ordered(turn, called, target, notes)
        made.append(turn)
    return made


def _gathered(turns: list[Turn]) -> list[Turn]:
    """Results of a turn's calls in the first turn after it, where the client's words stand among them."""
    made: list[Turn] = []
    gathered: dict[int, list[Part]] = {}
    """By the place of the turn that they belong to."""
    calls: set[str] = set()
    first = 0
    for turn in turns:
        if turn.role is not Role.USER:
            calls = {part.id for part in turn.parts if isinstance(part, ToolCall)}
            first = len(made) + 1
        elif first < len(made):
            late: list[Part] = []
            rest: list[Part] = []
            for part in turn.parts:
                is_late = isinstance(part, ToolResult) and part.call_id in calls
                (late if is_late else rest).append(part)
            gathered.setdefault(first, []).extend(late)
            turn = replace(turn, parts=tuple(rest))
        if turn.parts:
            made.append(turn)
    for place, more in gathered.items():
        made[place] = replace(made[place], parts=(*made[place].parts, *more))
    return made


def _ordered(turn: Turn, called: list[str], target: Target, notes: Notes) -> Turn:
    """`called`: ids of the turn's calls. Hosts that give one id to several get a result for each back."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    if target.dialect is not Dialect.OPENAI_RESPONSES:
        left = Counter(dict.fromkeys((part.call_id for part in results), 1)) | Counter(called)
        kept: list[ToolResult] = []
        for part in reversed(results):
            left[part.call_id] -= 1
            if left[part.call_id] >= 0:
                kept.append(part)
            else:
                notes.adjusted("tool-result-repeated", part.at)
        results = kept[::-1]
    places = {call_id: place for place, call_id in enumerate(called)}
    results.sort(key=lambda part: places.get(part.call_id, len(places)))
    return replace(turn, parts=(*results, *rest))


def _moved_up(turns: list[Turn], notes: Notes) -> list[Turn]:
    """Results that stand later than in the turn after their calls."""
    others = list(accumulate((turn.role is not Role.USER for turn in turns), initial=0))
    """So many turns before each are not the user's."""
    place: dict[str, int] = {}
    due: dict[int, list[ToolResult]] = {}
    made: list[Turn] = []
    for index, turn in enumerate(turns):
        if turn.role is Role.ASSISTANT:
            place.update((part.id, index) for part in turn.parts if isinstance(part, ToolCall))
        kept: list[Part] = []
        for part in turn.parts:
            home = place.get(part.call_id) if isinstance(part, ToolResult) else None
            is_late = (
                home is not None and others[index] > others[home + 1]
            )  # of another side, between the two
            if isinstance(part, ToolResult) and home is not None and is_late:
                notes.adjusted("tool-result-moved", part.at)
                due.setdefault(home, []).append(part)
            else:
                kept.append(part)
        made.append(replace(turn, parts=tuple(kept)))
    if not due:
        return turns
    out: list[Turn] = []
    late: list[ToolResult] = []
    for index, turn in enumerate(made):
        if late and turn.role is not Role.USER:
            out.append(Turn(role=Role.USER, parts=tuple(late)))
            late = []
        out += [turn] if turn.parts else []
        late += due.get(index, [])
    return [*out, Turn(role=Role.USER, parts=tuple(late))] if late else out


def _media_moved(turn: Turn, target: Target, notes: Notes) -> Iterable[Turn]:
    """Media of results, where results hold text alone, in a user turn after them."""
    if turn.role is not Role.USER or target.dialect in (
        Dialect.OPENAI_RESPONSES,
        Dialect.ANTHROPIC_MESSAGES,
    ):
        return (turn,)
    results: list[Part] = []
    moved: list[tuple[ToolResult, list[Media]]] = []
    rest: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, ToolResult):
            rest.append(part)
            continue
        out = [one for one in part.parts if isinstance(one, Media) and not _may_hold(one, target)]
        if out:
            notes.adjusted("tool-media-moved", part.at)
            moved.append((part, out))
            part = replace(part, parts=tuple(one for one in part.parts if one not in out))
        results.append(part)
    if not moved:
        return (turn,)
    media: list[Part] = []
    for result, held in moved:
        if len(moved) > 1:
            media.append(Text(text=f"[media of tool result {result.call_id}]"))
        media += held
    split = [replace(turn, parts=tuple(results)), Turn(role=Role.USER, parts=tuple(media), at=turn.at)]
    return [*split, replace(turn, parts=tuple(rest))] if rest else split


def _may_hold(part: Media, target: Target) -> bool:
    return (
        target.dialect is Dialect.GEMINI
        and target.row.takes_media_in_results
        and part.mime in _GEMINI_RESULT_MEDIA
    )


# ---- the whole


def _filled(turns: list[Turn]) -> list[Turn]:
    """Without turns that hold nothing.

    Raises:
        Refused: 400, that was the last turn. User turns in a row are one.
    """
    last = turns[-1] if turns else None
    if last is not None and not last.parts and last.role is Role.USER:
        running = takewhile(lambda turn: turn.role is not Role.ASSISTANT, reversed(turns))
        if not any(turn.parts and turn.role is Role.USER for turn in running):
            at = last.at or "messages"
            said = f"{at}: nothing of the last turn can be sent to this model."
            raise Refused(400, "empty_user_turn", said, param=at)
    return [turn for turn in turns if turn.parts]


def _merged(turns: list[Turn]) -> list[Turn]:
    """Adjacent turns of one side as one, results first. System turns at the head stay apart."""
    sides: list[list[Turn]] = []
    for turn in turns:
        if sides and sides[-1][0].role is turn.role and turn.role not in _SYSTEM:
            sides[-1].append(turn)
        else:
            sides.append([turn])
    return [_as_one(side) if len(side) > 1 else side[0] for side in sides]


def _as_one(side: list[Turn]) -> Turn:
    parts = [part for turn in side for part in turn.parts]
    if side[0].role is Role.USER:
        parts.sort(key=lambda part: not isinstance(part, ToolResult))
    return replace(side[0], parts=tuple(parts))


def _ended(turns: list[Turn], target: Target, notes: Notes, *, is_thinking: bool) -> list[Turn]:
    """A last turn of the assistant's, which the model is to go on with."""
    if not turns or turns[-1].role is not Role.ASSISTANT:
        return turns
    last = turns[-1]
    text = last.parts[-1]
    if not isinstance(text, Text | Refusal):
        return turns
    prefill = target.row.prefill
    if target.dialect in _MERGES and (prefill == "no" or (prefill == "not_thinking" and is_thinking)):
        why = " while it thinks" if prefill == "not_thinking" else ""
        said = f"{last.at}: this model does not continue a turn of the assistant's{why}."
        raise Refused(400, "prefill_unsupported", said, param=last.at)
    if target.dialect not in _MERGES and prefill == "continues_not":
        notes.adjusted("prefill-not-continued", last.at)
    if (
        target.dialect is Dialect.ANTHROPIC_MESSAGES
        and isinstance(text, Text)
        and text.text != text.text.rstrip()
    ):
        notes.adjusted("prefill-whitespace", text.at)
        kept = replace(text, text=text.text.rstrip())
        return [*turns[:-1], replace(last, parts=(*last.parts[:-1], kept))]
    return turns
