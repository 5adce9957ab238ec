"""OpenAI's old text completions, for clients that still ask for them: in front of any upstream's chat. Pure.

A prompt is what a user says, and what the model answers is the text that follows it. A request may hold
several prompts: each is asked for by itself, and the answers are put together again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.translate import jsontext
from llmitm.translate.beside import Beside
from llmitm.translate.chat import reply_in as chat_reply_in
from llmitm.translate.chat.stops import write_stop
from llmitm.translate.chat.stream_in import StreamReader as ChatReader
from llmitm.translate.chat.stream_out import DONE, KEEPALIVE
from llmitm.translate.chat.usage import write_usage
from llmitm.translate.dialects import CODECS, Codec
from llmitm.translate.failures import write_failure_event
from llmitm.translate.neutral import (
    JSON,
    Choice,
    End,
    Failed,
    Hosted,
    Identity,
    Logprobs,
    Part,
    PartDelta,
    PartStart,
    Ping,
    Refusal,
    Reply,
    Request,
    Role,
    Settings,
    Start,
    StopSeen,
    StreamEvent,
    Text,
    Turn,
    UsageSeen,
)
from llmitm.translate.reading import a_text, count_if, invalid, text_if, texts, top_object
from llmitm.translate.sse import Event, SseReader

MOST_PROMPTS: Final = 100
"""Each is a call of its own."""
_SETTINGS: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence",
    "frequency_penalty": "frequency",
    "n": "n",
}
_READ: Final = frozenset(
    {
        *_SETTINGS,
        *("model", "prompt", "suffix", "echo", "logprobs", "logit_bias", "best_of", "stop", "user"),
        *("stream", "stream_options"),
    }
)
_CHAT_ID: Final = "chatcmpl-"


# ---- requests


def read_request(
    body: bytes, *, model: str | None = None, is_stream: bool | None = None, is_json_array: bool = False
) -> Request:
    """A request with one prompt, as a chat of one turn.

    Raises:
        Refused: 400, it cannot be read, or asks for what no chat can do.
    """
    told = top_object(body)
    options = told.get("stream_options")
    settings = {own: told[name] for name, own in _SETTINGS.items() if told.get(name) is not None}
    paths = {own: name for name, own in _SETTINGS.items()} | {"stop": "stop", "logprobs": "logprobs"}
    if (top := count_if(told.get("logprobs"))) is not None:
        settings |= {"logprobs": True} | ({"top_logprobs": top} if top else {})
    has_echo = told.get("echo") is True
    prompt = Text(text=_prompt(told.get("prompt")), at="prompt")
    return Request(
        model=a_text(told.get("model"), "model") if model is None else model,
        turns=(Turn(role=Role.USER, parts=(prompt,), at="prompt"),),
        settings=Settings(**settings, stop=texts(told.get("stop"), "stop")),
        identity=Identity(user=text_if(told.get("user"))),
        stream=told.get("stream") is True,
        want_usage=isinstance(options, dict) and options.get("include_usage") is True,
        dialect=Dialect.OPENAI_CHAT,
        paths=paths,
        lost=tuple(_lost(told)),
        refused=tuple(_refused(told)),
        echo={"prompt": prompt.text} if has_echo else {},
    )


def _prompt(value: JSON) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if _is_tokens(value) or (isinstance(value, list) and any(_is_tokens(one) for one in value)):
        raise Refused(
            400,
            "unsupported_by_target",
            "prompt: this model's provider takes no tokens; send the prompt as text.",
            param="prompt",
        )
    if not isinstance(value, str) or not value:
        raise invalid("prompt", "expected a string that is not empty, or a list of them")
    return value


def _is_tokens(value: JSON) -> bool:
    return count_if(value) is not None or (
        isinstance(value, list) and bool(value) and all(count_if(one) is not None for one in value)
    )


def _lost(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    best_of, n = count_if(told.get("best_of")), count_if(told.get("n")) or 1
    if best_of is not None and best_of > n:
        yield "best_of", "best_of"
    if told.get("logit_bias"):
        yield "logit_bias", "logit_bias"
    if told.get("echo") is True and told.get("logprobs") is not None:
        yield "prompt-logprobs", "echo"
    yield from (("unknown-field", name) for name in told if name not in _READ)


def _refused(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if told.get("suffix"):
        sentence = "This model's provider cannot write what stands between a prompt and a suffix"
        yield "unsupported_by_target", "suffix", sentence
    if count_if(told.get("max_tokens")) == 0:
        sentence = "This model's provider cannot be asked for no tokens at all"
        yield "unsupported_by_target", "max_tokens", sentence


def split(body: bytes) -> list[bytes]:
    """A request for each prompt; the request itself where there is one.

    Raises:
        Refused: 400, there are too many, or none.
    """
    told = top_object(body)
    prompts = told.get("prompt")
    if not isinstance(prompts, list) or _is_tokens(prompts) or len(prompts) == 1:
        return [body]
    if not 0 < len(prompts) <= MOST_PROMPTS:
        raise invalid("prompt", f"expected 1 to {MOST_PROMPTS} prompts")
    if not all(isinstance(one, str) or _is_tokens(one) for one in prompts):
        raise invalid("prompt", "expected a string, or a list of them")
    try:
        return [jsontext.dumps({**told, "prompt": one}) for one in prompts]
    except RecursionError:
        raise invalid("", "The request body is nested too deep") from None


def per_prompt(body: bytes) -> int:
    """Choices that are asked for of each prompt."""
    return max(count_if(top_object(body).get("n")) or 1, 1)


# ---- replies


def write_reply(reply: Reply, asked: Request) -> bytes:
    """The completion that this client asked for."""
    body: dict[str, Any] = {
        "id": _own_id(reply.id),
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_choice(choice, asked) for choice in reply.choices],
    }
    if reply.usage is not None:
        body["usage"] = write_usage(reply.usage)
    return jsontext.dumps(body)


def _own_id(chat_id: str | None) -> str | None:
    return None if chat_id is None else "cmpl-" + chat_id.removeprefix(_CHAT_ID)


def _choice(choice: Choice, asked: Request) -> dict[str, Any]:
    prompt = asked.echo.get("prompt", "")
    return {
        "text": prompt + "".join(map(_text_of, choice.parts)),
        "index": choice.index,
        "logprobs": write_logprobs(choice.logprobs, len(prompt)) if choice.logprobs else None,
        "finish_reason": _finish(choice.stop),
    }


def _text_of(part: Part) -> str:
    return (part.text or "") if isinstance(part, Text | Hosted | Refusal) else ""


def _finish(stop: Any) -> str:
    word = write_stop(stop)
    return word if word in ("stop", "length", "content_filter") else "stop"


def write_logprobs(tokens: Sequence[JSON], offset: int) -> dict[str, Any]:
    """As the old API lays them out; `offset` is where the first of them stands in the text, in signs."""
    said = [str(one.get("token", "")) for one in tokens]
    offsets: list[int] = []
    for token in said:
        offsets.append(offset)
        offset += len(token)
    tops = [
        {top["token"]: top["logprob"] for top in one.get("top_logprobs") or () if "token" in top}
        for one in tokens
    ]
    return {
        "tokens": said,
        "token_logprobs": [one.get("logprob") for one in tokens],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": offsets,
    }


# ---- streams


class StreamWriter:
    """Writes one stream; see `stream.Writer`."""

    __slots__ = ("_asked", "_echoed", "_head", "_kinds", "_offsets", "_usage")

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._head: dict[str, Any] = {}
        self._kinds: dict[int, type[Part]] = {}
        self._offsets: dict[int, int] = {}
        """Where the next token with logprobs stands in each choice."""
        self._echoed: set[int] = set()
        self._usage: Any = None

    def write(self, event: StreamEvent) -> bytes:
        match event:
            case PartDelta():
                is_told = self._kinds.get(event.choice) in (Text, Refusal)
                return self._said(event.choice, event.text) if is_told else b""
            case PartStart():
                self._kinds[event.choice] = type(event.part)
                return self._said(event.choice, _text_of(event.part))
            case Logprobs():
                return self._logged(event)
            case StopSeen():
                return self._chunk(event.choice, self._echo(event.choice), finish=_finish(event.stop))
            case Start():
                self._head = {
                    "id": _own_id(event.id),
                    "object": "text_completion",
                    "created": event.created,
                    "model": event.model,
                }
                return b""
            case UsageSeen():
                self._usage = event.usage
                return b""
            case Failed():
                return write_failure_event(self._asked.dialect, event.error, "")
            case Ping():
                return KEEPALIVE
            case End():
                return self._end()
            case _:
                return b""

    def _said(self, choice: int, text: str) -> bytes:
        text = self._echo(choice) + text
        return self._chunk(choice, text) if text else b""

    def _echo(self, choice: int) -> str:
        """The prompt, before the first word of a choice."""
        if choice in self._echoed:
            return ""
        self._echoed.add(choice)
        return str(self._asked.echo.get("prompt", ""))

    def _logged(self, event: Logprobs) -> bytes:
        echo = self._echo(event.choice)
        start = len(self._asked.echo.get("prompt", ""))
        at = self._offsets.get(event.choice, start)
        told = write_logprobs(event.tokens, at)
        self._offsets[event.choice] = at + sum(map(len, told["tokens"]))
        return self._chunk(event.choice, echo, logprobs=told)

    def _chunk(self, index: int, text: str, *, logprobs: Any = None, finish: str | None = None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}
        return self._event([choice])

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        usage = {"usage": None} if self._asked.want_usage else {}
        return b"data: " + jsontext.dumps({**self._head, "choices": choices, **usage, **more}) + b"\n\n"

    def _end(self) -> bytes:
        if self._asked.want_usage and self._usage is not None:
            return self._event([], usage=write_usage(self._usage)) + DONE
        return DONE


# ---- answers of those that complete prompts themselves


def read_reply(body: bytes) -> Reply:
    """A text completion.

    Raises:
        UpstreamError: it is none.
    """
    return chat_reply_in.read_reply(_chat_of(body))


class StreamReader:
    """Reads one stream; see `stream.Reader`."""

    __slots__ = ("_chat",)

    def __init__(self) -> None:
        self._chat = ChatReader()

    def read(self, event: Event) -> list[StreamEvent]:
        if event.data is not None and event.data != b"[DONE]":
            event = replace(event, data=_chat_of(event.data))
        return self._chat.read(event)

    def finish(self) -> list[StreamEvent]:
        return self._chat.finish()


def _chat_of(body: bytes) -> bytes:
    """With messages where texts are; what is no completion is left to those who read chats."""
    try:
        told: Any = jsontext.loads_fast(body)
    except ValueError:
        return body
    if not isinstance(told, dict) or not isinstance(told.get("choices"), list):
        return body
    return jsontext.dumps({**told, "choices": [_chat_choice(one) for one in told["choices"]]})


def _chat_choice(choice: JSON) -> JSON:
    if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
        return choice
    kept = {name: choice[name] for name in ("index", "finish_reason") if name in choice}
    return {**kept, "message": {"role": "assistant", "content": choice["text"]}}


CODEC: Final[Codec] = replace(
    CODECS[Dialect.OPENAI_CHAT],
    read_request=read_request,
    read_reply=read_reply,
    write_reply=write_reply,
    reader=StreamReader,
    writer=StreamWriter,
)


# ---- several prompts


class Joined:
    """The answers to several prompts, as one."""

    __slots__ = ("_choices", "_head", "_per_prompt", "_sse", "_usage")

    def __init__(self, per_prompt: int) -> None:
        """`per_prompt` choices are asked for of each."""
        self._per_prompt = per_prompt
        self._choices: list[Any] = []
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._sse = SseReader()

    def add(self, at: int, body: bytes) -> None:
        """The whole answer to prompt number `at`.

        Raises:
            ValueError: it is none.
        """
        told: Any = jsontext.loads_fast(body)
        if not isinstance(told, dict) or not isinstance(told.get("choices"), list):
            raise ValueError("no completion")
        self._head = self._head or told
        self._choices += (self._moved(at, one) for one in told["choices"])
        self._count(told)

    def whole(self) -> bytes:
        usage = {"usage": self._usage} if self._usage else {}
        head = {name: value for name, value in self._head.items() if name != "usage"}
        return jsontext.dumps({**head, "choices": self._choices, **usage})

    def feed(self, at: int, piece: bytes) -> bytes:
        """The events of the answer to prompt number `at` that this piece completes; its end is kept back."""
        return b"".join(self._shown(at, event) for event in self._sse.feed(piece))

    def next(self, at: int) -> bytes:
        """The answer to prompt number `at` is over."""
        left = b"".join(self._shown(at, event) for event in self._sse.finish())
        self._sse = SseReader()
        return left

    def finish(self) -> bytes:
        """What ends the whole stream."""
        if not self._usage:
            return DONE
        told = {**self._head, "choices": [], "usage": self._usage}
        return b"data: " + jsontext.dumps(told) + b"\n\n" + DONE

    def _shown(self, at: int, event: Event) -> bytes:
        if event.data == b"[DONE]":
            return b""
        try:
            return self._moved_event(at, event)
        except (ValueError, RecursionError):
            return event.raw

    def _moved_event(self, at: int, event: Event) -> bytes:
        told: Any = jsontext.loads_fast(event.data or b"null")
        if not isinstance(told, dict) or not isinstance(told.get("choices"), list):
            return event.raw
        names = ("id", "object", "created", "model")
        self._head = self._head or {name: told[name] for name in names if name in told}
        if not told["choices"] and isinstance(told.get("usage"), dict):
            self._count(told)
            return b""
        choices = [self._moved(at, one) for one in told["choices"]]
        return b"data: " + jsontext.dumps({**told, **self._head, "choices": choices}) + b"\n\n"

    def _moved(self, at: int, choice: Any) -> Any:
        if not isinstance(choice, dict):
            return choice
        return {**choice, "index": at * self._per_prompt + (count_if(choice.get("index")) or 0)}

    def _count(self, told: dict[str, Any]) -> None:
        usage = told.get("usage")
        for name, count in usage.items() if isinstance(usage, dict) else ():
            if (number := count_if(count)) is not None:
                self._usage[name] = self._usage.get(name, 0) + number


class OfCompletions(Beside):
    """Looks at a text completion that passes."""

    __slots__ = ()

    def __init__(self, dialect: Dialect, *, is_events: bool) -> None:
        super().__init__(dialect, is_events=is_events, codec=CODEC)
