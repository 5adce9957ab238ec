"""OpenAI's call that packs a conversation, in front of any other vendor's model, which sums it up. Pure.

The answer holds what the user said, as it was, and one item in place of everything else, which
`responses/packed.py` tells of. A client sends all of it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from llmitm.exchange import Dialect
from llmitm.translate import ids, jsontext
from llmitm.translate.dialects import CODECS, Codec
from llmitm.translate.neutral import Opaque, Reply, Request
from llmitm.translate.pair import read_request as read
from llmitm.translate.reading import invalid, top_object
from llmitm.translate.responses import facts, packed, reply_out

_RESPONSES: Final = Dialect.OPENAI_RESPONSES


def read_request(body: bytes) -> Request:
    """The conversation, and that it is to be packed.

    Raises:
        Refused: 400, it cannot be read, or holds nothing.
    """
    told = top_object(body)
    items = told.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        raise invalid("input", "expected a conversation: a string, or a list of items")
    trigger = {"type": "compaction_trigger"}
    asked = read(_RESPONSES, jsontext.dumps({**told, "input": [*items, trigger]}), is_stream=False)
    return replace(asked, echo={"input": list(_said(items))})


def _said(items: list[Any]) -> Iterator[dict[str, Any]]:
    """The user's messages."""
    for item in items:
        if isinstance(item, dict) and item.get("role") == "user":
            content = item.get("content")
            if isinstance(content, str):
                content = [{"type": "input_text", "text": content}]
            yield {"status": "completed", **item, "type": "message", "content": content}


def _write_reply(reply: Reply, asked: Request) -> bytes:
    """Raises `UpstreamError` where the model wrote no summary."""
    made = reply_out.identified(packed.packed(reply), asked)
    items = [jsontext.Raw(part.raw) for part in made.choices[0].parts if isinstance(part, Opaque)]
    said = [
        {"id": ids.item_id("msg_", made.id or "", at), **item} for at, item in enumerate(asked.echo["input"])
    ]
    told = {
        "id": made.id,
        "object": "response.compaction",
        "created_at": made.created or 0,
        "output": [*said, *items],
        "usage": facts.write_usage(made.usage),
    }
    return jsontext.dumps(told)


CODEC: Final[Codec] = replace(CODECS[_RESPONSES], write_reply=_write_reply)
