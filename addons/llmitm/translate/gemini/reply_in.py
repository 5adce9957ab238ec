"""A whole answer of Gemini's, read. Pure."""

from __future__ import annotations

from llmitm.translate import jsontext, stream
from llmitm.translate.failures import no_reply
from llmitm.translate.gemini.stream_in import Chunks
from llmitm.translate.neutral import Reply, UpstreamError


def read_reply(body: bytes) -> Reply:
    """The answer; also one that came as a JSON array of chunks.

    Raises:
        UpstreamError: it is an error, holds nothing, or is no answer of Gemini's.
    """
    try:
        told = jsontext.loads_fast(body)
    except ValueError:
        raise no_reply("The provider's answer is not valid JSON.") from None
    parts = told if isinstance(told, list) else [told]
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise no_reply("The provider's answer is not a JSON object.")
    chunks, collector, text = Chunks(), stream.Collector(), jsontext.Slices(body)
    for n, part in enumerate(parts):
        for event in chunks.take(part, text, (n,) if isinstance(told, list) else ()):
            collector.add(event)
        if chunks.is_over:
            break
    else:
        for event in chunks.finish(is_whole=not isinstance(told, list)):
            collector.add(event)
    if collector.failure is not None:
        raise UpstreamError(collector.failure)
    return collector.reply()
