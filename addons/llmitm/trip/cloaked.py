"""An attempt whose provider is not told everything: the `cloak` tables joined to the steps of an attempt.

What is masked is decided in `shape/cloak/`, which is pure. Here it meets heads, bodies and the file of the
key. What words are hidden from is read whole first: what cannot be read is refused, never sent as it is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, cast

from llmitm.aside import aside, in_portions, is_short
from llmitm.config.cloak import Cloak as Table
from llmitm.config.providers import ProviderOptions
from llmitm.config.schema import Config
from llmitm.errors import Refused, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, Headers, HeldBody, ResponseHead, UpstreamRequest
from llmitm.route.calls import Call
from llmitm.shape.cloak.cloak import Cloak, Uncloak, is_near
from llmitm.shape.cloak.marks import Vocabulary
from llmitm.shape.cloak.restoring import Pieces
from llmitm.shape.cloak.streams import Stream
from llmitm.translate.notes import Notes
from llmitm.trip.translated import body_of, decoded, is_events

type Steps = AsyncGenerator[ResponseHead | bytes]

log = logging.getLogger("llmitm")

_KEY_FILE: Final = "cloak.key"
_GENERATING: Final = (
    "/chat/completions",
    "/responses",
    "/messages",
    ":generateContent",
    ":streamGenerateContent",
)
_COUNTING: Final = ("/messages/count_tokens", "/responses/input_tokens")
_REPLY_BYTES: Final = 8_388_608
"""A whole reply that is longer is not looked at for what is signed in it."""
_REPLACED: Final = (b"content-length", b"content-encoding")
_PLAIN: Final = (None, b"", b"identity")
"""Encodings of what is not compressed."""
_vocabularies: dict[bytes, Vocabulary] = {}
"""They outlive configurations: upstreams keep conversations, and clients signed thoughts."""
_latest: tuple[Config | None, dict[int, _Ready | None], dict[int, Cloak]] = (None, {}, {})
_making: Final = threading.Lock()
"""Attempts of long requests are made in threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """The cloak of a provider or credential, compiled."""

    cloak: Cloak
    headers: Headers
    """That are put in the place of those of the same names."""
    names: frozenset[bytes]
    """Theirs, in lower case."""
    is_openai: bool


def cloak_of(config: Config, options: ProviderOptions | None, provider: str) -> Cloak | None:
    """What `options` say; None: nothing is cloaked."""
    ready = _ready(config, options, provider)
    return None if ready is None else ready.cloak


def _ready(config: Config, options: ProviderOptions | None, provider: str) -> _Ready | None:
    """Made once for a configuration."""
    global _latest
    if options is None or options.cloak is None:
        return None
    with _making:
        if _latest[0] is not config:
            _latest = (config, {}, {})
        _, known, compiled = _latest
        if id(options) not in known:
            table = options.cloak
            is_off = table.mode == "never" or (table.mode == "auto" and is_near(options.base(provider)))
            if not is_off and id(table) not in compiled:
                compiled[id(table)] = _compiled(config, table, provider)
            made = None if is_off else _made_ready(compiled[id(table)], table, options, provider)
            known[id(options)] = made
        return known[id(options)]


def _made_ready(cloak: Cloak, table: Table, options: ProviderOptions, provider: str) -> _Ready:
    headers = {name.lower().encode(): one.reveal().encode() for name, one in table.headers.items()}
    if cloak.words is not None:
        headers[b"accept-encoding"] = b"identity"
    vendor = options.known(provider)
    return _Ready(
        cloak=cloak,
        headers=tuple(headers.items()),
        names=frozenset(headers),
        is_openai=vendor is not None and vendor.name in ("openai", "azure"),
    )


def may_cloak(options: ProviderOptions | None) -> bool:
    """Whether a provider or credential with these options has a cloak."""
    return options is not None and options.cloak is not None and options.cloak.mode != "never"


def refuse_live(config: Config, options: ProviderOptions | None, provider: str) -> None:
    """For sessions whose frames are passed as they come.

    Raises:
        Refused: 501, words are to be hidden from this provider.
    """
    cloak = cloak_of(config, options, provider)
    if cloak is not None and cloak.words is not None:
        raise Refused(
            501,
            "cloak_unreadable",
            f"Words are hidden from provider {provider}, which is not possible in a live session.",
        )


def unread(config: Config, options: ProviderOptions | None, provider: str, sending: UpstreamRequest) -> Notes:
    """What is told of a request that is passed as it comes: nothing is masked in files and forms."""
    notes = Notes()
    cloak = cloak_of(config, options, provider)
    if cloak is not None and cloak.words is not None and sending.method != "GET" and sending.body.length != 0:
        notes.lost("masking")
    return notes


def _compiled(config: Config, table: Table, provider: str) -> Cloak:
    # no two providers can tell from marks and pseudonyms that they have the same client
    key = hashlib.blake2b(provider.encode(), key=_key(config, table), digest_size=32).digest()
    return Cloak.of(
        system_prompt=table.system_prompt,
        is_strict=table.strict_mode,
        words=[one.word for one in table.sensitive_words],
        has_pseudonym=table.cache_user_id,
        key=key,
        vocabularies=_vocabularies,
    )


def _key(config: Config, table: Table) -> bytes:
    if table.secret is not None:
        return hashlib.sha256(table.secret.reveal().encode()).digest()
    if not table.sensitive_words and not table.cache_user_id:
        return secrets.token_bytes(32)  # nothing is made with it
    try:
        return kept_key(Path(config.source).parent / _KEY_FILE)
    except OSError as error:
        log.warning(
            "cloak: %s cannot be kept beside the configuration (%s), so marks and pseudonyms change with the "
            "next start; set cloak.secret",
            _KEY_FILE,
            error.strerror,
        )
        return secrets.token_bytes(32)


def kept_key(path: Path) -> bytes:
    """The key in a file that only its owner may read, made where there is none.

    Raises:
        OSError: it can be neither read nor made.
    """
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    if not path.exists():
        number = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(secrets.token_hex(32).encode())
            os.link(made, path)  # whole or not at all, and never over that of another process
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return hashlib.sha256(path.read_bytes().strip()).digest()


class About(Protocol):
    """What is asked of an attempt."""

    @property
    def options(self) -> ProviderOptions | None: ...
    @property
    def provider(self) -> str: ...
    @property
    def auth_key(self) -> str | None: ...
    @property
    def call(self) -> Call | None: ...


@dataclass(slots=True, kw_only=True)
class Cloaking:
    """One attempt. `out` and `back` are called in this order."""

    ready: _Ready
    auth_key: str | None
    notes: Notes
    is_json_array: bool = False
    """Whether a stream is asked for that is no stream of events: Gemini's array."""
    _uncloak: Uncloak | None = None
    _is_of_lines: bool = False
    """Whether the answer is JSON, a text in each line, whatever it says that it is."""

    @classmethod
    def of(cls, about: About, config: Config, notes: Notes) -> Cloaking | None:
        """None: this attempt is not cloaked."""
        ready = _ready(config, about.options, about.provider)
        if ready is None:
            return None
        is_json_array = about.call is not None and about.call.is_json_array
        return cls(ready=ready, auth_key=about.auth_key, notes=notes, is_json_array=is_json_array)

    def out(self, sending: UpstreamRequest, attempt: Attempt, body: bytes | None) -> UpstreamRequest:
        """The request as the provider gets it, with this body in place of its own; None: it is not held.

        Raises:
            Refused: 400 or 413, there are words to be hidden, and it cannot be read.
        """
        made = body
        if body == b"" and sending.method != "HEAD":
            path = sending.url.partition("?")[0]
            dialect = Dialect.OPENAI_RESPONSES if "/responses/" in path else attempt.dialect
            self._uncloak = self.ready.cloak.later(dialect, self.auth_key)
            self._is_of_lines = path.endswith("/results")
        if sending.method not in ("GET", "HEAD"):
            made = self._masked(sending, attempt, body)
        if made is sending.body.held and not self.ready.headers:
            return sending
        names, headers = self.ready.names, list[tuple[bytes, bytes]]()
        for pair in sending.headers:
            name = pair[0].lower()
            if name in names:
                continue
            if made is not None and name == b"content-length":
                pair = (pair[0], b"%d" % len(made))
            headers.append(pair)
        return UpstreamRequest(
            method=sending.method,
            url=sending.url,
            headers=(*headers, *self.ready.headers),
            body=sending.body if made is sending.body.held or made is None else HeldBody(made),
        )

    def _masked(self, sending: UpstreamRequest, attempt: Attempt, body: bytes | None) -> bytes | None:
        cloak = self.ready.cloak
        if cloak.is_empty or body == b"":
            return body
        if not _is_json(_kind(sending), body):
            if cloak.words is not None:  # of files and forms nothing is masked
                self.notes.lost("masking")
            return body
        if body is None:
            self._refuse_unheld()
            return None
        path = sending.url.partition("?")[0]
        try:
            made, self._uncloak = cloak.out(
                body,
                attempt.dialect,
                self.auth_key,
                is_generating=path.endswith(_GENERATING),
                is_counting=path.endswith(_COUNTING),
                is_openai=self.ready.is_openai,
            )
        except ValueError as error:
            raise Refused(
                400, "cloak_unreadable", f"The request cannot be read, so it is not sent: {error}."
            ) from None
        if self._uncloak is not None and self._uncloak.has_positions:
            self.notes.adjusted("masked-positions")
        return made

    def _refuse_unheld(self) -> None:
        if self.ready.cloak.words is not None:
            raise Refused(
                413,
                "cloak_unreadable",
                "The request is too long to be held, so no words can be masked in it, and it is not sent.",
            )

    def back(self, steps: Steps) -> Steps:
        """The answer, with words for marks."""
        return steps if self._uncloak is None else self._restored(self._uncloak, steps)

    async def _restored(self, uncloak: Uncloak, steps: Steps) -> Steps:
        try:
            head = await anext(steps)
            assert isinstance(head, ResponseHead)
            reader = self._reader(uncloak, head)
            if reader is None:
                yield head
                async for step in steps:
                    yield step
                return
            if head.whole is not None:
                yield await _restored_whole(uncloak, reader, head, steps)
                return
            headers = without_length(head)
            yield ResponseHead(status=head.status, headers=headers, reason=head.reason)
            seen = None if isinstance(reader, Stream) or not uncloak.reads_replies else bytearray()
            try:
                async for piece in plain(head, steps):
                    if seen is not None and len(seen) <= _REPLY_BYTES:
                        seen += piece
                    if is_short(piece, reader.held_bytes):
                        restored = reader.feed(piece) if piece else b""
                    else:
                        restored = b"".join(
                            [
                                await aside(reader.held_bytes, reader.feed, portion)
                                async for portion in in_portions(piece)
                            ]
                        )
                    if restored or not piece:  # an empty one tells that nothing comes
                        yield restored
            except UpstreamFailed:
                if left := reader.finish():
                    yield left
                raise
            if seen is not None:
                # before the client has it all, and may send it back
                await aside(len(seen), uncloak.reply, bytes(seen))
            if left := reader.finish():
                yield left
        finally:
            await steps.aclose()

    def _reader(self, uncloak: Uncloak, head: ResponseHead) -> _Reader | None:
        """What restores this answer; None: it is no text, or not all of one."""
        if head.status == 206:
            return None
        kind = (head.header(b"content-type") or b"").lower()
        if is_events(head):
            return uncloak.stream()
        is_json = b"json" in kind or self._is_of_lines
        if is_json and self.is_json_array and head.status < 400:
            return uncloak.elements()
        if is_json or kind.startswith(b"text/") or not kind:
            return uncloak.pieces(is_json=is_json)
        return None


type _Reader = Stream | Pieces


def plain(head: ResponseHead, steps: Steps) -> AsyncIterator[bytes]:
    """The pieces of a body without its compression."""
    encoding = head.header(b"content-encoding")
    is_plain = head.whole is None and encoding in _PLAIN
    return cast(AsyncIterator[bytes], steps) if is_plain else decoded(body_of(head, steps), encoding)


async def _restored_whole(
    uncloak: Uncloak, reader: _Reader, head: ResponseHead, steps: Steps
) -> ResponseHead:
    """The same answer where nothing in it was masked."""
    body = head.whole or b""
    is_plain = head.header(b"content-encoding") in _PLAIN
    if not is_plain:
        body = b"".join([piece async for piece in plain(head, steps)])
    if not isinstance(reader, Stream):
        await aside(len(body), uncloak.reply, body)
    restored = await aside(len(body), lambda: reader.feed(body) + reader.finish())
    if is_plain and restored == body:
        return head
    return replace(head, headers=without_length(head), whole=restored)


def without_length(head: ResponseHead) -> Headers:
    """The headers without what is not true of the restored body."""
    return tuple([pair for pair in head.headers if pair[0].lower() not in _REPLACED])


def _kind(sending: UpstreamRequest) -> bytes:
    kinds = [value for name, value in sending.headers if name.lower() == b"content-type"]
    return kinds[-1].lower() if kinds else b""


def _is_json(kind: bytes, body: bytes | None) -> bool:
    return b"json" in kind or (body is not None and body.lstrip()[:1] in (b"{", b"["))
