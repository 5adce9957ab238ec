"""What replies and streams of responses say beside their items: counts, endings, errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmitm.exchange import Usage
from llmitm.translate import jsontext
from llmitm.translate.neutral import Citation, Failure, Part, Reason, Stop, ToolCall
from llmitm.translate.reading import count_in, text_if

_FAILURES: Final = {
    "server_error": (500, "server"),
    "rate_limit_exceeded": (429, "rate_limit"),
    "insufficient_quota": (429, "billing"),
    "server_is_overloaded": (503, "overloaded"),
    "slow_down": (503, "overloaded"),
    "overloaded": (503, "overloaded"),
    "vector_store_timeout": (504, "timeout"),
    "timeout": (504, "timeout"),
    "upstream_timeout": (504, "timeout"),
    "bad_gateway": (502, "bad_gateway"),
    "context_length_exceeded": (400, "context_too_long"),
    "model_not_found": (404, "not_found"),
    "invalid_api_key": (401, "auth"),
    "invalid_prompt": (400, "invalid_request"),
    "data_residency_mismatch": (400, "invalid_request"),
    "bio_policy": (400, "invalid_request"),
    "cyber_policy": (400, "invalid_request"),
    "misalignment_policy_violation": (400, "invalid_request"),
    "unsupported_image_media_type": (400, "invalid_request"),
    "empty_image_file": (400, "invalid_request"),
    "failed_to_download_image": (400, "invalid_request"),
}
_TYPES: Final = {
    "rate_limit_error": (429, "rate_limit"),
    "tokens": (429, "rate_limit"),
    "insufficient_quota": (429, "billing"),
    "invalid_request_error": (400, "invalid_request"),
    "authentication_error": (401, "auth"),
    "permission_error": (403, "permission"),
    "not_found_error": (404, "not_found"),
    "overloaded_error": (503, "overloaded"),
    "server_error": (500, "server"),
}
_KINDS: Final = {
    400: "invalid_request",
    401: "auth",
    402: "billing",
    403: "permission",
    404: "not_found",
    408: "timeout_request",
    409: "conflict",
    413: "too_large",
    422: "unprocessable",
    429: "rate_limit",
    500: "server",
    501: "not_implemented",
    502: "bad_gateway",
    503: "overloaded",
    504: "timeout",
}
_INCOMPLETE: Final = {"max_output_tokens": Reason.LENGTH, "content_filter": Reason.FILTER}


# ---- errors


def failure_of(error: Any) -> Failure:
    """An error object, or a text, as bodies and events have it."""
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    code, named = error.get("code"), text_if(error.get("type"))
    status, kind = _classed(code, named)
    return Failure(
        status=status,
        kind=kind,
        message=text_if(error.get("message")) or "The provider told of an error without saying which.",
        code=str(code) if isinstance(code, str | int) and not isinstance(code, bool) else None,
        param=text_if(error.get("param")),
        type=named,
    )


def _classed(code: Any, kind: str | None) -> tuple[int, str]:
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    match code:
        case int() if 400 <= code < 600:
            return code, _KINDS.get(code, "invalid_request" if code < 500 else "server")
        case str() if code in _FAILURES:
            return _FAILURES[code]
        case str() if "image" in code or code.startswith("invalid_"):
            return 400, "invalid_request"
        case _:
            return _TYPES.get(kind or "", (502, "bad_gateway"))


def failure_in(body: dict[str, Any]) -> Failure | None:
    """Why this body, or this response object, is no reply; None where it is one."""
    error, status = body.get("error"), body.get("status")
    if status == "cancelled":
        message = "The provider cancelled the response."
        return Failure(status=502, kind="bad_gateway", code="upstream_cancelled", message=message)
    if status == "failed" or (error and not isinstance(body.get("output"), list)):
        return failure_of(error)
    if isinstance(body.get("output"), list):
        return None
    if body.get("object") == "response" or body.get("status") in ("completed", "incomplete"):
        return None
    said = text_if(body.get("message")) or text_if(body.get("detail"))
    return failure_of({**body, "message": said}) if said else unreadable()


def unreadable() -> Failure:
    message = "The provider's answer is not a response."
    return Failure(status=502, kind="bad_gateway", code="malformed_reply", message=message)


def empty_failure(stop: Stop, said: Iterable[Part]) -> Failure | None:
    """A reply that ended for an odd reason with nothing in it is none."""
    if stop.reason is not Reason.OTHER or any(True for _ in said):
        return None
    message = f"The provider's answer is empty ({stop.raw or 'it does not say why'})."
    return Failure(status=502, kind="bad_gateway", code="empty_reply", message=message)


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
    return Usage(
        input_tokens=into,
        output_tokens=out,
        cache_read_tokens=cached,
        cache_write_tokens=count_in(read, "cache_write_tokens"),
        reasoning_tokens=count_in(made, "reasoning_tokens"),
        audio_in_tokens=count_in(read, "audio_tokens"),
        audio_out_tokens=count_in(made, "audio_tokens"),
        image_in_tokens=count_in(read, "image_tokens"),
        server_tools=_server_tools(response.get("tool_usage")),
    )


def _server_tools(used: Any) -> tuple[tuple[str, int], ...]:
    searched = count_in(used.get("web_search"), "num_requests") if isinstance(used, dict) else None
    return (("web_search_requests", searched),) if searched else ()


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


def seconds(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e11 else None


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
