"""A stream of OpenAI's responses, read. Pure.

Items are told apart by `output_index`, for some hosts change ids from event to event. One item at a time
becomes neutral parts: what is said of a later one waits until the one before is over.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from llmitm.translate.neutral import (
    End,
    ExtrasSeen,
    Failed,
    Failure,
    Part,
    PartDelta,
    PartMeta,
    PartStart,
    PartStop,
    Ping,
    Start,
    StopSeen,
    StreamEvent,
    UsageSeen,
)
from llmitm.translate.reading import seconds_if, text_if
from llmitm.translate.responses import facts, item_in
from llmitm.translate.sse import Event
from llmitm.translate.stream import malformed, parsed, truncated


class StreamReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self._items: dict[int, item_in.Item] = {}
        self._order: list[item_in.Item] = []
        self._turn = 0  # of the item in `_order` whose events are given out
        self._index = -1
        self._heads: list[Part] = []
        self._has_begun = False
        self._is_over = False
        self._has_failed = False

    def read(self, event: Event) -> list[StreamEvent]:
        if self._is_over or event.data is None:
            return [Ping()] if event.comment is not None and not self._is_over else []
        if event.data.strip() in (b"[DONE]", b""):
            return []
        try:
            data = parsed(event)
            return [] if data is None else self._event(data, event.name)
        except ValueError:
            return self._fail(malformed().error)

    def finish(self) -> list[StreamEvent]:
        if self._has_failed:
            return []
        if self._is_over:
            return [End()]
        self._is_over = self._has_failed = True
        return [truncated()]

    def _event(self, data: dict[str, Any], name: str | None) -> list[StreamEvent]:
        kind = text_if(data.get("type")) or name or ""
        if not kind and data.get("object") == "response":
            return self._end(data, text_if(data.get("status")) or "completed")
        if kind == "error" or (not kind.startswith("response.") and data.get("error")):
            return self._fail(facts.failure_of({"type": kind, **data}))
        return self._taken(kind.removeprefix("response."), data)

    def _taken(self, kind: str, data: dict[str, Any]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        response = data.get("response")
        match kind:
            case "created" | "queued" | "in_progress":
                if isinstance(response, dict):
                    self._begin(response, out)
                return out or [Ping()]
            case "completed" | "incomplete" | "failed" | "cancelled":
                return self._end(response if isinstance(response, dict) else {}, kind)
            case "output_item.added" | "output_item.done":
                self._item(kind, data)
            case _:
                self._about(kind, data)
        said: list[StreamEvent] = []
        self._give(said)
        if said:
            self._begin({}, out)
        return [*out, *said] or [Ping()]

    def _begin(self, response: dict[str, Any], out: list[StreamEvent]) -> None:
        if not self._has_begun:
            self._has_begun = True
            name, model = text_if(response.get("id")), text_if(response.get("model"))
            out.append(Start(name, model, seconds_if(response.get("created_at"))))

    # ---- items

    def _item(self, kind: str, data: dict[str, Any]) -> None:
        item = data.get("item")
        if not isinstance(item, dict):
            return
        known = self._at(data, text_if(item.get("type")) or "", text_if(item.get("id")))
        if kind == "output_item.added":
            known.added(item)
        else:
            known.done(item)

    def _about(self, kind: str, data: dict[str, Any]) -> None:
        about = item_in.kind_by_event(kind)
        if about is not None:
            self._at(data, about, text_if(data.get("item_id"))).take(kind, data)

    def _at(self, data: dict[str, Any], kind: str, item_id: str | None) -> item_in.Item:
        place = data.get("output_index")
        if not isinstance(place, int):
            place = max(self._items, default=0)
        known = self._items.get(place)
        if known is None:
            known = self._items[place] = item_in.made(kind, item_id)
            self._order.append(known)
        return known

    def _give(self, out: list[StreamEvent]) -> None:
        """What the item says whose turn it is, and those after it that are over."""
        while self._turn < len(self._order):
            item = self._order[self._turn]
            if item.events:
                out += (self._numbered(event) for event in item.events)
                item.events.clear()
            if item.is_done:
                self._turn += 1
            elif item.is_silent and any(not one.is_silent for one in self._order[self._turn + 1 :]):
                # hosts leave tools of their own open: what is said meanwhile does not wait for them
                self._order.append(self._order.pop(self._turn))
            else:
                return

    def _numbered(self, event: StreamEvent) -> StreamEvent:
        match event:
            case PartDelta():
                return PartDelta(self._index, event.field, event.text, event.sub)
            case PartStart():
                self._index += 1
                self._heads.append(event.part)
                return PartStart(self._index, event.part)
            case PartMeta():
                return PartMeta(self._index, event.key, event.value)
            case PartStop():
                return PartStop(self._index)
            case _:
                return event

    # ---- the end

    def _end(self, response: dict[str, Any], kind: str) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        self._begin(response, out)
        usage = facts.read_usage(response)
        told: list[StreamEvent] = [UsageSeen(usage)] if usage is not None else []
        status = kind if kind in ("failed", "cancelled") else response.get("status")
        if status in ("failed", "cancelled"):
            failed = facts.failure_in({**response, "status": status}) or facts.unreadable()
            return [*out, *told, *self._fail(failed)]
        self._reconcile(response.get("output"))
        for item in self._order:
            item.done(None)
        self._give(out)
        stop = facts.stop_of({"status": kind, **response}, self._heads)
        if (failure := facts.empty_failure(stop, self._heads)) is not None:
            return [*out, *told, *self._fail(failure)]
        self._is_over = True
        if (tier := text_if(response.get("service_tier"))) is not None:
            out.append(ExtrasSeen({}, tier))
        return [*out, *told, StopSeen(stop)]

    def _reconcile(self, output: Any) -> None:
        """Items that only the final response tells whole. The n-th of a type is the n-th that came."""
        came: dict[str, list[item_in.Item]] = defaultdict(list)
        for item in self._order:
            came[item.type].append(item)
        for item in output if isinstance(output, list) else ():
            if not isinstance(item, dict) or not isinstance(item.get("type"), str):
                continue
            kind = item["type"]
            if came[kind]:
                came[kind].pop(0).done(item)
            else:
                made = item_in.made(kind, text_if(item.get("id")))
                made.done(item)
                self._order.append(made)

    def _fail(self, failure: Failure) -> list[StreamEvent]:
        self._is_over = self._has_failed = True
        return [Failed(failure)]
