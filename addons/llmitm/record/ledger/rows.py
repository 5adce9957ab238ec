"""What an exchange becomes in the ledger: values in the order of the columns, times as RFC 3339. Pure.

This is done for every exchange while the next ones come, so it is written to be quick.

Text that came from outside passes the redaction filter here: nothing else writes to the ledger.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

import orjson

from llmitm.exchange import Headers, Noted, Usage
from llmitm.record.bodies import Leg, Seen
from llmitm.record.entry import Entry, outcome_of
from llmitm.record.ledger.columns import EXCHANGES, USAGE
from llmitm.secret import MASK, is_secret

type Row = tuple[Any, ...]

TEXT_LIMIT: Final = 2_000
"""Characters of a text that comes from outside."""
_USAGE: Final = attrgetter(*(one.name for one in USAGE))
_TOOLS_AT: Final = [one.name for one in USAGE].index("server_tools")
_ID_AT: Final = EXCHANGES.names.index("id")
_MOST: Final = 2**63 - 1
_NUMBERS: Final = next(at for at, one in enumerate(USAGE) if one.kind != "big")
"""The counts of tokens stand first."""
_NO_USAGE: Final = (None,) * len(USAGE)
_UNTOLD: Final = Usage()
_UNTOLD_VALUES: Final = _USAGE(_UNTOLD)


@dataclass(slots=True)
class Rows:
    """Some exchanges, ready to be written."""

    exchanges: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    bodies: list[Row] = field(default_factory=list)
    legs: list[Row] = field(default_factory=list)

    def singly(self) -> Iterator[Rows]:
        """Each exchange with its attempts and bodies."""
        for row in self.exchanges:
            name = row[_ID_AT]
            yield Rows(
                [row],
                [one for one in self.attempts if one[0] == name],
                [one for one in self.bodies if one[0] == name],
                [one for one in self.legs if one[0] == name],
            )


class Held(NamedTuple):
    """What an exchange said and was told, as it came: it becomes text at last, being large."""

    sent: Seen
    given: Seen
    target: str
    headers: Headers
    answered: Headers
    legs: dict[int, Leg]

    @property
    def kept_bytes(self) -> int:
        legs = sum(one.kept_bytes for one in self.legs.values())
        return self.sent.kept_bytes + self.given.kept_bytes + legs


class Made(NamedTuple):
    """One exchange, while it waits to be written: of what the garbage collector need not look into."""

    exchange: Row
    attempts: tuple[Row, ...]
    held: Held | None
    """None: bodies are not kept."""

    @property
    def id(self) -> str:
        return str(self.exchange[_ID_AT])

    @property
    def bodies_bytes(self) -> int:
        return 0 if self.held is None else self.held.kept_bytes


class Writing:
    """Makes the rows of one run of a gateway. Any thread may use it."""

    def __init__(self, run: str, redact: Callable[[str], str]) -> None:
        self._run = run
        self._redact = redact
        self._clean = lru_cache(maxsize=2048)(self._cleaned)

    def forget(self) -> None:
        """There are new secrets to look for."""
        self._clean.cache_clear()

    def made(self, entry: Entry) -> Made:
        return Made(
            self.exchange(entry), tuple([self.attempt(entry, one) for one in entry.attempts]), held_of(entry)
        )

    def add(self, made: Made, found: Rows) -> None:
        """Adds its rows to `found`."""
        if made.held is not None:
            found.bodies.append(self.bodies(made.id, made.held))
            found.legs += self.legs(made.id, made.held.legs)
        found.exchanges.append(made.exchange)
        found.attempts += made.attempts

    def exchange(self, entry: Entry) -> Row:
        last = entry.answering
        clean, began_s = self._text, entry.started_s
        ended_s = began_s if entry.ended_s is None else entry.ended_s
        priced = [one for one in entry.attempts if one.price_version is not None]
        dialect, outcome = entry.dialect, entry.outcome or outcome_of(entry)
        return (
            self._run,
            entry.number,
            entry.id,
            rfc3339(entry.at_s),
            rfc3339(entry.at_s + (ended_s - began_s)),
            clean(entry.method),
            clean(entry.path),
            entry.client,
            entry.endpoint,
            entry.auth_key,
            None if dialect is None else dialect.value,
            clean(entry.model),
            *(_last(last) if last is not None else _NO_ATTEMPT),
            last and clean(last.model),
            last and clean(last.answered),
            entry.is_stream,
            entry.status,
            outcome.value,
            last and last.ending and str(last.ending),
            clean(entry.code),
            clean(entry.error),
            len(entry.attempts),
            _ms(entry.first_byte_s, began_s),
            _ms(entry.ended_s, began_s),
            _ms(entry.own_s, 0),
            entry.request_bytes,
            entry.response_bytes,
            *_usage(entry.usage),
            entry.cost_usd_nano,
            entry.is_cost_whole,
            priced[-1].price_version if priced else None,
            self._warnings(last),
            entry.replay_of,
            _ms(entry.body_s, began_s),
            _ms(entry.admitted_s, began_s),
        )

    def attempt(self, entry: Entry, noted: Noted) -> Row:
        clean = self._text
        return (
            entry.id,
            noted.number,
            rfc3339(noted.at_s),
            noted.provider,
            noted.credential,
            noted.gateway,
            clean(noted.host),
            noted.dialect and noted.dialect.value,
            clean(noted.model),
            clean(noted.answered),
            clean(noted.upstream_id),
            noted.status,
            noted.ending and str(noted.ending),
            clean(noted.error),
            _ms(noted.first_byte_s, noted.started_s),
            _ms(noted.ended_s, noted.started_s),
            noted.request_bytes,
            noted.response_bytes,
            *_usage(noted.usage),
            noted.cost_usd_nano,
            noted.is_cost_whole,
            noted.price_version,
            self._warnings(noted),
        )

    def bodies(self, exchange: str, held: Held) -> Row:
        return (
            exchange,
            *self._body(held.sent),
            *self._body(held.given),
            self._whole(held.target),
            self._headers(held.headers),
            self._headers(held.answered),
        )

    def legs(self, exchange: str, legs: Mapping[int, Leg]) -> list[Row]:
        return [
            (
                exchange,
                number,
                one.method,
                self._whole(one.url),
                self._headers(one.headers),
                *self._body(one.sent),
                one.status,
                None if one.status is None else self._headers(one.answered),
                *self._body(one.said),
            )
            for number, one in legs.items()
        ]

    def _body(self, seen: Seen) -> tuple[str | None, bool]:
        text, is_cut = readable(seen)
        return None if text is None else self._whole(text), is_cut

    def _whole(self, text: str) -> str:
        return self._redact(text).replace("\0", "\ufffd")

    def _headers(self, headers: Headers) -> str:
        """A list of pairs as JSON, without what keys or cookies stand in."""
        shown = []
        for name, value in headers:
            text = value.decode("utf-8", "replace")
            is_hidden = is_secret(name.lower()) or name.lower() in _HIDDEN
            shown.append((name.decode("latin-1"), MASK if is_hidden else self._whole(text)))
        return orjson.dumps(shown).decode()

    def _text(self, text: str | None) -> str | None:
        return text and self._clean(text)

    def _cleaned(self, text: str) -> str:
        # PostgreSQL keeps no NUL, and no encoding keeps half a surrogate pair
        plain = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        return self._redact(plain)[:TEXT_LIMIT]

    def _warnings(self, noted: Noted | None) -> str | None:
        return self._clean(orjson.dumps(noted.warnings).decode()) if noted and noted.warnings else None


_NO_ATTEMPT: Final = (None,) * 4
_HIDDEN: Final = frozenset({b"sec-websocket-protocol"})
"""Headers that may hold a key among other things."""


def held_of(entry: Entry) -> Held | None:
    """None: bodies are not kept."""
    if entry.sent is None or entry.given is None:
        return None
    legs = entry.legs or {}
    return Held(entry.sent, entry.given, entry.target or "", entry.headers, entry.answered, legs)


def _last(noted: Noted) -> Row:
    return (noted.provider, noted.credential, noted.gateway, noted.dialect and noted.dialect.value)


def _ms(moment_s: float | None, since_s: float) -> float | None:
    """To the microsecond. `round` to digits takes four times as long."""
    return None if moment_s is None else int((moment_s - since_s) * 1e6 + 0.5) / 1000


def _usage(usage: Usage | None) -> Row:
    if usage is None or usage is _UNTOLD:
        return _NO_USAGE
    values: Row = _USAGE(usage)
    if values == _UNTOLD_VALUES:
        return _NO_USAGE
    if usage.server_tools or max(filter(None, values[:_NUMBERS]), default=0) > _MOST:
        plain = [None if isinstance(one, int) and one > _MOST else one for one in values]
        plain[_TOOLS_AT] = orjson.dumps(dict(usage.server_tools)).decode() if usage.server_tools else None
        return tuple(plain)
    return (*values[:_TOOLS_AT], None, *values[_TOOLS_AT + 1 :])


def readable(seen: Seen) -> tuple[str | None, bool]:
    """A body as text, and whether it is not all of it; None where it is no text."""
    content, is_cut = seen.content(), seen.is_cut
    if content.startswith((b"\x1f\x8b", b"\x78\x9c", b"\x78\x01", b"\x78\xda")):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            content = inflater.decompress(content, 4 * len(content) + 65_536)
        except zlib.error:
            return None, is_cut
        is_cut = is_cut or bool(inflater.unconsumed_tail)
    try:
        return content.decode(), is_cut
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(content) - 3:  # cut within a character
            return content[: error.start].decode(), True
        return None, is_cut


_THOUSANDTHS: Final = tuple(f".{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=64)
def _second(since_s: int) -> str:
    return datetime.fromtimestamp(since_s, UTC).isoformat()[:-6]


def rfc3339(moment_s: float) -> str:
    """UTC, to the millisecond."""
    since_ms = round(moment_s * 1000)
    return _second(since_ms // 1000) + _THOUSANDTHS[since_ms % 1000]
