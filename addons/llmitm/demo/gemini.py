"""The demonstration provider's Gemini generateContent, streamed as events or as one JSON array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from llmitm.demo.answers import Answer, Call, Reply, answer_to, seal, split_words, stream, whole
from llmitm.demo.ask import Ask, bad
from llmitm.demo.openai_chat import EMBEDDED_SIZE, vector_of

MODELS = ("gemini-3.8-flash", "gemini-4-argon")
_KINDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GOOGLE = "type.googleapis.com/google.rpc."


def error(
    status: int, message: str, code: str | None = None, retry_after_s: str | None = None
) -> dict[str, Any]:
    """`code` becomes the reason of an ErrorInfo; the wait stands in a RetryInfo, not in a header."""
    details: list[dict[str, Any]] = []
    if code:
        domain = "googleapis.com"
        details.append({"@type": f"{_GOOGLE}ErrorInfo", "reason": code, "domain": domain, "metadata": {}})
    if retry_after_s is not None:
        details.append({"@type": f"{_GOOGLE}RetryInfo", "retryDelay": f"{retry_after_s}s"})
    inner: dict[str, Any] = {"code": status, "message": message, "status": _KINDS.get(status, "UNKNOWN")}
    return {"error": {**inner, "details": details} if details else inner}


def event(data: object) -> bytes:
    """One event; this API ends its lines with CR LF."""
    return b"data: " + orjson.dumps(data) + b"\r\n\r\n"


def error_event(status: int, message: str) -> bytes:
    return event(error(status, message))


def array(items: list[dict[str, Any]]) -> list[bytes]:
    """One JSON array in pieces that arrive over time; the last piece is the closing bracket."""
    pieces = [(b"," if at else b"[") + orjson.dumps(item) + b"\r\n" for at, item in enumerate(items)]
    return [*pieces, b"]"]


def array_error(status: int, message: str, *, is_first: bool) -> bytes:
    """An error that ends the array, as its only element or after others."""
    return (b"[" if is_first else b",") + orjson.dumps(error(status, message)) + b"]"


def reply(ask: Ask, *, as_events: bool) -> Reply:
    answer = answer_to(ask)
    if not ask.stream:
        return whole(_snapshot(ask, answer, _parts(ask, answer), answer.said_words, done=True))
    snapshots = _snapshots(ask, answer)
    if as_events:
        return stream(event(snapshot) for snapshot in snapshots)
    return Reply(
        headers=(("content-type", "application/json; charset=UTF-8"),),
        pieces=array(list(snapshots)),
        is_stream=True,
    )


def _parts(ask: Ask, answer: Answer) -> list[list[dict[str, Any]]]:
    """The parts of every candidate."""
    thought = [{"text": answer.thought, "thought": True}] if answer.thought else []
    if answer.calls:
        return [[*thought, *(_call_part(ask, call) for call in answer.calls)] for _ in range(ask.choices)]
    return [[*thought, {"text": answer.choice_text(index)}] for index in range(ask.choices)]


def _call_part(ask: Ask, call: Call) -> dict[str, Any]:
    called = {"id": f"{ask.seed[:10]}{call.number:02}", "name": call.name, "args": call.arguments}
    part: dict[str, Any] = {"functionCall": called}
    if call.number == 0:
        # only the first of several parallel calls is signed
        part["thoughtSignature"] = seal(ask)
    return part


def _snapshot(
    ask: Ask, answer: Answer, parts: list[list[dict[str, Any]]], output_words: int, *, done: bool
) -> dict[str, Any]:
    """One GenerateContentResponse; in a stream it holds only what is new, but usage so far."""
    output = output_words * ask.choices
    candidates = [
        {
            "content": {"parts": own, "role": "model"},
            **({"finishReason": "STOP"} if done else {}),
            "index": index,
        }
        for index, own in enumerate(parts)
    ]
    usage = {
        "promptTokenCount": ask.input_words,
        # a count of zero is left out
        **({"candidatesTokenCount": output} if output else {}),
        **({"thoughtsTokenCount": answer.thought_words} if answer.thought else {}),
        "totalTokenCount": ask.input_words + output + answer.thought_words,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": ask.input_words}],
    }
    return {
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": ask.model,
        "responseId": ask.seed[:22],
    }


def _snapshots(ask: Ask, answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.calls:
        # a call comes whole in one chunk, and the end in another
        yield _snapshot(ask, answer, _parts(ask, answer), answer.said_words, done=False)
    else:
        if answer.thought:
            thought = [{"text": answer.thought, "thought": True}]
            yield _snapshot(ask, answer, [thought] * ask.choices, 0, done=False)
        pieces = [split_words(answer.choice_text(index)) for index in range(ask.choices)]
        written = 0
        for at in range(max(map(len, pieces))):
            own = [[{"text": "".join(texts[at : at + 1])}] for texts in pieces]
            written += len(own[0][0]["text"].split())
            yield _snapshot(ask, answer, own, written, done=False)
    last: list[list[dict[str, Any]]] = [[{"text": ""}] for _ in range(ask.choices)]
    yield _snapshot(ask, answer, last, answer.said_words, done=True)


def count(ask: Ask) -> Reply:
    details = [{"modality": "TEXT", "tokenCount": ask.input_words}]
    return whole({"totalTokens": ask.input_words, "promptTokensDetails": details})


MOST_EMBEDDED = 100


def embeddings(data: dict[str, Any], model: str) -> Reply:
    """The same vectors as of OpenAI's embeddings, for a text or for a batch of them."""
    requests = data.get("requests", [data])
    if not 0 < len(requests) <= MOST_EMBEDDED:
        said = f"BatchEmbedContentsRequest.requests: at most {MOST_EMBEDDED} requests can be in one batch"
        raise bad(said)
    if any(one.get("model", f"models/{model}") != f"models/{model}" for one in requests):
        raise bad("All requests must be for the model in the path.")
    texts = ["\n".join(part["text"] for part in one["content"]["parts"]) for one in requests]
    sizes = [one.get("outputDimensionality") or EMBEDDED_SIZE for one in requests]
    vectors = [{"values": vector_of(text, size)} for text, size in zip(texts, sizes, strict=True)]
    made = {"embeddings": vectors} if "requests" in data else {"embedding": vectors[0]}
    return whole({**made, "usageMetadata": {"promptTokenCount": sum(len(text.split()) for text in texts)}})


def models(name: str | None) -> Reply:
    def entry(model: str) -> dict[str, Any]:
        return {
            "name": f"models/{model}",
            "version": "001",
            "displayName": model.replace("-", " ").title(),
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }

    return whole(entry(name) if name else {"models": [entry(model) for model in MODELS]})
