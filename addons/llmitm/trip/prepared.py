"""What one provider is sent for a call of a model, whatever the call: as the client wrote it, or translated.

The translation is pure and stands in `translate/`; here is decided which of them a provider needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NoReturn

from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route import abilities, calls
from llmitm.route.calls import Call, Task
from llmitm.route.providers import Candidate
from llmitm.route.search import NEVER_AGAIN
from llmitm.translate import compacting, completions, counting, embeddings
from llmitm.translate.beside import Beside
from llmitm.translate.counting import Counting, OfCounts
from llmitm.translate.embeddings import Embedding, OfEmbeddings
from llmitm.translate.pair import Translation
from llmitm.trip import translated
from llmitm.trip.translated import Made

READERS: Final[Mapping[Task, type[Beside]]] = {
    "generate": Beside,
    "complete": completions.OfCompletions,
    "embed": OfEmbeddings,
    "count": OfCounts,
    "compact": Beside,
}
"""Who reads an answer that passes untouched; others are not read."""


def prepare(
    call: Call,
    body: bytes,
    model: str,
    chosen: Candidate,
    *,
    config: Config,
    is_strict: bool,
    request_id: str = "",
    now_s: float = 0,
) -> tuple[Call, Made | None]:
    """What the provider is asked, and the request as it takes it; None where that is as the client wrote it.

    `request_id` and `now_s` stand in for what the upstream may not tell: the reply's id, and when it was.

    Raises:
        Refused: 400, the request cannot be said in the provider's dialect; 501, it has no such call.
    """
    made: Made | None
    match call.task:
        case "generate" | "other":
            made = translated.prepare(
                call,
                body,
                model,
                chosen,
                config=config,
                is_strict=is_strict,
                request_id=request_id,
                now_s=now_s,
            )
            return (call, None) if made is None else (translated.call_of(made), made)
        case "complete":
            if abilities.completes(chosen):
                return call, None
            asked, codec = completions.read_request(body), completions.CODEC
        case "compact":
            if chosen.dialect_for(call.dialect) is call.dialect:
                return call, None
            asked, codec = compacting.read_request(body), compacting.CODEC
        case "embed":
            return _embed(call, body, model, chosen, config, is_strict=is_strict)
        case "count":
            return _count(call, body, model, chosen, config, is_strict=is_strict)
    made = Translation(
        asked,
        translated.target_of(chosen, _chats_in(chosen, config), config, is_strict=is_strict),
        now_s=int(now_s),
        reply_id=hashlib.sha256(request_id.encode()).hexdigest()[:32],
        client=codec,
    )
    return translated.call_of(made), made


def _chats_in(chosen: Candidate, config: Config) -> Dialect:
    dialect = chosen.options.dialect(chosen.provider)
    if dialect is Dialect.OPENAI_CHAT and Dialect.OPENAI_RESPONSES in chosen.dialects:
        if translated.row_of(chosen, dialect, config).is_responses_only:
            return Dialect.OPENAI_RESPONSES
    return dialect


def _embed(
    call: Call, body: bytes, model: str, chosen: Candidate, config: Config, *, is_strict: bool
) -> tuple[Call, Made | None]:
    dialect = abilities.embeds_in(chosen, call.dialect)
    if dialect is None:
        _lacks(chosen, "embeds no texts")
    if dialect is call.dialect:
        return call, None
    named = model if call.dialect is Dialect.GEMINI else None
    is_batch = call.path == b"batchEmbedContents"
    embed = embeddings.read_embed(call.dialect, body, model=named, is_batch=is_batch)
    made = Embedding(embed, translated.target_of(chosen, dialect, config, is_strict=is_strict))
    return calls.embed(dialect, is_batch=embed.is_batch), made


def _count(
    call: Call, body: bytes, model: str, chosen: Candidate, config: Config, *, is_strict: bool
) -> tuple[Call, Made | None]:
    dialect = abilities.counts_in(chosen, call.dialect)
    if dialect is None:
        _lacks(chosen, "counts no tokens")
    if dialect is call.dialect:
        return call, None
    asked = replace(counting.read_counted(call.dialect, body, model), stream=False)
    target = translated.target_of(chosen, dialect, config, is_strict=is_strict)
    return calls.count(dialect), Counting(asked, target)


def _lacks(chosen: Candidate, what: str) -> NoReturn:
    raise Refused(501, "not_supported", f"Provider {chosen.provider} {what}.", headers=NEVER_AGAIN)


def native(call: Call, body: bytes, chosen: Candidate) -> bytes:
    """The client's own body with the provider's name of the model where Gemini's bodies have it too."""
    if call.dialect is not Dialect.GEMINI or call.model is None or call.model == chosen.model:
        return body
    match call.task:
        case "embed":
            return embeddings.renamed(body, chosen.model)
        case "count":
            return counting.renamed(body, chosen.model)
        case _:
            return body
