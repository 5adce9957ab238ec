"""A chat completion, read. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import jsontext, media
from llmitm.translate.chat import details
from llmitm.translate.chat.parts import read_call
from llmitm.translate.chat.stops import read_stop
from llmitm.translate.chat.usage import read_usage
from llmitm.translate.failures import failure_of, no_reply
from llmitm.translate.neutral import (
    Base64,
    Choice,
    Citation,
    Failure,
    Hosted,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Text,
    ToolCall,
    UpstreamError,
    Url,
)
from llmitm.translate.reading import seconds_if, text_if

NO_CHOICE: Final = Failure(
    status=502,
    kind="bad_gateway",
    code="empty_reply",
    message="The provider sent an answer without content.",
)


def read_reply(body: bytes) -> Reply:
    """The completion.

    Raises:
        UpstreamError: it is an error, or no completion.
    """
    try:
        told = jsontext.loads_fast(body)
    except ValueError:
        raise no_reply("The provider's answer is not valid JSON.") from None
    if not isinstance(told, dict) or not isinstance(told.get("choices"), list):
        failed = failure_of(told, 200)
        raise UpstreamError(failed) if failed else no_reply("The provider's answer holds no choices.")
    choices = [
        _choice(choice, place) for place, choice in enumerate(told["choices"]) if isinstance(choice, dict)
    ]
    if not choices:
        failed = failure_of(told, 200) if told.get("error") else None
        raise UpstreamError(failed or NO_CHOICE)
    if len({choice.index for choice in choices}) != len(choices):
        choices = [replace(choice, index=place) for place, choice in enumerate(choices)]
    choices.sort(key=lambda choice: choice.index)
    return Reply(
        id=text_if(told.get("id")) or None,
        model=text_if(told.get("model")),
        created=seconds_if(told.get("created")),
        choices=tuple(choices),
        usage=read_usage(told.get("usage"), told.get("service_tier"), told.get("model")) or _groq_usage(told),
        service_tier=text_if(told.get("service_tier")),
    )


def _groq_usage(told: dict[str, Any]) -> Any:
    groq = told.get("x_groq")
    return read_usage(groq.get("usage"), told.get("service_tier")) if isinstance(groq, dict) else None


def _choice(choice: dict[str, Any], place: int) -> Choice:
    index = choice.get("index")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    parts = tuple(_parts(message))
    stop = choice.get("stop_reason")
    return Choice(
        index=index if type(index) is int and index >= 0 else place,
        parts=parts,
        stop=read_stop(
            text_if(choice.get("finish_reason")) or "",
            has_calls=any(isinstance(part, ToolCall) for part in parts),
            sequence=stop if isinstance(stop, str) else None,
        ),
        logprobs=tokens_of(choice),
    )


def _parts(message: dict[str, Any]) -> Iterator[Part]:
    """Reasoning, text, refusal, calls, images: chat has no order of its own."""
    told = message.get("tool_calls")
    calls = [read_call(call, "") for call in told if isinstance(call, dict)] if isinstance(told, list) else []
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and not calls and is_call(legacy):
        calls.append(read_call({"id": "", "function": legacy}, ""))
    found = details.read(message.get("reasoning_details"), (call.id for call in calls))
    content = list(read_content(message.get("content")))
    said = "".join(part.readable for part in content if isinstance(part, Reasoning))
    yield from _reasoned(reasoning_of(message) or said, found)
    yield from (part for part in content if isinstance(part, Opaque))
    texts = [part for part in content if isinstance(part, Text)]
    text, cited = "".join(part.text for part in texts), sum((part.citations for part in texts), ())
    if text:
        cited += citations(message.get("annotations"))
        yield Text(text=text, citations=cited, sealed=found.loose)
    elif found.loose is not None and not calls:
        yield Text(text="", sealed=found.loose)
    elif found.loose is not None and calls[0].sealed is None:
        found.calls.setdefault(calls[0].id, found.loose)
    refused = "".join(part.text for part in content if isinstance(part, Refusal))
    if refusal := text_if(message.get("refusal")) or refused:
        yield Refusal(text=refusal)
    for call in calls:
        seal = found.calls.get(call.id)
        yield replace(call, sealed=seal) if seal is not None and call.sealed is None else call
    yield from (part for part in content if isinstance(part, Media))
    yield from beside(message)


def tokens_of(choice: dict[str, Any]) -> tuple[Any, ...]:
    """The log probabilities of a choice, or of a piece of one."""
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tuple(one for one in tokens if isinstance(one, dict)) if isinstance(tokens, list) else ()


def reasoning_of(message: dict[str, Any]) -> str | None:
    """Hosts that know both names give one of them empty."""
    return text_if(message.get("reasoning_content")) or text_if(message.get("reasoning"))


def beside(message: dict[str, Any]) -> Iterator[Part]:
    """What stands beside the text of a message, or of a piece of one: media, and the work of hosts' tools."""
    yield from images(message.get("images"))
    match message.get("audio"):
        case {"data": str(data)} if data:
            yield Media(kind="audio", source=Base64(data))
    executed = message.get("executed_tools")
    if isinstance(executed, list) and executed:
        raw = jsontext.text_of(executed)
        yield Hosted(vendor="host", type="executed_tools", raw=raw, phase="result")


def is_call(legacy: dict[str, Any]) -> bool:
    """Some hosts write the old member into every message, with empty words for no call."""
    return bool(legacy.get("name") or legacy.get("arguments"))


def _reasoned(said: str | None, found: details.Read) -> Iterator[Reasoning]:
    """The same reasoning often comes twice, as text and as details; the details know whose it is."""
    if said and not found.is_readable:
        yield Reasoning(text=said)
    for part in found.parts:
        yield replace(part, text=part.readable or None, summary=())


def read_content(content: Any) -> Iterator[Part]:
    """What a message, or a piece of one, says: a string, or parts as hosts have them, thinking among them.
    Hosts that were asked for JSON give it as an object."""
    match content:
        case str():
            yield Text(text=content)
        case dict():
            yield Text(text=jsontext.text_of(content))
        case list():
            for part in content:
                yield from _content_part(part)


def _content_part(part: Any) -> Iterator[Part]:
    match part:
        case str():
            yield Text(text=part)
        case {"type": "thinking", "thinking": str(text)}:
            yield Reasoning(text=text)
        case {"type": "thinking", "thinking": list(runs)}:
            for run in runs:
                if isinstance(run, dict) and isinstance(run.get("text"), str):
                    yield Reasoning(text=run["text"])
        case {"type": "refusal", "refusal": str(text)}:
            yield Refusal(text=text)
        case {"type": "image_url"}:
            yield from images([part])
        case {"text": str(text)}:
            yield Text(text=text)
        case {"type": "reference"}:
            yield Text(text="", citations=(Citation(kind="document"),))
        case {"type": str(kind)} if kind not in ("text", "thinking", "refusal"):
            yield Opaque(dialect=Dialect.OPENAI_CHAT, type=kind, raw=jsontext.text_of(part))


def citations(annotations: Any) -> tuple[Citation, ...]:
    made: list[Citation] = []
    for annotation in annotations if isinstance(annotations, list) else ():
        match annotation:
            case {"type": "url_citation", "url_citation": {"url": str(url)} as body}:
                start, end = body.get("start_index"), body.get("end_index")
                made.append(
                    Citation(
                        url=url,
                        title=text_if(body.get("title")),
                        start=start if type(start) is int else None,
                        end=end if type(end) is int else None,
                    )
                )
            case {"type": str(kind)} if kind != "url_citation":
                made.append(Citation(kind="document"))
    return tuple(made)


def images(value: Any) -> Iterator[Media]:
    """Images that a model made."""
    for image in value if isinstance(value, list) else ():
        match image:
            case {"image_url": {"url": str(url)}} if url.startswith("data:") and ";base64," in url:
                head, _, data = url.partition(",")
                mime = head[5:].partition(";")[0]
                yield Media(kind="image", source=Base64(data), mime=mime or media.sniffed(Base64(data)))
            case {"image_url": {"url": str(url)}}:
                yield Media(kind="image", source=Url(url))
