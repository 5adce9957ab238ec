"""Error answers of the door itself: for requests that never become an exchange.

mitmproxy answers those with an HTML page that names its version and addresses; a client of an LLM API
wants JSON in its own dialect.
"""

from __future__ import annotations

from typing import Final, Protocol

from mitmproxy.proxy.layers.http import ErrorCode

from llmitm.accept import origins
from llmitm.accept.endpoints import dialect_of
from llmitm.exchange import Headers, ResponseHead
from llmitm.translate.failures import reason, write_error

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


class Pages(Protocol):
    """Who knows which pages of browsers may read an answer."""

    @property
    def cors_origins(self) -> tuple[str, ...]: ...


def answer(
    status: int, code: str, message: str, target: bytes, headers: Headers, pages: Pages
) -> ResponseHead:
    """The error as JSON in the dialect that the request's `target` and `headers` speak."""
    content = write_error(dialect_of(target.partition(b"?")[0], headers), status, code, message, "")
    head = ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))),
        whole=content,
    )
    crossing = origins.crossing(headers, pages.cors_origins)
    return head if crossing is None else crossing.told(head, is_ours=True)


def http1(head: ResponseHead) -> bytes:
    """A whole HTTP/1 answer that ends its connection."""
    lines = [b"HTTP/1.1 %d %s" % (head.status, head.reason)]
    lines += [name + b": " + value for name, value in (*head.headers, (b"connection", b"close"))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (head.whole or b"")


def fields_of(head: bytes) -> tuple[bytes, Headers]:
    """Target and fields of a head that is not to be trusted, as far as they can be made out."""
    first, *lines = head.split(b"\n")
    pairs = (line.partition(b":") for line in lines if b":" in line)
    fields = tuple((name.strip(), value.strip()) for name, _, value in pairs)
    return next(iter(first.split()[1:2]), b"/"), fields
