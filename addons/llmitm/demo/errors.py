"""The demonstration provider's errors, each in the dialect of the request."""

from __future__ import annotations

from typing import Any

from llmitm.demo import anthropic_messages, cloudflare, gemini, openai_chat, openai_responses
from llmitm.demo.answers import Fields, Reply, whole
from llmitm.demo.faults import Faults, Kind
from llmitm.exchange import Dialect

_RETRY_AFTER_S = "1"
_MESSAGES = {
    400: "The demo provider finds this request invalid.",
    401: "Incorrect API key provided.",
    403: "The demo provider does not allow this.",
    404: "The demo provider has no such model.",
    429: "The demo provider is asked too often.",
    500: "The demo provider failed.",
    503: "The demo provider is overloaded.",
    529: "Overloaded",
}


def error(
    dialect: Dialect,
    status: int,
    message: str | None = None,
    code: str | None = None,
    *,
    retry_after_s: str | None = None,
    in_array: bool = False,
) -> Reply:
    """An error. `retry_after_s` stands where the dialect has it; `in_array` is for Gemini's array form."""
    message = message or _MESSAGES.get(status, f"The demo provider was told to answer {status}.")
    body: Any
    wait: Fields = () if retry_after_s is None else (("retry-after", retry_after_s),)
    if dialect is Dialect.GEMINI:
        body = gemini.error(status, message, code, retry_after_s)
        return whole([body] if in_array else body, status=status)
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        body = anthropic_messages.error(status, message, code)
        return whole(body, status=status, headers=(("request-id", "req_demo"), *wait))
    body = openai_chat.error(status, message, code)
    return whole(body, status=status, headers=(("x-request-id", "req_demo"), *wait))


def error_event(dialect: Dialect, *, in_array: bool = False, is_first: bool = False) -> bytes:
    """An overload in the middle of a stream; nothing follows it. `is_first`: nothing came before it."""
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return anthropic_messages.error_event(529, "Overloaded")
    if dialect is Dialect.GEMINI:
        if in_array:
            return gemini.array_error(503, _MESSAGES[503], is_first=is_first)
        return gemini.error_event(503, _MESSAGES[503])
    if dialect is Dialect.OPENAI_RESPONSES:
        return openai_responses.error_event(503, _MESSAGES[503])
    return openai_chat.error_event(503, _MESSAGES[503])


def told(faults: Faults, dialect: Dialect, here: str, *, in_array: bool = False) -> Reply | None:
    """The answer that a fault puts in place of the real one. `here` is the provider's own URL."""
    if Kind.STATUS in faults:
        status = faults.number(Kind.STATUS)
        wait = _RETRY_AFTER_S if status == 429 else None
        if dialect is Dialect.GEMINI and (asked := faults.header("retry-after")) is not None:
            # this dialect has the wait in its body
            wait = asked or None
        code = faults.text(Kind.STATUS) or None
        return error(dialect, status, code=code, retry_after_s=wait, in_array=in_array)
    if Kind.CLOUDFLARE in faults:
        return cloudflare.error(faults.number(Kind.CLOUDFLARE))
    if Kind.REDIRECT in faults:
        target = faults.text(Kind.REDIRECT) or f"{here}/echo/redirected"
        return Reply(status=302, headers=(("location", target),), length=0)
    return None
