"""Error answers of the door itself: for requests that never become an exchange.

mitmproxy answers those with an HTML page that names its version and addresses; a client of an LLM API
wants JSON in its own dialect.
"""

from __future__ import annotations

from typing import Final

from mitmproxy.proxy.layers.http import ErrorCode

from llmitm.accept.endpoints import dialect_of
from llmitm.exchange import Headers
from llmitm.translate.failures import write_error

_BY_CODE: Final = {
    ErrorCode.REQUEST_TOO_LARGE: (
        413,
        "request_too_large",
        "The request body is too large to be held whole ([server] body_limit_mb).",
    ),
    ErrorCode.REQUEST_VALIDATION_FAILED: (400, "invalid_request", "The request is not valid HTTP."),
    ErrorCode.GENERIC_CLIENT_ERROR: (400, "invalid_request", "The request is not valid HTTP."),
    ErrorCode.DESTINATION_UNKNOWN: (400, "invalid_request", "The request has no Host header."),
    ErrorCode.KILL: (502, "stopped", "The request was stopped by an operator."),
}
_OTHER: Final = (502, "bad_gateway", "The gateway could not complete this request.")


def told(code: ErrorCode) -> tuple[int, str, str]:
    """Status, code and sentence for what the proxy core calls `code`."""
    return _BY_CODE.get(code, _OTHER)


def body(status: int, code: str, message: str, target: bytes, headers: Headers) -> bytes:
    """The error as JSON in the dialect that `target` and `headers` speak."""
    return write_error(dialect_of(target.partition(b"?")[0], headers), status, code, message, "")


def http1(status: int, reason: bytes, content: bytes) -> bytes:
    """A whole HTTP/1 answer that ends its connection."""
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        % (status, reason, len(content))
    ) + content
