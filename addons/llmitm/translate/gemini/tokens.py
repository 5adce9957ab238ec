"""Log probabilities of tokens: Gemini's two parallel lists, and one entry a token as chat has it. Pure."""

from __future__ import annotations

from typing import Any

from llmitm.translate.neutral import JSON


def read_tokens(result: Any) -> tuple[JSON, ...]:
    """The entries of a candidate's `logprobsResult`."""
    if not isinstance(result, dict):
        return ()
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    if not isinstance(chosen, list):
        return ()
    rivals = top if isinstance(top, list) else []
    return tuple(
        _entry(one) | {"top_logprobs": _rivals(rivals[n] if n < len(rivals) else None)}
        for n, one in enumerate(chosen)
        if isinstance(one, dict)
    )


def _entry(token: dict[str, Any]) -> dict[str, Any]:
    text = token.get("token")
    text = text if isinstance(text, str) else ""
    return {
        "token": text,
        "bytes": list(text.encode("utf-8", "replace")),
        "logprob": token.get("logProbability", 0.0),
    }


def _rivals(top: Any) -> list[dict[str, Any]]:
    tokens = top.get("candidates") if isinstance(top, dict) else None
    return [_entry(one) for one in tokens if isinstance(one, dict)] if isinstance(tokens, list) else []


def write_tokens(entries: tuple[JSON, ...]) -> dict[str, Any]:
    """`logprobsResult`."""
    tokens = [entry for entry in entries if isinstance(entry, dict)]
    return {
        "topCandidates": [{"candidates": _top(entry.get("top_logprobs"))} for entry in tokens],
        "chosenCandidates": [_token(entry) for entry in tokens],
    }


def _top(rivals: Any) -> list[dict[str, Any]]:
    return [_token(one) for one in rivals if isinstance(one, dict)] if isinstance(rivals, list) else []


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}
