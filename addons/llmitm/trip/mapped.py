"""What an upstream's error means, and what a client of the same dialect is told of it.

Errors of Cloudflare AI Gateway, and of providers that refuse a key of ours, are put into words for the
client. All else passes untouched: a provider's own error body is what its SDK understands best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from llmitm.errors import UpstreamFailed
from llmitm.exchange import Attempt, Dialect, Headers, ResponseHead
from llmitm.record.entry import Entry
from llmitm.route.verdict import Ending, of_failure, of_kind
from llmitm.route.whose import Fault, Kind, fault_of
from llmitm.translate.failures import (
    kind_of_status,
    of_our_credential,
    read_failure,
    reason,
    write_error,
    write_failure,
)
from llmitm.translate.neutral import Failure
from llmitm.translate.stream import TRUNCATED
from llmitm.trip.missed import Missed

ERROR_LIMIT_BYTES: Final = 1_048_576
NOT_ACCEPTED: Final = "The provider does not accept the gateway's credential {}."

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


_ENDING: Final[Mapping[Kind, Ending]] = {
    Kind.TOKEN: Ending.AUTH,
    Kind.RATE_LIMIT: Ending.RATE_LIMIT,
    Kind.QUOTA: Ending.BILLING,
    Kind.UPSTREAM: Ending.SERVER,
}
"""Of Cloudflare's own errors; all others are the client's or the operator's to mend."""


def missed(
    head: ResponseHead, body: bytes, attempt: Attempt, dialect: Dialect, request_id: str, now_s: float
) -> Missed:
    """What an error answer means for the exchange, and what the client is told of it at last.

    The body is uncompressed; `now_s` is the time since 1970.
    """
    has_key = attempt.credential is not None
    fault = fault_of(head.status, body, head.headers, has_key=has_key)
    failure = read_failure(head.status, head.headers, body, now_s=now_s)
    if not fault.is_cloudflares:
        ending = of_kind(failure.kind, failure.status, has_credential=has_key)
    elif fault.kind is Kind.UNKNOWN:
        ending = of_kind(kind_of_status(head.status), head.status, has_credential=True)
    else:
        ending = _ENDING.get(fault.kind, Ending.CLIENT)
    return Missed(
        ending,
        _ours(failure, attempt),
        told(head, body, attempt, dialect, request_id),
        said=f"{head.status} {fault.message or failure.message}",
        is_gateways=fault.is_cloudflares and fault.rests == "gateway",
    )


def failed(
    failure: Failure, attempt: Attempt, dialect: Dialect, request_id: str, headers: Headers = ()
) -> Missed:
    """The same of an error that has been read, or that came with a good status."""
    mine = _ours(failure, attempt)
    status, body, more = write_failure(dialect, mine, request_id)
    answer = ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), *headers, *more),
        whole=body,
    )
    return Missed(ending_of(failure, attempt), mine, answer, said=f"{failure.status} {failure.message}")


def ending_of(failure: Failure, attempt: Attempt) -> Ending:
    """How an attempt ended that brought this error."""
    return of_kind(failure.kind, failure.status, has_credential=attempt.credential is not None)


def told_within(failure: Failure, kept: Entry, attempt: Attempt) -> None:
    """Takes down an error that stood in an answer of which the client had been told something."""
    kept.error = kept.error or failure.message
    kept.code = kept.code or failure.code or failure.kind
    kept.is_cut = kept.is_cut or failure.code == TRUNCATED
    if (noted := kept.of(attempt)) is not None:
        noted.error = noted.error or failure.message
        noted.ending = "truncated" if kept.is_cut else ending_of(failure, attempt)


def _ours(failure: Failure, attempt: Attempt) -> Failure:
    """What the client is told where the upstream complains of our credential, not of the client's."""
    if attempt.credential is None:
        return failure
    told = of_our_credential(failure)
    if told.code == "upstream_auth":
        return replace(told, message=NOT_ACCEPTED.format(attempt.credential))
    return told


def broken(error: UpstreamFailed, dialect: Dialect, request_id: str, headers: Headers = ()) -> Missed:
    """The same of an attempt that brought no answer."""
    failure = failure_of(error)
    status, body, _ = write_failure(dialect, failure, request_id)
    told_id = () if headers else ((b"x-request-id", request_id.encode()),)
    answer = ResponseHead(
        status=status,
        reason=reason(status),
        headers=((b"content-type", b"application/json"), *told_id, *headers),
        whole=body,
    )
    return Missed(of_failure(error.failure), failure, answer, said=str(error))


def failure_of(error: UpstreamFailed) -> Failure:
    """An attempt without an answer, or whose answer broke off, as an error of the upstream's."""
    return Failure(
        status=error.status,
        kind="timeout" if error.status == 504 else "bad_gateway",
        code=error.failure.value,
        message=error.message,
    )


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
        return 502, NOT_ACCEPTED.format(attempt.credential)
    return status, None
