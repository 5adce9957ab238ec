"""Errors in each dialect: as a body, and as an event of a stream that has begun. Pure.

Shapes and type names are those that the official SDKs read; the type follows the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect

_OPENAI_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}
_ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_GEMINI_STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _fallback(status: int, client: str, server: str) -> str:
    return client if 400 <= status < 500 else server


def _openai(status: int, code: str, message: str) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(status) or _fallback(status, "invalid_request_error", "server_error")
    return {"message": message, "type": kind, "param": None, "code": code}


def write_error(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> bytes:
    """The body of an error answer.

    `code` is our own stable word for what happened; dialects without a place for it leave it out.
    `request_id` may be empty.
    """
    return orjson.dumps(_body(dialect, status, code, message, request_id))


def _body(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> dict[str, Any]:
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            kind = _ANTHROPIC_TYPES.get(status) or _fallback(status, "invalid_request_error", "api_error")
            body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
            return body | ({"request_id": request_id} if request_id else {})
        case Dialect.GEMINI:
            word = _GEMINI_STATUSES.get(status) or _fallback(status, "INVALID_ARGUMENT", "INTERNAL")
            return {"error": {"code": status, "message": message, "status": word}}
        case _:
            return {"error": _openai(status, code, message)}


def write_error_event(dialect: Dialect, status: int, code: str, message: str, request_id: str) -> bytes:
    """The event with which a stream that has begun tells that it broke. It ends with a blank line."""
    body = _body(dialect, status, code, message, request_id)
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
        case Dialect.OPENAI_RESPONSES:
            event = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
            return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"
        case _:
            return b"data: " + orjson.dumps(body) + b"\n\n"


def reason(status: int) -> bytes:
    """The reason phrase of a status, empty where there is none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
