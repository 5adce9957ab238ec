"""The way back of a call that was passed: whose the things are that its answer names, and what it used.

Addresses of the provider's in it, which clients go on to, are made to lead back here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from llmitm.accept import tickets
from llmitm.errors import Failure
from llmitm.exchange import Attempt, Dialect, ResponseHead
from llmitm.route.choice import Choice
from llmitm.route.pins import made_in
from llmitm.route.providers import Candidate
from llmitm.route.siblings import Sibling
from llmitm.route.verdict import Ending
from llmitm.translate.metered import Batch, Lines, Meter, Tail
from llmitm.trip.missed import Missed
from llmitm.trip.routed import Trip

type Steps = AsyncGenerator[ResponseHead | bytes]

LEARN_BYTES: Final = 1_048_576
"""Of an answer that names what was made."""
_UPLOAD_HEADERS: Final = frozenset({b"x-goog-upload-url", b"x-goog-upload-control-url"})
_RESULTS: Final = re.compile(rb'("results_url"\s*:\s*)"https?://[^"/]+[^"]*?(?=/v1/messages/batches/)')
_METERED: Final = frozenset({"images", "speech", "transcriptions", "rerank", "moderations"})
_UNSENT: Final = frozenset(
    {Failure.REFUSED, Failure.DNS, Failure.TLS, Failure.PROXY, Failure.CONNECT_TIMEOUT}
)


@dataclass(slots=True, kw_only=True)
class Back:
    """The way back of one attempt."""

    trip: Trip
    sibling: Sibling
    attempt: Attempt
    choice: Choice[Candidate]
    is_anybodys: bool
    """Another account may know what this one does not."""
    _meter: Meter | None = None

    async def steps(self, steps: Steps) -> Steps:
        """What the client is told.

        Raises:
            Missed: as `Untouched.steps`.
        """
        async with aclosing(steps):
            try:
                head = await anext(steps)
            except Missed as missed:
                self._missed(missed)
                raise
            assert isinstance(head, ResponseHead)
            self._meter = self._meter_of(head)
            head, begun = await self._learned(head, steps)
            self._feed(head.whole or begun)
            yield head
            if begun:
                yield begun
            async for step in steps:
                assert isinstance(step, bytes)
                self._feed(step)
                yield step
            await self._count()

    def _missed(self, missed: Missed) -> None:
        """What may have been made although nobody said so is not made again; what is not found here may be
        another account's."""
        if self.is_anybodys and missed.failure.status == 404:
            missed.ending = Ending.CONFLICT
        is_unsure = missed.ending in (Ending.NETWORK, Ending.TIMEOUT) and missed.failure.code not in _UNSENT
        if self.sibling.is_making and is_unsure:
            missed.ending = Ending.LATE

    async def _learned(self, head: ResponseHead, steps: Steps) -> tuple[ResponseHead, bytes]:
        """The head, and what of the body was read: whose it is that it names is known from now on."""
        sibling = self.sibling
        if not sibling.is_kept or not 200 <= head.status < 300:
            return head, b""
        head = await self._upload_address(head)
        is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
        if b"json" not in (head.header(b"content-type") or b"") or not is_plain or head.status == 204:
            return head, b""
        if sibling.path.endswith(("/content", "/results", ":download")):
            return head, b""
        whole = head.whole
        if whole is None:
            held = bytearray()
            async for step in steps:
                assert isinstance(step, bytes)
                held += step
                if len(held) > LEARN_BYTES:
                    return head, bytes(held)
            whole = bytes(held)
        for name in dict.fromkeys(made_in(whole)):
            await self.trip.world.pins.pin(name, self.choice)
        return self._addressed(head, whole), b""

    def _addressed(self, head: ResponseHead, whole: bytes) -> ResponseHead:
        """Anthropic names the address of a batch's results; its library goes there with the client's key."""
        if self.sibling.dialect is not Dialect.ANTHROPIC_MESSAGES:
            return replace(head, whole=whole)
        here = _here(self.trip) or ""  # libraries take it to be below their base URL
        changed = _RESULTS.sub(lambda found: found[1] + orjson.dumps(here)[:-1], whole)
        headers = tuple(pair for pair in head.headers if pair[0].lower() != b"content-length")
        return replace(head, headers=headers, whole=changed)

    async def _upload_address(self, head: ResponseHead) -> ResponseHead:
        """Gemini names the address to which a file's pieces are sent; they come here, too."""
        if not self.sibling.is_upload:
            return head
        trip = self.trip
        here = _here(trip)
        headers: list[tuple[bytes, bytes]] = []
        for name, value in head.headers:
            if name.lower() in _UPLOAD_HEADERS and here is not None:
                address = urlsplit(value.decode("latin-1"))
                path = address.path[address.path.find("/upload/") :] if "/upload/" in address.path else None
                pairs = dict(parse_qsl(address.query))
                if path is not None and (upload_id := pairs.get("upload_id")):
                    await trip.world.pins.pin(upload_id, self.choice)
                    query = tickets.added(address.query, upload_id, trip.kept.auth_key, trip.config)
                    value = f"{here}{path}?{query}".encode("latin-1")
            headers.append((name, value))
        return replace(head, headers=tuple(headers))

    def _meter_of(self, head: ResponseHead) -> Meter | None:
        sibling = self.sibling
        kind = head.header(b"content-type") or b""
        is_plain = head.header(b"content-encoding") in (None, b"", b"identity")
        if head.status != 200 or not is_plain:
            return None
        if sibling.kind in _METERED and kind.startswith((b"application/json", b"text/event-stream")):
            return Tail(is_image=sibling.kind == "images")
        if sibling.kind != "batches" or sibling.form != "none" or not sibling.ids:
            return None
        return Lines(sibling.ids[0]) if sibling.path.endswith("/results") else Batch()

    def _feed(self, piece: bytes) -> None:
        if self._meter is not None and piece:
            self._meter.feed(piece)

    async def _count(self) -> None:
        """Once the answer has come whole."""
        told = self._meter.finish() if self._meter is not None else None
        kept = self.trip.kept
        if told is None or (told.once and not await self.trip.world.pins.is_first(told.once)):
            return
        kept.used(self.attempt, told.usage)
        if (noted := kept.of(self.attempt)) is not None:
            noted.answered = told.model


def _here(trip: Trip) -> str | None:
    """The address that the client knows this endpoint by; None where it does not say."""
    host = trip.request.header(b"host")
    if host is None:
        return None
    rest = trip.asked.rest.partition(b"?")[0]
    prefix = trip.request.path.removesuffix(rest)
    return f"{trip.request.scheme}://{host.decode('latin-1')}{prefix.decode('latin-1')}"
