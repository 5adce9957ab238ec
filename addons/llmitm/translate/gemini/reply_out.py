"""An answer as Gemini writes it, whole. Pure."""

from __future__ import annotations

from typing import Any

from llmitm.translate import jsontext
from llmitm.translate.gemini.grounding import Supports
from llmitm.translate.gemini.parts import lent, write_part
from llmitm.translate.gemini.stops import blocked_prompt, is_block, write_stop
from llmitm.translate.gemini.tokens import write_tokens
from llmitm.translate.gemini.usage import write_usage
from llmitm.translate.neutral import Choice, Refusal, Reply, Request, Text


def write_reply(reply: Reply, asked: Request) -> bytes:
    """The answer. One that a filter left empty has no candidate, but says that the prompt was blocked."""
    body: dict[str, Any] = {}
    written = [(choice, _parts(choice)) for choice in reply.choices]
    first = reply.choices[0].stop if reply.choices else None
    if is_block(first) and not any(parts for _, parts in written):
        body["promptFeedback"] = blocked_prompt(first)
    else:
        entry_point = reply.extras.get("search_entry_point")
        body["candidates"] = [_candidate(choice, parts, entry_point) for choice, parts in written]
    if reply.usage is not None and (usage := write_usage(reply.usage)):
        body["usageMetadata"] = usage
    if reply.model is not None:
        body["modelVersion"] = reply.model
    if reply.id is not None:
        body["responseId"] = reply.id
    return jsontext.dumps(body)


def _parts(choice: Choice) -> list[tuple[Any, Any]]:
    """Each part with its JSON, without those that Gemini has not."""
    written = ((part, write_part(part)) for part in lent(choice.parts))
    return [(part, told) for part, told in written if told is not None]


def _candidate(choice: Choice, parts: list[tuple[Any, Any]], entry_point: Any) -> dict[str, Any]:
    supports = Supports()
    for n, (part, _) in enumerate(parts):
        if isinstance(part, Text):
            supports.add(part.text, part.citations, part=n)
    return candidate(
        choice.index,
        [told for _, told in parts],
        finish=write_stop(choice.stop, has_refusal=any(isinstance(part, Refusal) for part in choice.parts)),
        logprobs=choice.logprobs,
        grounding=supports.metadata(None if choice.index else entry_point),
    )


def candidate(
    index: int,
    parts: list[Any],
    *,
    finish: str | None = None,
    logprobs: tuple[Any, ...] = (),
    grounding: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One candidate; without any part it holds an empty text, as clients look for a part."""
    told: dict[str, Any] = {
        "index": index,
        "content": {"role": "model", "parts": parts or [{"text": ""}]},
    }
    if finish is not None:
        told["finishReason"] = finish
    if logprobs:
        told["logprobsResult"] = write_tokens(logprobs)
    if grounding is not None:
        told["groundingMetadata"] = grounding
    return told
