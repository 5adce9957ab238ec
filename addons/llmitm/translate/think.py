"""Reasoning that hosts of chat completions leave in the text, told in the field that it has. Pure.

Models that were not split by their host begin an answer with `<think>...</think>`. With `extract_think` what
stands between the tags becomes `reasoning_content`, and the text begins behind them. Only the beginning of a
text counts, after white space at the most: what comes later is the model's own. What does not end is
reasoning to its end. White space behind either tag is left out, all else stays as it is; a host that tells
reasoning in a field of its own is left alone. However a stream cuts the text, the same comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from llmitm.translate import jsontext, sse
from llmitm.translate.chat.reply_in import reasoning_of

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
_BLANKS: Final = 64
"""White space before the tag that is waited behind; a text that begins with more has no tag."""
_HINT: Final = b"choices"


class Splitter:
    """Of one text."""

    __slots__ = ("_held", "_is_blank", "_read")

    def __init__(self) -> None:
        self._held = ""
        self._is_blank = False
        """Whether nothing but white space came since the last tag."""
        self._read: Callable[[str], tuple[str, str]] | None = self._before

    @property
    def is_over(self) -> bool:
        """Whether the rest of the text stays as it is."""
        return self._read is None

    @property
    def is_undecided(self) -> bool:
        """Whether a tag may still come."""
        return self._read == self._before

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the text that are certain by now."""
        if self._read is None:
            return "", text
        held, self._held = self._held + text, ""
        return self._read(held)

    def finish(self) -> tuple[str, str]:
        """What was held: nothing more comes."""
        held, self._held = self._held, ""
        is_within, self._read = self._read == self._within, None
        return (held, "") if is_within else ("", held)

    def _before(self, text: str) -> tuple[str, str]:
        bare = text.lstrip()
        if len(text) - len(bare) <= _BLANKS:
            if bare.startswith(_OPEN):
                self._read, self._is_blank = self._within, True
                return self._within(bare[len(_OPEN) :])
            if _OPEN.startswith(bare):
                self._held = text
                return "", ""
        self._read = None
        return "", text

    def _within(self, text: str) -> tuple[str, str]:
        text = self._begun(text)
        said, mark, rest = text.partition(_CLOSE)
        if mark:
            self._read, self._is_blank = self._behind, True
            return said, self._behind(rest)[1]
        keep = next((size for size in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:size])), 0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], ""

    def _behind(self, text: str) -> tuple[str, str]:
        text = self._begun(text)
        if text:
            self._read = None
        return "", text

    def _begun(self, text: str) -> str:
        """`text` without white space behind the tag before it."""
        if self._is_blank:
            text = text.lstrip()
            self._is_blank = not text
        return text


def split(text: str) -> tuple[str, str]:
    """Reasoning and the rest of a whole text; no reasoning where it has no tag at its beginning."""
    splitter = Splitter()
    first, last = splitter.feed(text), splitter.finish()
    return first[0] + last[0], first[1] + last[1]


def reply(body: bytes) -> bytes:
    """A whole chat completion; what is none stays as it is."""
    told = _parsed(body) if _OPEN.encode() in body or b"u003c" in body.lower() else None
    is_changed = False
    for choice in _choices(told):
        message = choice.get("message")
        if not isinstance(message, dict) or reasoning_of(message):
            continue
        content = message.get("content")
        said, text = split(content) if isinstance(content, str) else ("", content)
        if text != content:
            message["content"] = text
            is_changed = True
        if said:
            message["reasoning_content"] = said
    return orjson.dumps(told) if is_changed else body


class Stream:
    """One stream of chunks. Events of which nothing changes pass as they stand."""

    __slots__ = ("_last", "_reader", "_splitters")

    def __init__(self) -> None:
        self._reader = sse.SseReader()
        self._splitters: dict[int, Splitter] = {}
        self._last: dict[str, Any] = {}

    def feed(self, piece: bytes) -> bytes:
        """Raises `sse.EventTooLong`."""
        return b"".join(map(self._event, self._reader.feed(piece)))

    def finish(self) -> bytes:
        """What was held, at the stream's end or where it broke off."""
        events = self._reader.finish()
        is_whole = all(event.is_complete for event in events)
        return b"".join(map(self._event, events)) + (self._left() if is_whole else b"")

    def _event(self, event: sse.Event) -> bytes:
        data = event.data
        if data is None or not event.is_complete:
            return event.raw
        if data.strip() == b"[DONE]":
            return self._left() + event.raw
        told = _parsed(data) if _HINT in data else None
        changed = [self._choice(place, one) for place, one in enumerate(_choices(told))]
        if isinstance(told, dict) and changed:
            self._last = told
        if not any(changed):
            return event.raw
        return sse.write(sse.Event(name=event.name, comment=event.comment, data=orjson.dumps(told)))

    def _choice(self, place: int, choice: dict[str, Any]) -> bool:
        """Whether anything of it was changed."""
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")  # hosts that send the whole in one chunk
        if not isinstance(delta, dict):
            delta = choice["delta"] = {}
        index = choice.get("index")
        splitter = self._splitters.setdefault(index if isinstance(index, int) else place, Splitter())
        if splitter.is_over:
            return False
        content = delta.get("content")
        before = content if isinstance(content, str) else ""
        said, text = splitter.feed(before)
        is_other = reasoning_of(delta) or delta.get("tool_calls") or not isinstance(content, str | None)
        if choice.get("finish_reason") or (is_other and splitter.is_undecided):
            more_said, more_text = splitter.finish()
            said, text = said + more_said, text + more_text
        if not said and text == before:
            return False
        if text or before:
            delta["content"] = text
        if said:
            delta["reasoning_content"] = (reasoning_of(delta) or "") + said
        return True

    def _left(self) -> bytes:
        """A chunk with what is held of texts that nobody said the end of."""
        choices = []
        for index, splitter in self._splitters.items():
            said, text = splitter.finish()
            delta = ({"reasoning_content": said} if said else {}) | ({"content": text} if text else {})
            if delta:
                choices.append({"index": index, "delta": delta, "finish_reason": None})
        if not choices:
            return b""
        told = {name: one for name, one in self._last.items() if name not in ("choices", "usage")}
        return sse.write(sse.Event(data=orjson.dumps(told | {"choices": choices})))


def _parsed(data: bytes) -> Any:
    """None: it is no JSON."""
    try:
        return jsontext.loads_fast(data)
    except (ValueError, RecursionError):
        return None


def _choices(told: Any) -> list[dict[str, Any]]:
    choices = told.get("choices") if isinstance(told, dict) else None
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


__all__ = ["Splitter", "Stream", "reply", "split"]
