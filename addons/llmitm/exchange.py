"""What travels: the values that the stations of a journey hand to one another.

Heads are immutable; bodies are read once, in pieces, in order. Header names and values are bytes, in
the order and case in which they stood on the wire. Nothing here does I/O or knows who hosts it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from llmitm.identity import Identity
from llmitm.secret import Secret

type Headers = tuple[tuple[bytes, bytes], ...]

EXCHANGE_ID: Final = b"x-llmitm-id"
"""Of an answer: names its exchange, in the ledger too; answers that leave no line there have none."""


class Dialect(StrEnum):
    """The wire formats of LLM APIs."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI = "gemini"


class Body(Protocol):
    """A body on its way. Either it is held whole, or its pieces are read once."""

    @property
    def held(self) -> bytes | None:
        """The whole body where it is in memory already, else None."""

    @property
    def length(self) -> int | None:
        """Its length in bytes as announced; None where that is not known beforehand."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body in order, no piece empty. Raises `ClientGone` where the client stops half-way."""

    async def whole(self, limit_bytes: int) -> bytes:
        """Reads it all and holds it.

        Raises:
            Refused: 413, it is longer than `limit_bytes`.
        """


@dataclass(frozen=True, slots=True)
class HeldBody:
    """A body that is in memory already."""

    held: bytes = b""

    @property
    def length(self) -> int:
        return len(self.held)

    async def pieces(self) -> AsyncIterator[bytes]:
        if self.held:
            yield self.held

    async def whole(self, limit_bytes: int) -> bytes:
        from llmitm.errors import too_large

        if len(self.held) > limit_bytes:
            raise too_large(limit_bytes)
        return self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """What a client asked of us: the head as it came, the body as it comes."""

    id: str
    """Ours, answered as `x-request-id`."""
    method: str
    target: bytes
    """Path and query as sent, `/`-first, percent-encoding and doubled slashes kept."""
    headers: Headers
    body: Body
    client: str
    """Address of the peer, for the log."""
    scheme: str = "http"
    http_version: str = "HTTP/1.1"
    is_operators: bool = False
    """Whether an operator of the gateway sends it, who has logged in: no key is asked for."""
    replay_of: str | None = None
    """Id of the exchange that an operator plays again with it; None: of none."""

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """Without the question mark; empty where there is none."""
        return self.target.partition(b"?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case), or None."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try against one (provider, credential, model, URL): chosen as a unit, never changed."""

    exchange_id: str
    number: int
    """1 for the first."""
    endpoint: str
    provider: str
    """Name of the provider; for a forward endpoint without one, the host of its target."""
    url: str
    """Already percent-encoded; sent as it stands."""
    dialect: Dialect
    credential: str | None = None
    """Name of the credential, never the key; None where the client's own key goes through."""
    credential_headers: tuple[tuple[bytes, Secret], ...] = ()
    """Put on after `Watch.before_send`, so that no leg that is shown or saved holds them."""
    credential_query: tuple[tuple[bytes, Secret], ...] = ()
    """The same for upstreams that look for a key in the URL: parameters that follow its query."""
    drop_headers: frozenset[bytes] = frozenset()
    """Lower-case names of client headers that do not travel on (our own keys, replaced keys)."""
    gateway: str | None = None
    """Cloudflare gateway, as `<account>/<gateway>`; None elsewhere."""
    model: str | None = None
    proxy_url: Secret | None = None
    """Outbound proxy with its user information; None is a direct connection."""
    identity: Identity | None = None
    """For TLS. None: the system's authorities are trusted, and no certificate is shown."""
    deadline_s: float | None = None
    """On the clock's ticks: when the whole exchange is to be over; None: `[timeouts] exchange_s` from now."""
    silence_s: float | None = None
    """Whoever reads the answer wants to be told of every so many seconds without a piece; None: of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What one attempt sends, credentials aside."""

    method: str
    url: str
    headers: Headers
    body: Body
    is_upgrade: bool = False
    """A WebSocket's handshake: where it succeeds, the answer is status 101, and then `body` is what goes to
    the upstream, and the pieces of the answer are what comes from it, frames in both directions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """Status and headers of an answer, hop-by-hop headers already dropped."""

    status: int
    headers: Headers
    reason: bytes = b""
    whole: bytes | None = None
    """The complete body where it is at hand already; no pieces follow then. None: pieces follow."""

    def header(self, name: bytes) -> bytes | None:
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one exchange, counted one way whatever the API: None is unknown, 0 a known zero."""

    input_tokens: int | None = None
    """All that the model read: fresh, from the cache, written to the cache, results of hosted tools."""
    output_tokens: int | None = None
    """All that it made, reasoning included."""
    cache_read_tokens: int | None = None
    """Part of the input."""
    cache_write_tokens: int | None = None
    """Part of the input."""
    cache_write_1h_tokens: int | None = None
    """Part of `cache_write_tokens`: those with the longer lifetime."""
    tool_prompt_tokens: int | None = None
    """Part of the input: what hosted tools fed back."""
    reasoning_tokens: int | None = None
    """Part of the output."""
    audio_in_tokens: int | None = None
    audio_out_tokens: int | None = None
    image_in_tokens: int | None = None
    image_out_tokens: int | None = None
    cached_audio_tokens: int | None = None
    """Part of the audio and of what was read from the cache; so is the next, of images."""
    cached_image_tokens: int | None = None
    predicted_ok_tokens: int | None = None
    predicted_rejected_tokens: int | None = None
    server_tools: tuple[tuple[str, int], ...] = ()
    """Uses of hosted tools that are billed apart, such as `("web_search_requests", 2)`."""
    is_final: bool = True
    """False: the stream was cut; this is what had been told by then."""
    tier: str | None = None
    """That it was served in, where it is not the standard one: flex, priority, fast, batch..."""
    geo: str | None = None
    """Where it was served, where that costs more."""
    reported_usd_nano: int | None = None
    """What the answer itself says that it cost."""


class Killed(Exception):
    """A watcher ended this leg: nothing (more) is sent, the client gets a 502."""


class Watch(Protocol):
    """Who looks on while attempts are made. One instance per exchange.

    A door that shows legs implements it with flows; `Unwatched` is for doors that show nothing.
    Every method may raise `Killed`.
    """

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        """Awaited before anything is sent. A leg may be paused, edited, answered (a `ResponseHead` whose
        `whole` is set: nothing is sent upstream then) or killed here."""

    async def on_head(self, attempt: Attempt, head: ResponseHead) -> tuple[ResponseHead, bool]:
        """The upstream's head came. Returns the head to go on with, and whether the watcher wants the
        body whole, to hand it to `on_whole`, before any of it goes on."""

    def on_piece(self, attempt: Attempt, piece: bytes) -> None:
        """A piece of the body came. Synchronous and quick: it stands on the data path."""

    @property
    def sees_messages(self) -> bool:
        """Whether it wants to be told of a WebSocket's messages."""

    def on_message(self, attempt: Attempt, content: bytes, *, is_text: bool, is_clients: bool) -> None:
        """A whole message went by, either way. Only where `sees_messages`."""

    def on_close(self, attempt: Attempt, code: int, reason: str, *, is_clients: bool) -> None:
        """The first side to do so closed a WebSocket."""

    async def on_whole(self, attempt: Attempt, head: ResponseHead, body: bytes) -> ResponseHead:
        """Only after `on_head` asked for it. Returns the answer to go on with, `whole` set."""

    async def on_end(self, attempt: Attempt, error: str | None) -> None:
        """The leg is over: None is a clean end, else what broke it, in words."""


class Unwatched:
    """Nobody looks on."""

    __slots__ = ()

    async def before_send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest | ResponseHead:
        return request

    async def on_head(self, attempt: Attempt, head: ResponseHead) -> tuple[ResponseHead, bool]:
        return head, False

    def on_piece(self, attempt: Attempt, piece: bytes) -> None:
        pass

    @property
    def sees_messages(self) -> bool:
        return False

    def on_message(self, attempt: Attempt, content: bytes, *, is_text: bool, is_clients: bool) -> None:
        pass

    def on_close(self, attempt: Attempt, code: int, reason: str, *, is_clients: bool) -> None:
        pass

    async def on_whole(self, attempt: Attempt, head: ResponseHead, body: bytes) -> ResponseHead:
        return head

    async def on_end(self, attempt: Attempt, error: str | None) -> None:
        pass


class UpstreamReply(Protocol):
    """An upstream's answer whose head has come. The caller closes it, whatever happens."""

    head: ResponseHead

    async def read(self) -> bytes | None:
        """The next piece as it came off the wire, undecoded; empty at the proper end. None where nothing came
        for the attempt's `silence_s`: it goes on.

        Raises:
            UpstreamFailed: the connection broke, fell silent, or ended before its announced end.
        """

    async def close(self) -> None:
        """Idempotent. Before the end was read it cuts the connection, so that the upstream stops."""


class Sender(Protocol):
    """Makes one attempt over the wire."""

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        """Sends head and body and waits for the head of the answer.

        Adds the attempt's credential headers (replacing any of the same name) and the hop's own framing.

        Raises:
            UpstreamFailed: no answer came.
            Refused: the request cannot be put on the wire (header bytes that are not UTF-8), or the
                client left half-way.
        """

    async def close(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Noted:
    """What the record of an exchange says of one attempt. Times are monotonic seconds, but for `at_s`."""

    number: int
    provider: str
    credential: str | None
    gateway: str | None
    model: str | None = None
    """As the upstream spells it; None where it was not looked for."""
    dialect: Dialect | None = None
    """What the upstream was spoken to in."""
    host: str | None = None
    """That was asked."""
    at_s: float = 0
    """When it began, in seconds since the epoch."""
    started_s: float = 0
    first_byte_s: float | None = None
    """When the head of its answer came."""
    ended_s: float | None = None
    status: int | None = None
    upstream_id: str | None = None
    """What the upstream calls the request."""
    answered: str | None = None
    """The model as the answer names it; None where it was not read, or is not told."""
    reply_id: str | None = None
    """What the answer calls itself; None as above."""
    finishes: tuple[str, ...] = ()
    """Why each of its choices ended; empty as above."""
    span_id: str | None = None
    """Of its span; None where the exchange is in no trace."""
    ending: str | None = None
    """Why it ended: `answered`, `truncated` (its answer broke off), `dropped` (nobody waited for it any
    more), or an `Ending` of the verdict table; None while it goes on."""
    error: str | None = None
    request_bytes: int | None = None
    """Of the body that was sent; None where that was not known beforehand."""
    response_bytes: int = 0
    """Of the body that came, before anything was made of it."""
    warnings: tuple[str, ...] = ()
    """What translation adjusted or lost, as codes with their places."""
    usage: Usage | None = None
    """None: nothing was told."""
    cost_usd_nano: int | None = None
    """None: unknown, which is not zero."""
    price_version: str | None = None
    is_cost_whole: bool | None = None
    """False: it cost at least that."""


__all__ = [
    "Attempt",
    "Body",
    "ClientRequest",
    "Dialect",
    "HeldBody",
    "Headers",
    "Killed",
    "Noted",
    "ResponseHead",
    "Sender",
    "Unwatched",
    "UpstreamReply",
    "UpstreamRequest",
    "Usage",
    "Watch",
]
