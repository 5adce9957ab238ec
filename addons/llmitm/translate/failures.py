"""Errors in each dialect: as a body, and as an event of a stream that has begun. Pure.

Shapes and type names are those that the official SDKs read; the type follows the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect

MOST_MESSAGE_SIGNS: Final = 4_000

_OPENAI_TYPES: Final[Mapping[int, str]] = {
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
    501: "invalid_request_error",
}
"""Other statuses below 500 are `invalid_request_error`, 401 among them; those above, `server_error`."""
_ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    501: "invalid_request_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Other statuses below 500 are `invalid_request_error`; those above, `api_error`."""
_GEMINI_STATUSES: Final[Mapping[int, str]] = {
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
"""Other statuses below 500 are `INVALID_ARGUMENT`; those above, `INTERNAL`."""

_ANTHROPIC_STATUSES: Final[Mapping[int, int]] = {503: 529}
_OPENAI_STATUSES: Final[Mapping[int, int]] = {402: 429, 529: 503}
_GOOGLE_STATUSES: Final[Mapping[int, int]] = {402: 429, 502: 503, 529: 503}


def status_for(dialect: Dialect, status: int, *, is_overload: bool = False) -> int:
    """The status as this dialect's API would answer it, for errors that cross dialects.

    `is_overload`: the upstream said that it is overloaded; only then is a 503 a 529 to Anthropic's clients.
    """
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return _ANTHROPIC_STATUSES.get(status, status) if is_overload else status
        case Dialect.GEMINI:
            return _GOOGLE_STATUSES.get(status, status)
        case _:
            return _OPENAI_STATUSES.get(status, status)


def write_error(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> bytes:
    """The body of an error answer.

    `code` is our own stable word for what happened; dialects without a place for it leave it out. Of the
    message, the first 4,000 signs are told. `request_id` may be empty.
    """
    return orjson.dumps(_body(dialect, status, code, _plain(message), request_id))


def _plain(message: str) -> str:
    """The message as JSON can hold it: halves of surrogate pairs, as broken upstreams send, are replaced."""
    return message[:MOST_MESSAGE_SIGNS].encode("utf-8", "replace").decode()


def _body(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> dict[str, Any]:
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            kind = _of(_ANTHROPIC_TYPES, status, "invalid_request_error", "api_error")
            body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
            return body | ({"request_id": request_id} if request_id else {})
        case Dialect.GEMINI:
            word = _of(_GEMINI_STATUSES, status, "INVALID_ARGUMENT", "INTERNAL")
            return {"error": {"code": status, "message": message, "status": word}}
        case _:
            kind = _of(_OPENAI_TYPES, status, "invalid_request_error", "server_error")
            return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _of(table: Mapping[int, str], status: int, client: str, server: str) -> str:
    return table.get(status) or (client if 400 <= status < 500 else server)


def write_error_event(
    dialect: Dialect, status: int, code: str, message: str, request_id: str, *, sequence_number: int = 0
) -> bytes:
    """The event with which a stream that has begun tells that it broke: the last one, with no terminator
    after it. It ends with a blank line.

    `sequence_number` is the number of events that came before it; only OpenAI's responses count them.
    """
    message = _plain(message)
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            body = _body(dialect, status, code, message, request_id)
            return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
        case Dialect.OPENAI_RESPONSES:
            event = {
                "type": "error",
                "code": code,
                "message": message,
                "param": None,
                "sequence_number": sequence_number,
            }
            return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"
        case _:
            return b"data: " + orjson.dumps(_body(dialect, status, code, message, request_id)) + b"\n\n"


def reason(status: int) -> bytes:
    """The reason phrase of a status, empty where there is none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
