"""An Anthropic message, read. Pure."""

from __future__ import annotations

from llmitm.errors import Refused
from llmitm.translate import jsontext
from llmitm.translate.failures import failure_of, no_reply
from llmitm.translate.messages.blocks import read_block
from llmitm.translate.messages.stops import read_stop
from llmitm.translate.messages.usage import read_usage
from llmitm.translate.neutral import Choice, Part, Reply, Text, ToolCall, UpstreamError
from llmitm.translate.reading import text_if


def read_reply(body: bytes) -> Reply:
    """The message.

    Raises:
        UpstreamError: it is an error, or no message.
    """
    try:
        told = jsontext.loads_fast(body)
    except ValueError:
        raise no_reply("The provider's answer is not valid JSON.") from None
    if not isinstance(told, dict) or not isinstance(told.get("content"), list):
        failed = failure_of(told, 200)
        raise UpstreamError(failed) if failed else no_reply("The provider's answer holds no content.")
    slices = jsontext.Slices(body)
    parts: list[Part] = []
    for n, block in enumerate(told["content"]):
        if isinstance(block, dict):
            try:
                part = read_block(block, f"content[{n}]", slices, "content", n)
            except Refused as error:
                raise no_reply(f"The provider's answer cannot be read: {error.message}") from None
            if not isinstance(part, Text) or part.text or part.citations:
                parts.append(part)
    counts = told.get("usage")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    return Reply(
        id=text_if(told.get("id")) or None,
        model=text_if(told.get("model")),
        choices=(Choice(parts=tuple(parts), stop=read_stop(told, has_calls=has_calls)),),
        usage=read_usage(counts),
        service_tier=tier_of(counts),
    )


def tier_of(counts: object) -> str | None:
    """The tier that the message was made in, in OpenAI's word; None where it tells none."""
    tier = counts.get("service_tier") if isinstance(counts, dict) else None
    return {"standard": "default", "priority": "priority"}.get(tier) if isinstance(tier, str) else None
