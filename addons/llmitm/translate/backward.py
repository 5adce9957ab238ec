"""An upstream's reply in the client's names: of the model, of tools and calls, and whose seals they are.

Readers give what the upstream said, writers write what the client is to read; between them stands this, for
whole replies and for streams alike, so that both say the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext
from llmitm.translate.fit.tools import Names
from llmitm.translate.neutral import (
    Choice,
    Failed,
    Failure,
    Hosted,
    Logprobs,
    Media,
    Opaque,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Reason,
    Reasoning,
    Reply,
    Request,
    Sealed,
    Start,
    Stop,
    StopSeen,
    StreamEvent,
    Text,
    ToolCall,
    UpstreamError,
)
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target

_EMPTY: Final = {Reason.MALFORMED_CALL: "malformed_function_call", Reason.OTHER: "empty_reply"}
_WRAPPED: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_MAY_BE_WRAPPED: Final = re.compile(
    r'\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"\s*(?::\s*"?)?)?)?)?)?)?)?)?)?\Z'
)
_HEX, _HIGH, _LOW = "[0-9a-fA-F]", "[dD][89abAB]", "[dD][c-fC-F]"
_RUN: Final = re.compile(
    rf'(?:[^"\\]|\\(?:u{_HIGH}{_HEX}{{2}}'
    rf"(?:\\u{_LOW}{_HEX}{{2}}|(?=[^\\]|\\[^u]|\\u(?!{_LOW}){_HEX}{{4}}))"
    rf"|u(?!{_HIGH}){_HEX}{{4}}|[^u]))*"
)
"""Signs of a string, each of them whole: the first half of a pair waits for what follows it."""


def empty(stop: Stop) -> Failure | None:
    """Why a reply without any part is none, so that it may be tried elsewhere; None where it is one."""
    code = _EMPTY.get(stop.reason)
    if code is None:
        return None
    return Failure(
        status=502,
        kind="bad_gateway",
        code=code,
        message=f"The provider's answer is empty ({stop.raw or stop.reason}).",
    )


class Backward:
    """One reply, or one stream, on its way back to the client."""

    __slots__ = (
        "_asked",
        "_calls",
        "_dropped",
        "_has_parts",
        "_places",
        "_names",
        "_notes",
        "_now_s",
        "_open",
        "_reply_id",
        "_spare_id",
        "_target",
        "_unwraps",
        "_uses",
    )

    def __init__(
        self, asked: Request, target: Target, names: Names, notes: Notes, *, now_s: int, spare_id: str
    ) -> None:
        """`now_s`: unix time, for upstreams that tell none; `spare_id`: for those that give no id."""
        self._asked = asked
        self._target = target
        self._names = names
        self._notes = notes
        self._now_s = now_s
        self._spare_id = spare_id
        self._reply_id = spare_id
        self._calls: dict[int, int] = {}
        """How many calls each choice had so far."""
        self._uses: dict[str, int] = {}
        self._unwraps: dict[tuple[int, int], Unwrap | Wrap | Watch] = {}
        self._dropped: set[tuple[int, int]] = set()
        self._places: dict[int, int] = {}
        """The index of the part that is open in each choice: those that are dropped are not counted."""
        self._open: dict[int, Part] = {}
        self._has_parts: set[int] = set()

    # ---- whole

    def reply(self, reply: Reply) -> Reply:
        """Raises `UpstreamError`: the reply is empty where it should not be."""
        self._reply_id = reply.id or self._spare_id
        choices = tuple(self._choice(choice) for choice in reply.choices)
        if not choices:
            choices = (Choice(),)
        return replace(
            reply,
            id=ids.reply_id(self._asked.dialect, self._reply_id),
            model=self._asked.model,
            created=self._now_s if reply.created is None else reply.created,
            choices=choices,
        )

    def _choice(self, choice: Choice) -> Choice:
        stop = choice.stop
        if stop is not None:
            failure = None if choice.parts else empty(stop)
            if failure is not None:
                raise UpstreamError(failure)
            stop = self._stopped(stop)
        if choice.logprobs:
            self._logged()
        parts = [self._part(part, choice.index) for part in choice.parts]
        return replace(choice, parts=tuple(part for part in parts if part is not None), stop=stop)

    def _part(self, part: Part, choice: int) -> Part | None:
        match part:
            case ToolCall():
                made = self._call(part, choice)
                if self._is_wrapped(part):
                    args, is_odd = unwrapped(part.args)
                    if is_odd:
                        self._notes.adjusted("invalid-arguments")
                    made = replace(made, args=args)
                elif self._is_to_wrap(part):
                    made = replace(made, args=orjson.dumps({"input": part.args}).decode())
                elif self._has_objects and is_broken(part.args):
                    self._notes.adjusted("invalid-arguments")
                return made
            case Reasoning() if part.sealed is None:
                return replace(part, sealed=self._spare_seal())
            case Reasoning() | Text():
                self._cited(part)
                return replace(part, sealed=self._seal(part.sealed))
            case _:
                return part if self._is_told(part) else None

    # ---- streams

    def event(self, event: StreamEvent) -> list[StreamEvent]:
        """The events that the client's writer gets for this one."""
        match event:
            case PartDelta():
                return self._delta(event)
            case PartStart():
                return self._start(event)
            case PartMeta():
                return self._meta(event)
            case PartStop():
                return self._stop(event)
            case Start():
                self._reply_id = event.id or self._spare_id
                created = self._now_s if event.created is None else event.created
                made_id = ids.reply_id(self._asked.dialect, self._reply_id)
                return [replace(event, id=made_id, model=self._asked.model, created=created)]
            case StopSeen():
                failure = None if event.choice in self._has_parts else empty(event.stop)
                if failure is not None:
                    return [Failed(failure)]
                return [replace(event, stop=self._stopped(event.stop))]
            case Logprobs():
                self._logged()
        return [event]

    def _start(self, event: PartStart) -> list[StreamEvent]:
        part = event.part
        self._has_parts.add(event.choice)
        if not self._is_told(part):
            self._dropped.add((event.choice, event.index))
            return []
        if isinstance(part, ToolCall):
            if self._is_wrapped(part):
                self._unwraps[event.choice, event.index] = Unwrap()
            elif self._is_to_wrap(part):
                self._unwraps[event.choice, event.index] = Wrap()
            elif self._asked.dialect is Dialect.GEMINI:
                self._unwraps[event.choice, event.index] = Watch()
            part = self._call(part, event.choice)
        elif isinstance(part, Text | Reasoning) and part.sealed is not None:
            part = replace(part, sealed=self._seal(part.sealed))
        self._open[event.choice] = part
        place = self._places[event.choice] = self._places.get(event.choice, -1) + 1
        return [PartStart(place, part, event.choice)]

    def _delta(self, event: PartDelta) -> list[StreamEvent]:
        key = (event.choice, event.index)
        if key in self._dropped:
            return []
        place = self._places[event.choice]
        unwrap = self._unwraps.get(key)
        text = event.text if unwrap is None else unwrap.feed(event.text)
        return [PartDelta(place, event.field, text, event.sub, event.choice)] if text else []

    def _meta(self, event: PartMeta) -> list[StreamEvent]:
        if (event.choice, event.index) in self._dropped:
            return []
        part, place = self._open[event.choice], self._places[event.choice]
        if event.key == "citations":
            self._cited(Text(text="", citations=event.value))
            return [replace(event, index=place)]
        ref = part.id if isinstance(part, ToolCall) else None
        sealed = self._seal(event.value, ref)
        self._open[event.choice] = (
            replace(part, sealed=sealed) if isinstance(part, Reasoning | Text | ToolCall) else part
        )
        return [PartMeta(place, "sealed", sealed, event.choice)]

    def _stop(self, event: PartStop) -> list[StreamEvent]:
        key = (event.choice, event.index)
        if key in self._dropped:
            return []
        out: list[StreamEvent] = []
        place = self._places[event.choice]
        unwrap = self._unwraps.pop(key, None)
        if unwrap is not None:
            text = unwrap.finish()
            if unwrap.is_odd:
                self._notes.adjusted("invalid-arguments")
            if text:
                out.append(PartDelta(place, "args", text, 0, event.choice))
        part = self._open.pop(event.choice, None)
        if isinstance(part, Reasoning) and part.sealed is None:
            sealed = self._spare_seal()
            if sealed is not None:
                out.append(PartMeta(place, "sealed", sealed, event.choice))
        return [*out, PartStop(place, event.choice)]

    # ---- both

    def _call(self, part: ToolCall, choice: int) -> ToolCall:
        ordinal = self._calls[choice] = self._calls.get(choice, -1) + 1
        call_id = part.id or ids.made_call_id(self._reply_id, choice, ordinal, part.name)
        use = self._uses[call_id] = self._uses.get(call_id, 0) + 1
        call_id = ids.for_client(self._asked.dialect, call_id, use)
        name, namespace, kind = part.name, part.namespace, part.kind
        if self._is_to_wrap(part):
            kind = "function"
        known = self._known(part)
        if known is not None:
            name, namespace, kind = known.name, known.namespace, known.kind
        if namespace and self._asked.dialect is not Dialect.OPENAI_RESPONSES:
            name, namespace = f"{namespace}__{name}", None
        return replace(
            part,
            id=call_id,
            name=name,
            namespace=namespace,
            kind=kind,
            sealed=self._seal(part.sealed, call_id),
        )

    def _known(self, part: ToolCall) -> Any:
        key = part.name
        if self._names.dialect is Dialect.OPENAI_RESPONSES:
            key = f"{part.namespace or ''}.{part.name}"
        return self._names.tools.get(key)

    @property
    def _has_objects(self) -> bool:
        """Whether a call's arguments are an object in the client's dialect, not a text."""
        return self._asked.dialect in (Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI)

    def _is_to_wrap(self, part: ToolCall) -> bool:
        """Free text to a client whose dialect has objects alone."""
        has_custom = self._asked.dialect in (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES)
        return part.kind == "custom" and not has_custom

    def _is_wrapped(self, part: ToolCall) -> bool:
        known = self._known(part)
        return self._names.is_wrapping and known is not None and known.kind == "custom"

    def _seal(self, sealed: Sealed | None, ref: str | None = None) -> Sealed | None:
        """The seal with whose it is: the upstream's, whatever its dialect is called."""
        if sealed is None:
            return None
        target = self._target
        vendor = sealed.vendor
        if target.dialect is not Dialect.OPENAI_CHAT and target.vendor:
            vendor = target.vendor
        return replace(sealed, vendor=vendor, scope=target.scope, ref=ref or sealed.ref)

    def _spare_seal(self) -> Sealed | None:
        """For Anthropic's clients, who send back what is signed alone: it says whose reasoning it is."""
        if self._asked.dialect is not Dialect.ANTHROPIC_MESSAGES:
            return None
        vendor = self._target.vendor or self._target.dialect.value
        return Sealed(vendor=vendor, kind="thinking", scope=self._target.scope)

    def _is_told(self, part: Part) -> bool:
        """Whether the client's dialect can hold the part at all."""
        match part:
            case Hosted():
                if part.text and self._asked.dialect is not Dialect.OPENAI_RESPONSES:
                    self._notes.adjusted("hosted-as-text")
                    return True
                self._notes.lost("hosted-activity")
                return False
            case Opaque():
                self._notes.lost("hosted-activity")
                return False
            case Media() if self._asked.dialect is Dialect.ANTHROPIC_MESSAGES or (
                part.kind != "image" and self._asked.dialect is not Dialect.GEMINI
            ):
                self._notes.lost("output-media")
                return False
            case _:
                return True

    def _cited(self, part: Part) -> None:
        if not isinstance(part, Text) or not part.citations:
            return
        if self._asked.dialect is Dialect.ANTHROPIC_MESSAGES:
            lost = any(one.vendor != "anthropic" for one in part.citations)
        else:
            lost = any(one.url is None for one in part.citations)
        if lost:
            self._notes.lost("citations")

    def _stopped(self, stop: Stop) -> Stop:
        """Hosts of chat tell what stopped them in a field of their own: it counts if it was asked for."""
        match stop.reason:
            case Reason.PAUSE:
                self._notes.lost("paused-turn")
            case Reason.MALFORMED_CALL:
                self._notes.lost("malformed-call")
            case Reason.OTHER:
                self._notes.lost("finish-reason")
            case Reason.STOP_SEQUENCE if self._target.dialect is Dialect.OPENAI_CHAT:
                if stop.sequence not in self._asked.settings.stop:
                    return replace(stop, reason=Reason.STOP, sequence=None)
        return stop

    def _logged(self) -> None:
        if self._asked.dialect is Dialect.ANTHROPIC_MESSAGES:
            self._notes.lost("logprobs")


# ---- free text that travelled as an object with one string


def unwrapped(args: str) -> tuple[str, bool]:
    """The text in `{"input": text}`, else the whole; and whether it was anything else."""
    try:
        value = jsontext.loads(args)
    except ValueError:
        return args, True
    match value:
        case {"input": str(text)}:
            return text, len(value) > 1
        case _:
            return args, True


def is_broken(args: str) -> bool:
    """Neither an object nor nothing."""
    return args.strip() not in ("", "null") and not jsontext.is_object(args)


class Watch:
    """Passes arguments on, and sees whether they are an object in the end."""

    __slots__ = ("_pieces", "is_odd")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.is_odd = False

    def feed(self, text: str) -> str:
        self._pieces.append(text)
        return text

    def finish(self) -> str:
        self.is_odd = is_broken("".join(self._pieces))
        return ""


class Wrap:
    """Puts free text into `{"input": "text"}` while it streams."""

    __slots__ = ("_has_begun", "is_odd")

    def __init__(self) -> None:
        self._has_begun = False
        self.is_odd = False

    def feed(self, text: str) -> str:
        head = "" if self._has_begun else '{"input":"'
        self._has_begun = True
        return head + orjson.dumps(text).decode()[1:-1]

    def finish(self) -> str:
        return '"}' if self._has_begun else '{"input":""}'


class Unwrap:
    """Takes the text out of `{"input": "text"}` while it streams."""

    __slots__ = ("_held", "_state", "is_odd")

    def __init__(self) -> None:
        self._held = ""
        self._state = "before"
        self.is_odd = False
        """It was something else, or more."""

    def feed(self, text: str) -> str:
        self._held += text
        if self._state == "before":
            match = _WRAPPED.match(self._held)
            if match is None:
                if not _MAY_BE_WRAPPED.match(self._held):
                    self._state = "other"
                return ""
            self._held = self._held[match.end() :]
            self._state = "within"
        if self._state != "within":
            return ""
        return self._decoded()

    def _decoded(self) -> str:
        """The whole signs of what is held; half an escape waits for its rest."""
        match = _RUN.match(self._held)
        run = match[0] if match else ""
        self._held = self._held[len(run) :]
        if self._held.startswith('"'):
            self._state = "after"
        try:
            text = json.loads(f'"{run}"', strict=False)
        except ValueError:
            return run
        return str(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def finish(self) -> str:
        """What was held to the end: the whole, where it was not of this form."""
        match self._state:
            case "after":
                self.is_odd = self._held[1:].strip() != "}"
                return ""
            case "within":
                self.is_odd = True
                return self._held
        text, self.is_odd = unwrapped(self._held)
        return text
