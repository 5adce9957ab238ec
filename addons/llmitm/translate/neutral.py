"""What a request or a reply says, whatever dialect it was said in. Pure values.

Readers of a dialect make these from JSON, writers make JSON of them; nothing else crosses between
dialects. Optional fields are None (or empty) where nothing was said: a writer adds nothing of its own.
`at` is the place in the client's own JSON, such as `messages[2].content[0]`: warnings name it, and it is
no part of a value's equality. JSON that is somebody's data (arguments, raw blocks) is text, exactly as
spelled, without insignificant white space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from typing import Any, Literal

from llmitm.exchange import Dialect, Usage

type JSON = Any
"""A JSON value as `jsontext.loads` gives it."""


def _at() -> Any:
    return field(default="", compare=False, repr=False)


class Role(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Reasoning that its maker signed or encrypted: opaque, and passed to that maker alone, byte-equal."""

    vendor: str
    """`anthropic`, `openai`, `google`, or the name of a host."""
    kind: Literal["thinking", "redacted", "encrypted", "part"]
    """An Anthropic signature, Anthropic's redacted data, OpenAI's encrypted content, Google's signature."""
    data: str | None = None
    """None: readable reasoning without any seal, marked as its host's own (see `seals`)."""
    model: str | None = None
    scope: str | None = None
    """First 8 hex of sha256 of the upstream account; None where unknown."""
    ref: str | None = None
    """Id of the tool call that the seal belongs to."""
    item_id: str | None = None
    """OpenAI's id of the reasoning item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A client's mark: the prompt up to here is worth caching."""

    ttl: str | None = None
    """As its dialect spells it: `5m`, `1h` (Anthropic), `30m`, `12h` (OpenAI); None is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a piece of a text comes from. Offsets count code points within their Text part."""

    kind: Literal["url", "document"] = "url"
    url: str | None = None
    title: str | None = None
    start: int | None = None
    end: int | None = None
    vendor: str = ""
    raw: str = ""
    """The vendor's own JSON, for clients of the same dialect."""


# ---- sources of media


@dataclass(frozen=True, slots=True)
class Base64:
    data: str
    """Standard alphabet, padded, no white space."""


@dataclass(frozen=True, slots=True)
class Url:
    url: str


@dataclass(frozen=True, slots=True)
class FileId:
    vendor: str
    """`openai`, `anthropic` or `google`."""
    id: str


@dataclass(frozen=True, slots=True)
class PlainText:
    """A document that is text."""

    text: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A document made of parts (Anthropic's `content` documents and search results)."""

    parts: tuple[Part, ...]


type Source = Base64 | Url | FileId | PlainText | Parts


# ---- parts of a turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    text: str
    citations: tuple[Citation, ...] = ()
    cache: Cache | None = None
    sealed: Sealed | None = None
    """Google signs text parts too."""
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The model's own words of refusal, where a dialect keeps them apart from text."""

    text: str
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    kind: Literal["image", "document", "audio", "video", "search_result"]
    source: Source
    mime: str | None = None
    filename: str | None = None
    detail: str | None = None
    """OpenAI's `low`, `high`, `auto`, `original`."""
    title: str | None = None
    context: str | None = None
    has_citations: bool | None = None
    """Anthropic: whether answers shall cite this document."""
    extra: str | None = None
    """JSON object of further members of the same vendor (videoMetadata and the like)."""
    cache: Cache | None = None
    sealed: Sealed | None = None
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """Reasoning, readable or sealed or both."""

    text: str | None = None
    """In full: `reasoning_content` of chat hosts, `reasoning_text` of responses."""
    summary: tuple[str, ...] = ()
    """Summarised: OpenAI's summaries, Anthropic's thinking, Google's thoughts."""
    sealed: Sealed | None = None
    at: str = _at()

    @property
    def readable(self) -> str:
        return self.text if self.text else "\n\n".join(self.summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    id: str
    """Empty where the wire has none (`ids` makes one)."""
    name: str
    args: str
    """JSON text as the model spelled it, whole or broken; free text where `kind` is custom."""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    sealed: Sealed | None = None
    cache: Cache | None = None
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """A client's answer to a call. Stands in user turns."""

    call_id: str
    name: str | None = None
    parts: tuple[Part, ...] = ()
    """Text and Media."""
    is_error: bool = False
    raw: str | None = None
    """Gemini's `response` object as JSON text; `parts` then holds its media only."""
    kind: Literal["function", "custom"] = "function"
    cache: Cache | None = None
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """What a tool that the vendor runs did, in a reply or in history: for the same vendor only."""

    vendor: str
    type: str
    raw: str
    """The block or item as JSON text."""
    phase: Literal["call", "result"]
    text: str | None = None
    """What of it a reader of other dialects is to see (code, its output), else None."""
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """A block or item with a meaning to one dialect only (compaction, container uploads, unknown ones)."""

    dialect: Dialect
    type: str
    raw: str
    at: str = _at()


type Part = Text | Refusal | Media | Reasoning | ToolCall | ToolResult | Hosted | Opaque


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    phase: str | None = None
    """OpenAI's `commentary` or `final_answer`."""
    at: str = _at()


# ---- tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    description: str | None = None
    schema: JSON = None
    """JSON Schema of its parameters; None: the client sent none."""
    strict: bool | None = None
    kind: Literal["function", "custom"] = "function"
    format: JSON = None
    """Of a custom tool, flat as in responses: `{"type":"text"}` or `{"type":"grammar",syntax,definition}`."""
    namespace: str | None = None
    cache: Cache | None = None
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """Other members (`defer_loading`, `allowed_callers`, `input_examples`, ...) by name."""
    at: str = _at()
    schema_at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedTool:
    """A tool that the vendor defines or runs."""

    vendor: str
    type: str
    raw: str
    generic: str | None = None
    """`web_search`, `web_fetch`, `code`, `file_search`, `mcp`, `computer`, `image`, `shell`, `memory`,
    `tool_search`, `toolset`; None where unknown."""
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    mode: Literal["auto", "none", "any", "one", "hosted"] | None = None
    """None: only `parallel` was said. `hosted`: a hosted tool is named."""
    name: str | None = None
    """With `one`; with `hosted`, its type."""
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    allowed: tuple[str, ...] | None = None
    """Only these tools, with `auto` or `any`."""
    parallel: bool | None = None
    is_validated: bool = False
    """Gemini's VALIDATED, told apart from auto."""
    at: str = _at()


# ---- settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers keep their spelling; values of a wrong type are carried as they are."""

    max_tokens: JSON = None
    temperature: JSON = None
    top_p: JSON = None
    top_k: JSON = None
    seed: JSON = None
    presence: JSON = None
    frequency: JSON = None
    stop: tuple[str, ...] = ()
    n: JSON = None
    logprobs: JSON = None
    top_logprobs: JSON = None
    verbosity: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How much reasoning was asked for, as the client said it: not yet resolved for a model."""

    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    budget_tokens: int | Literal["dynamic"] | None = None
    mode: Literal["off", "on", "adaptive", "between_tools"] | None = None
    show: Literal["none", "summary", "full"] | None = None
    show_word: str | None = None
    """The client's own word for it (`auto`, `concise`, `detailed`), where it had one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    form: Literal["text", "json", "schema"]
    name: str | None = None
    schema: JSON = None
    strict: bool | None = None
    description: str | None = None
    is_enum: bool = False
    """Gemini's `text/x.enum`."""
    at: str = _at()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    key: str | None = None
    options: JSON = None
    """OpenAI's `prompt_cache_options`."""
    retention: JSON = None
    auto: Cache | None = None
    """Anthropic's top-level `cache_control`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    user: str | None = None
    safety_id: str | None = None
    metadata: JSON = None
    """OpenAI's metadata object. Anthropic's `user_id` is `user`."""
    service_tier: str | None = None
    """`auto`, `default`, `flex`, `priority`, `scale`, `ultrafast`; `batch` in replies."""
    store: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | HostedTool, ...] = ()
    tool_choice: ToolChoice | None = None
    settings: Settings = Settings()
    thinking: Thinking | None = None
    output: Output | None = None
    cache: CacheConfig = CacheConfig()
    identity: Identity = Identity()
    stream: bool = False
    want_usage: bool = False
    """A chat client asked for the usage chunk."""
    dialect: Dialect = Dialect.OPENAI_CHAT
    """Of the client."""
    is_legacy_functions: bool = False
    """A chat client that speaks `functions` and `function_call`."""
    is_json_array: bool = False
    """A Gemini client that asked for a stream without `alt=sse`."""
    is_packing: bool = False
    """A responses client that wants the conversation back as one item."""
    paths: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where a setting stood: its field's name in `Settings`, `Thinking`, ... to the client's path."""
    lost: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """What no other dialect can say: (warning's word, path), such as `("logit_bias", "logit_bias")`."""
    adjusted: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """What reading already changed, in the same form."""
    noted: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """The same where its loss changes nothing (grade note)."""
    refused: tuple[tuple[str, str, str], ...] = field(default=(), compare=False)
    """What must not be left out: (code, path, sentence). Any entry refuses the request across dialects."""
    echo: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    """Members of the client's request that a responses reply repeats, as they came."""

    @property
    def lead(self) -> tuple[Turn, ...]:
        """The system's turns that come before all others."""
        return tuple(takewhile(lambda turn: turn.role in (Role.SYSTEM, Role.DEVELOPER), self.turns))


# ---- replies


class Reason(StrEnum):
    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT = "context"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"
    FILTER = "filter"
    RECITATION = "recitation"
    MALFORMED_CALL = "malformed_call"
    PAUSE = "pause"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    reason: Reason
    sequence: str | None = None
    category: str | None = None
    explanation: str | None = None
    raw: str | None = None
    """The upstream's own word."""

    @property
    def word(self) -> str:
        return self.raw or self.reason.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    index: int = 0
    parts: tuple[Part, ...] = ()
    stop: Stop | None = None
    logprobs: tuple[JSON, ...] = ()
    """One entry a token, as chat writes them: token, bytes, logprob, top_logprobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    id: str | None
    model: str | None
    created: int | None = None
    """Unix seconds; None where the upstream did not say."""
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    service_tier: str | None = None
    extras: Mapping[str, JSON] = field(default_factory=dict)
    """Further members that some client dialect shows: `search_entry_point`."""


# ---- streams
#
#   stream := Start part* Usage* StopSeen Usage* End   (a part and a StopSeen for each choice)
#           | Start part* Failed | Failed
#   part   := PartStart (PartDelta | PartMeta)* PartStop
#
# Within a choice indexes count from 0 and at most one part is open.


@dataclass(frozen=True, slots=True)
class Start:
    id: str | None
    model: str | None
    created: int | None = None
    usage: Usage | None = None
    """The input side, where it is known this early."""
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class PartStart:
    index: int
    part: Part
    """An empty Text, Refusal or Reasoning, a ToolCall with empty `args`; Media and Hosted are whole."""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class PartDelta:
    index: int
    field: Literal["text", "summary", "args"]
    text: str
    sub: int = 0
    """Which entry of `Reasoning.summary`; counts from 0."""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class PartMeta:
    """What belongs to an open part but is no text: later values replace earlier ones, lists grow."""

    index: int
    key: Literal["sealed", "citations"]
    value: Any
    """A Sealed; a tuple of Citation."""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class PartStop:
    index: int
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Logprobs:
    tokens: tuple[JSON, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class UsageSeen:
    usage: Usage
    """So far; the reader has merged it with what it saw before."""


@dataclass(frozen=True, slots=True)
class StopSeen:
    stop: Stop
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ExtrasSeen:
    extras: Mapping[str, JSON]
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream told of an error, or broke off. Nothing follows."""

    error: Failure


@dataclass(frozen=True, slots=True)
class Ping:
    """The upstream lives."""


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over, properly."""


type StreamEvent = (
    Start
    | PartStart
    | PartDelta
    | PartMeta
    | PartStop
    | Logprobs
    | UsageSeen
    | StopSeen
    | ExtrasSeen
    | Failed
    | Ping
    | End
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of an upstream, whatever its shape was."""

    status: int
    message: str
    kind: str = "server"
    """A row of the table in `failures`."""
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    type: str | None = None
    """The upstream's own word for it."""
    should_retry: bool | None = None
    """What the upstream told the SDK about asking again; None: nothing."""


class UpstreamError(Exception):
    """A reply that is an error, though its status says otherwise, or that cannot be read."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
