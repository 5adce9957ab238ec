"""What replies and streams of responses say beside their items: counts, endings, errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate import failures, jsontext
from llmitm.translate.billed import reported_usd_nano, special_tier
from llmitm.translate.neutral import Citation, Failure, Part, Reason, Stop, ToolCall
from llmitm.translate.reading import count_in, text_if

_OVERLOADED: Final = (503, "overloaded")
_TIMEOUT: Final = (504, "timeout")
_INVALID: Final = (400, "invalid_request")
_FAILURES: Final = {
    "server_error": (500, "server"),
    "server_is_overloaded": _OVERLOADED,
    "overloaded": _OVERLOADED,
    "slow_down": _OVERLOADED,
    "vector_store_timeout": _TIMEOUT,
    "upstream_timeout": _TIMEOUT,
    "timeout": _TIMEOUT,
    "data_residency_mismatch": _INVALID,
    "bio_policy": _INVALID,
    "cyber_policy": _INVALID,
    "misalignment_policy_violation": _INVALID,
}
"""Codes of failed responses that mean more here than in the body of an error."""
_HOSTED: Final = {
    "web_search_call": "web_search_requests",
    "x_search_call": "x_search_requests",
    "file_search_call": "file_search_requests",
    "code_interpreter_call": "code_interpreter_calls",
    "image_generation_call": "image_generation_calls",
}
"""Items of tools that the provider runs and bills apart, and what their uses are called."""
_INCOMPLETE: Final = {"max_output_tokens": Reason.LENGTH, "content_filter": Reason.FILTER}


# ---- errors


def failure_of(value: Any) -> Failure:
    """The error of a failed response, or of an event that tells of one."""
    found = failures.failure_of(value, 200)
    if found is None:
        return _failure("upstream_error", "The provider told of an error without saying which.")
    code = found.code or ""
    is_of_input = found.kind == "bad_gateway" and ("image" in code or code.startswith("invalid_"))
    told = _INVALID if is_of_input else _FAILURES.get(code)
    return found if told is None else replace(found, status=told[0], kind=told[1])


def _failure(code: str, message: str) -> Failure:
    return Failure(status=502, kind="bad_gateway", code=code, message=message)


def failure_in(body: dict[str, Any]) -> Failure | None:
    """Why this body, or this response object, is no reply; None where it is one."""
    error, status = body.get("error"), body.get("status")
    if status == "cancelled":
        return _failure("upstream_cancelled", "The provider cancelled the response.")
    has_output = isinstance(body.get("output"), list)
    if status == "failed" or (error and not has_output):
        return failure_of(body)
    if has_output or body.get("object") == "response" or status in ("completed", "incomplete"):
        return None
    return failures.failure_of(body, 200) or failures.failure_of(body, 502) or unreadable()


def unreadable() -> Failure:
    return failures.no_reply("The provider's answer is not a response.").failure


def empty_failure(stop: Stop, said: Iterable[Part]) -> Failure | None:
    """A reply that ended for an odd reason with nothing in it is none."""
    if stop.reason is not Reason.OTHER or any(True for _ in said):
        return None
    return _failure("empty_reply", f"The provider's answer is empty ({stop.raw}).")


# ---- ends and counts


def stop_of(response: dict[str, Any], said: Iterable[Part]) -> Stop:
    """How the response ended; `said` is what it holds."""
    status = text_if(response.get("status")) or "completed"
    if status == "completed":
        is_call = any(isinstance(part, ToolCall) for part in said)
        return Stop(reason=Reason.TOOL_CALLS if is_call else Reason.STOP, raw=status)
    details = response.get("incomplete_details")
    word = text_if(details.get("reason")) if isinstance(details, dict) else None
    return Stop(reason=_INCOMPLETE.get(word or "", Reason.OTHER), raw=word or status)


def read_usage(response: dict[str, Any]) -> Usage | None:
    counts = response.get("usage")
    into, out = count_in(counts, "input_tokens"), count_in(counts, "output_tokens")
    if into is None and out is None:
        return None
    assert isinstance(counts, dict)
    read, made = counts.get("input_tokens_details"), counts.get("output_tokens_details")
    cached = count_in(read, "cached_tokens")
    if cached is not None and into is not None and cached > into:  # a host that counts it beside the input
        into += cached
    split = read.get("cached_tokens_details") if isinstance(read, dict) else None
    return Usage(
        input_tokens=into,
        output_tokens=out,
        cache_read_tokens=cached,
        cache_write_tokens=count_in(read, "cache_write_tokens"),
        reasoning_tokens=count_in(made, "reasoning_tokens"),
        audio_in_tokens=count_in(read, "audio_tokens"),
        audio_out_tokens=count_in(made, "audio_tokens"),
        image_in_tokens=count_in(read, "image_tokens"),
        image_out_tokens=count_in(made, "image_tokens"),
        cached_audio_tokens=count_in(split, "audio_tokens"),
        cached_image_tokens=count_in(split, "image_tokens"),
        server_tools=_server_tools(response),
        tier=special_tier(response.get("service_tier")),
        reported_usd_nano=reported_usd_nano(counts),
    )


def _server_tools(response: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """By the items of the reply, but for searches that the API counts itself: of a search's actions only the
    search is one."""
    used = dict.fromkeys(_HOSTED.values(), 0)
    output = response.get("output")
    for item in output if isinstance(output, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        if isinstance(kind, str) and kind in _HOSTED:
            action = item.get("action")
            if not isinstance(action, dict) or action.get("type", "search") == "search":
                used[_HOSTED[kind]] += 1
    told = response.get("tool_usage")
    searched = count_in(told.get("web_search"), "num_requests") if isinstance(told, dict) else None
    if searched is not None:
        used["web_search_requests"] = searched
    return tuple((tool, times) for tool, times in used.items() if times)


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """All members that the API promises, zeros where nothing is known."""
    usage = usage or Usage()
    into, out = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": into,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": into + out,
    }


# ---- what stands beside a text


def read_annotation(value: Any) -> Citation | None:
    if not isinstance(value, dict):
        return None
    is_url = value.get("type") == "url_citation"
    return Citation(
        kind="url" if is_url else "document",
        url=text_if(value.get("url")) if is_url else None,
        title=text_if(value.get("title")) or text_if(value.get("filename")),
        start=count_in(value, "start_index"),
        end=count_in(value, "end_index"),
        vendor="openai",
        raw=jsontext.text_of(value),
    )


def read_annotations(values: Any) -> tuple[Citation, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(made for one in values if (made := read_annotation(one)) is not None)


def write_annotation(citation: Citation, text: str) -> Any:
    """None where this API has no place for it. What covers the whole text says no range of its own."""
    if citation.url is None:
        return jsontext.Raw(citation.raw) if citation.vendor == "openai" and citation.raw else None
    return {
        "type": "url_citation",
        "start_index": citation.start if citation.start is not None else 0,
        "end_index": citation.end if citation.end is not None else len(text),
        "title": citation.title or "",
        "url": citation.url,
    }


def read_logprobs(values: Any) -> tuple[Any, ...]:
    """Tokens as chat writes them."""
    if not isinstance(values, list):
        return ()
    return tuple(_token(one) | {"top_logprobs": _tops(one)} for one in values if isinstance(one, dict))


def _tops(token: dict[str, Any]) -> list[dict[str, Any]]:
    found = token.get("top_logprobs")
    return [_token(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _token(value: dict[str, Any]) -> dict[str, Any]:
    text = text_if(value.get("token")) or ""
    given = value.get("bytes")
    return {
        "token": text,
        "bytes": given if isinstance(given, list) else list(text.encode()),
        "logprob": value.get("logprob"),
    }
