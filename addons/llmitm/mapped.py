"""Errors of Cloudflare AI Gateway, and of providers that refuse a key of ours, in the client's dialect.

Everything else passes through untouched: a provider's own error body is what its SDK understands best.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from llmitm.exchange import Attempt, Dialect, ResponseHead
from llmitm.route.whose import Fault, Kind, fault_of
from llmitm.translate.failures import reason, write_error

ERROR_LIMIT_BYTES: Final = 1_048_576

_CODE: Final = {
    Kind.CONFIG: "gateway_config",
    Kind.TOKEN: "gateway_token",
    Kind.KEY: "provider_key",
    Kind.RATE_LIMIT: "rate_limited",
    Kind.QUOTA: "quota_spent",
    Kind.BLOCKED: "content_blocked",
    Kind.UPSTREAM: "upstream_failed",
    Kind.CLIENT: "invalid_request",
    Kind.UNKNOWN: "gateway_error",
}


async def mapped(
    steps: AsyncIterator[ResponseHead | bytes], attempt: Attempt, dialect: Dialect, request_id: str
) -> AsyncIterator[ResponseHead | bytes]:
    """The same steps, an error of Cloudflare's or about our credential put into words for the client."""
    async for step in steps:
        if not isinstance(step, ResponseHead) or step.status < 400:
            yield step
            continue
        body = bytearray(step.whole or b"")
        if step.whole is None:
            async for piece in steps:
                assert isinstance(piece, bytes)
                body += piece
                if len(body) > ERROR_LIMIT_BYTES:
                    break
        yield told(step, bytes(body), attempt, dialect, request_id)
        return


def told(
    head: ResponseHead, body: bytes, attempt: Attempt, dialect: Dialect, request_id: str
) -> ResponseHead:
    """What the client is told of an error answer."""
    fault = fault_of(head.status, body, head.headers, has_key=attempt.credential is not None)
    status, message = _status_and_sentence(head.status, fault, attempt)
    if message is None:
        return ResponseHead(status=head.status, reason=head.reason, headers=head.headers, whole=body)
    content = write_error(dialect, status, _CODE[fault.kind], message, request_id)
    gone = (b"content-type", b"content-length", b"content-encoding")
    kept = tuple(pair for pair in head.headers if pair[0].lower() not in gone)
    return ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), *kept),
        whole=content,
    )


def _status_and_sentence(status: int, fault: Fault, attempt: Attempt) -> tuple[int, str | None]:
    if fault.is_cloudflares:
        said = f"Cloudflare AI Gateway: {fault.message or 'error'} (code {fault.code})"
        is_our_token = any(name != b"x-api-key" for name, _ in attempt.credential_headers)
        if fault.kind is Kind.TOKEN and is_our_token:
            return 502, said + "; the token of this gateway in the configuration is not accepted."
        if fault.kind is Kind.UPSTREAM and status < 500:
            return 502, said  # a provider's failure dressed as the client's
        return status, said
    if status in (401, 403) and attempt.credential is not None:
        return 502, f"The provider does not accept the gateway's credential {attempt.credential}."
    return status, None
