"""One `cloak` table, compiled: a request on its way out, and what its answer is restored with. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from llmitm.exchange import Dialect
from llmitm.shape.cloak.marks import Vocabulary
from llmitm.shape.cloak.masking import masked
from llmitm.shape.cloak.restoring import Pieces, Restorer
from llmitm.shape.cloak.streams import Elements, Stream
from llmitm.shape.cloak.system import with_system
from llmitm.shape.cloak.thoughts import Thoughts
from llmitm.shape.cloak.words import Word, Words
from llmitm.shape.paths import parse
from llmitm.shape.splice import Edit, edited

_LOCAL: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_USERS: Final = {
    Dialect.OPENAI_CHAT: ("user",),
    Dialect.OPENAI_RESPONSES: ("user",),
    Dialect.ANTHROPIC_MESSAGES: ("metadata.user_id",),
    Dialect.GEMINI: (),
}
"""Where a request names who uses it."""
_SAFETY: Final = "safety_identifier"


def is_near(base: str | None) -> bool:
    """Whether an address is on this machine or in a private network, which `mode = "auto"` spares."""
    host = (urlsplit(base).hostname or "") if base else ""
    if host == "localhost" or host.endswith(_LOCAL):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


@dataclass(slots=True, kw_only=True)
class Cloak:
    """What is done to every request of a provider or credential."""

    system_prompt: str | None
    is_strict: bool
    words: Words | None
    has_pseudonym: bool
    key: bytes
    """That marks and pseudonyms are made with; nobody else has it. At least 16 bytes."""
    plain_words: tuple[str, ...] = ()
    vocabularies: dict[bytes, Vocabulary] = field(default_factory=dict)
    """By the client's key for marks. May be that of the configuration before: marks outlive it."""
    _mine: dict[str, Vocabulary] = field(default_factory=dict)
    """By the name of the client's key."""

    @classmethod
    def of(
        cls,
        *,
        system_prompt: str | None,
        is_strict: bool,
        words: Sequence[Word],
        has_pseudonym: bool,
        key: bytes,
        vocabularies: dict[bytes, Vocabulary] | None = None,
    ) -> Cloak:
        return cls(
            system_prompt=system_prompt or None,
            is_strict=is_strict,
            words=Words(words) if words else None,
            has_pseudonym=has_pseudonym,
            key=key,
            plain_words=tuple(word.strip() for word in words if isinstance(word, str)),
            vocabularies={} if vocabularies is None else vocabularies,
        )

    @property
    def is_empty(self) -> bool:
        """Whether it changes no body."""
        return self.system_prompt is None and self.words is None and not self.has_pseudonym

    def out(
        self,
        body: bytes,
        dialect: Dialect,
        auth_key: str | None,
        *,
        is_generating: bool,
        is_counting: bool = False,
        is_openai: bool = False,
    ) -> tuple[bytes, Uncloak | None]:
        """The request as the provider gets it, a JSON text, and what restores its answer; None: nothing.

        `is_generating`: it asks for an answer of a model; `is_counting`: for the tokens of such a request.
        `is_openai`: it goes to OpenAI, which names users otherwise than those who speak its dialects.

        Raises:
            ValueError: it is no JSON object, or nested too deep.
        """
        if (is_generating or is_counting) and self.system_prompt is not None:
            body = with_system(body, dialect, self.system_prompt, is_replaced=self.is_strict)
        if is_generating and self.has_pseudonym:
            body = self._with_pseudonym(body, dialect, auth_key, is_openai=is_openai)
        if self.words is None:
            return body, None
        vocabulary = self._vocabulary(auth_key)
        used: dict[bytes, bytes] = {}
        body, has_positions = masked(body, self.words, vocabulary, used)
        is_json = vocabulary.has_escapes and _asks_for_json(body)  # else a word is spelled the same in both
        restorer = Restorer(used=used, vocabulary=vocabulary, is_json=is_json)
        return body, Uncloak(
            dialect=dialect,
            words=self.words,
            vocabulary=vocabulary,
            restorer=restorer,
            has_positions=has_positions,
        )

    def later(self, dialect: Dialect, auth_key: str | None) -> Uncloak | None:
        """What restores the answer to a request that holds nothing itself, of what others before it held;
        None: nothing."""
        if self.words is None:
            return None
        vocabulary = self._vocabulary(auth_key)
        restorer = Restorer(used={}, vocabulary=vocabulary)
        return Uncloak(dialect=dialect, words=self.words, vocabulary=vocabulary, restorer=restorer)

    def pseudonym(self, auth_key: str | None) -> str:
        """Who asks, for the provider: the same for all requests with one key, and nothing of its name."""
        return self._derived(b"user", auth_key)[:16].hex()

    def _with_pseudonym(
        self, body: bytes, dialect: Dialect, auth_key: str | None, *, is_openai: bool
    ) -> bytes:
        value = orjson.dumps(self.pseudonym(auth_key))
        places = _USERS[dialect]
        if dialect in (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES):
            edits = [
                Edit("filter", parse(one)) for one in ("user", _SAFETY) if (one == _SAFETY) is not is_openai
            ]
            places = (_SAFETY,) if is_openai else places
        else:
            edits = []
        edits += [Edit("override", parse(one), value) for one in places]
        return edited(body, tuple(edits))[0] if edits else body

    def _derived(self, purpose: bytes, auth_key: str | None) -> bytes:
        told = purpose + b"\0" + (auth_key or "").encode()
        return hashlib.blake2b(told, key=self.key[:64], digest_size=32).digest()

    def _vocabulary(self, auth_key: str | None) -> Vocabulary:
        name = auth_key or ""
        found = self._mine.get(name)
        if found is None:
            key = self._derived(b"marks", auth_key)
            found = self._mine[name] = self.vocabularies.setdefault(key, Vocabulary(key))
            found.know(self.plain_words)
        return found


def _asks_for_json(body: bytes) -> bool:
    """Whether the text that a request asks for is JSON."""
    return any(one in body for one in (b'"json_schema"', b'"json_object"', b'"application/json"'))


@dataclass(slots=True, kw_only=True, eq=False)
class Uncloak:
    """What restores the answer to one request."""

    dialect: Dialect
    words: Words
    vocabulary: Vocabulary
    restorer: Restorer
    has_positions: bool = False
    """See `Masked`."""

    def stream(self) -> Stream:
        """For a stream of events."""
        return Stream(self.dialect, self.restorer, self._thoughts())

    def elements(self) -> Stream:
        """For a stream that is one JSON array."""
        return Elements(self.dialect, self.restorer, self._thoughts())

    def pieces(self, *, is_json: bool) -> Pieces:
        """For any other text."""
        if is_json:
            return Pieces(self.restorer.json, is_whole=self.vocabulary.has_escapes)
        return Pieces(self.restorer.text)

    @property
    def reads_replies(self) -> bool:
        """Whether whole replies are to be told to `reply`."""
        return self.dialect is Dialect.ANTHROPIC_MESSAGES

    def reply(self, body: bytes) -> None:
        """Looks for what is signed in a whole reply, as the provider sent it."""
        if not self.reads_replies or b'"signature"' not in body:
            return
        try:
            reply: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(reply, dict):
            self._thoughts().reply(reply)

    def _thoughts(self) -> Thoughts:
        return Thoughts(self.words, self.vocabulary, self.restorer)
