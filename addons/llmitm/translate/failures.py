"""Errors of upstreams, read in whatever shape they come, and errors in each dialect. Pure.

    an upstream's answer -> read_failure -> Failure -> write_failure -> what the client's SDK expects

Shapes and type names are those that the official SDKs read. `KINDS` says how each kind is spelled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect, Headers
from llmitm.translate import jsontext
from llmitm.translate.failure_shapes import Found, event_data, found, page_message
from llmitm.translate.neutral import JSON, Failure, UpstreamError
from llmitm.translate.retry_times import retry_after_s as retry_after_s

MOST_MESSAGE_SIGNS: Final = 4_000
NO_THREADS: Final = "thread_unsupported_request"
"""Anthropic's code, at which its clients go on without a thread: with the whole conversation each time."""
_BOOLS: Final = {True: b"true", False: b"false"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What an error means, and each dialect's word for it."""

    status: int
    openai: str
    code: str | None
    """OpenAI's, where the upstream named none."""
    anthropic: str
    google: str


_INVALID: Final = "invalid_request_error"

KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request": Kind(400, _INVALID, None, _INVALID, "INVALID_ARGUMENT"),
    "context_too_long": Kind(400, _INVALID, "context_length_exceeded", _INVALID, "INVALID_ARGUMENT"),
    "auth": Kind(401, _INVALID, "invalid_api_key", "authentication_error", "UNAUTHENTICATED"),
    "billing": Kind(402, "insufficient_quota", "insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED"),
    "permission": Kind(403, "permission_error", None, "permission_error", "PERMISSION_DENIED"),
    "not_found": Kind(404, _INVALID, "model_not_found", "not_found_error", "NOT_FOUND"),
    "timeout_request": Kind(408, _INVALID, None, _INVALID, "DEADLINE_EXCEEDED"),
    "conflict": Kind(409, _INVALID, None, "conflict_error", "ABORTED"),
    "too_large": Kind(413, _INVALID, "request_too_large", "request_too_large", "INVALID_ARGUMENT"),
    "unprocessable": Kind(422, _INVALID, None, _INVALID, "INVALID_ARGUMENT"),
    "rate_limit": Kind(
        429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"
    ),
    "cancelled": Kind(499, _INVALID, None, _INVALID, "CANCELLED"),
    "server": Kind(500, "server_error", None, "api_error", "INTERNAL"),
    "not_implemented": Kind(501, _INVALID, "unsupported", _INVALID, "UNIMPLEMENTED"),
    "bad_gateway": Kind(502, "server_error", None, "api_error", "UNAVAILABLE"),
    "unavailable": Kind(503, "server_error", None, "overloaded_error", "UNAVAILABLE"),
    "timeout": Kind(504, "server_error", "upstream_timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    "overloaded": Kind(529, "server_error", "overloaded", "overloaded_error", "UNAVAILABLE"),
}
"""`unavailable` is a 503 of which nobody said that it was for overload."""

_KIND_OF_STATUS: Final[Mapping[int, str]] = {
    kind.status: name for name, kind in KINDS.items() if name != "context_too_long"
} | dict.fromkeys((*range(520, 529), 530), "bad_gateway")
"""Other statuses below 500 are `invalid_request`; those above, `server`."""

_KIND_OF_WORD: Final[Mapping[str, str]] = {
    word: kind
    for kind, words in {
        "invalid_request": "invalid_request_error invalid_argument failed_precondition out_of_range",
        "context_too_long": "context_length_exceeded model_context_window_exceeded",
        "auth": "authentication_error invalid_api_key api_key_invalid unauthenticated invalid_authentication",
        "billing": "insufficient_quota credit_balance_exhausted billing_error billing_not_active"
        " enforced_spend_limit_reached contract_spend_limit_reached insufficient_balance",
        "permission": "permission_error permission_denied",
        "not_found": "not_found_error model_not_found not_found",
        "conflict": "conflict_error aborted already_exists",
        "too_large": "request_too_large",
        "rate_limit": "rate_limit_error rate_limit_exceeded rate_limited resource_exhausted slow_down"
        " throttlingexception too_many_requests",
        "cancelled": "cancelled",
        "server": "api_error server_error internal internal_error internal_server_error",
        "not_implemented": "unimplemented",
        "overloaded": "overloaded_error overloaded server_is_overloaded unavailable"
        " service_unavailable_error unavailable_error",
        "timeout": "timeout_error deadline_exceeded",
    }.items()
    for word in words.split()
}
_KIND_OF_CODE: Final[Mapping[tuple[str, int], str]] = {
    ("1113", 429): "billing",
    ("1261", 400): "context_too_long",
}
"""z.ai's codes, each with the status under which it comes."""
_OVERRULED: Final[Mapping[str, Collection[int]]] = {
    "auth": (400, 401),
    "billing": range(400, 500),
    "context_too_long": (400, 413, 422),
    "overloaded": range(500, 600),
}
"""Statuses that mean less than these words do."""
_TOO_LONG: Final = re.compile(
    r"prompt is too long|input is too long|maximum context length|input token count.{0,80}exceeds"
    r"|exceeds? the.{0,40}context (?:length|window|size)|context (?:length|window) (?:is )?exceeded"
    r"|exceeds? the available context|context window of this model",
    re.IGNORECASE | re.DOTALL,
)
_WORD: Final = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9_.-]*")

_OPENAI_STATUSES: Final[Mapping[int, int]] = {402: 429, 529: 503}
_GOOGLE_STATUSES: Final[Mapping[int, int]] = {402: 429, 502: 503, 529: 503}


def kind_of_status(status: int) -> str:
    return _KIND_OF_STATUS.get(status) or ("invalid_request" if 400 <= status < 500 else "server")


def status_for(dialect: Dialect, status: int, *, is_overload: bool = False) -> int:
    """The status as this dialect's API would answer it, for errors that cross dialects.

    `is_overload`: the upstream said that it is overloaded; only then is a 503 a 529 to Anthropic's clients.
    """
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return 529 if is_overload and status == 503 else status
        case Dialect.GEMINI:
            return _GOOGLE_STATUSES.get(status, status)
        case _:
            return _OPENAI_STATUSES.get(status, status)


# ---- writing


def write_error(
    dialect: Dialect, status: int, code: str, message: str, request_id: str, param: str | None = None
) -> bytes:
    """The body of an error answer.

    `code` is our own stable word for what happened, `param` the place in the client's request; dialects
    without a place for them leave them out. Of the message, the first 4,000 signs are told. `request_id`
    may be empty.
    """
    told = _Told(status, _kind_of_ours(status, code), code, message, param)
    return orjson.dumps(_body(dialect, told, request_id))


def write_error_event(
    dialect: Dialect, status: int, code: str, message: str, request_id: str, *, sequence_number: int = 0
) -> bytes:
    """The event with which a stream that has begun tells that it broke: the last one, with no terminator
    after it. It ends with a blank line.

    `sequence_number` is the number of events that came before it; only OpenAI's responses count them.
    """
    told = _Told(status, _kind_of_ours(status, code), code, message)
    return _event(dialect, told, request_id, sequence_number)


def _kind_of_ours(status: int, code: str) -> Kind:
    """A budget of ours that is spent is told in each dialect's words for an account out of money."""
    return KINDS["billing" if code == "budget_exceeded" else kind_of_status(status)]


def write_failure(dialect: Dialect, failure: Failure, request_id: str) -> tuple[int, bytes, Headers]:
    """The answer that tells this client of an upstream's error: status, body, and when to ask again."""
    told = _told(dialect, failure)
    body = _body(dialect, told, request_id)
    again = () if failure.should_retry is None else ((b"x-should-retry", _BOOLS[failure.should_retry]),)
    if failure.retry_after_s is None:
        return told.status, orjson.dumps(body), again
    seconds = math.ceil(failure.retry_after_s)
    if dialect is Dialect.GEMINI:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        body["error"]["details"] = [{"@type": kind, "retryDelay": f"{seconds}s"}]
    return told.status, orjson.dumps(body), ((b"retry-after", b"%d" % seconds), *again)


def write_failure_event(
    dialect: Dialect, failure: Failure, request_id: str, *, sequence_number: int = 0
) -> bytes:
    """The same within a stream that has begun; see `write_error_event`."""
    return _event(dialect, _told(dialect, failure), request_id, sequence_number)


def of_our_credential(failure: Failure) -> Failure:
    """As a client is told of it where the credential is the gateway's: its own key is not to blame."""
    match failure.kind:
        case "auth" | "permission":
            code, message = "upstream_auth", "The provider did not accept the gateway's credential."
        case "billing":
            code, message = "upstream_billing", "The gateway's account with the provider is out of money."
        case _:
            return failure
    return replace(
        failure,
        status=502,
        kind="bad_gateway",
        code=code,
        message=message,
        param=None,
        should_retry=None,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """An error on its way to a client."""

    status: int
    kind: Kind
    code: str | None
    message: str
    param: str | None = None


def _told(dialect: Dialect, failure: Failure) -> _Told:
    name = failure.kind
    if name not in KINDS or (name == "server" and failure.status != 500):
        name = kind_of_status(failure.status)
    kind = KINDS[name]
    status = kind.status if name in ("billing", "overloaded") else failure.status
    status = status_for(dialect, status, is_overload=name == "overloaded")
    return _Told(status, kind, _code_for_openai(name, failure.code), failure.message, failure.param)


def _code_for_openai(name: str, code: str | None) -> str | None:
    """The upstream's own where it is a word as OpenAI's are; clients branch on some of ours."""
    usual = KINDS[name].code
    if code is None or name == "context_too_long":
        return usual
    return code if usual is None or _WORD.fullmatch(code) else usual


def _body(dialect: Dialect, told: _Told, request_id: str) -> dict[str, Any]:
    message = _plain(told.message)
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            error: dict[str, Any] = {"type": told.kind.anthropic, "message": message}
            if told.code == NO_THREADS:
                error["details"] = {"error_code": told.code, "unsupported": ["thread"]}
            body: dict[str, Any] = {"type": "error", "error": error}
            return body | ({"request_id": request_id} if request_id else {})
        case Dialect.GEMINI:
            return {"error": {"code": told.status, "message": message, "status": told.kind.google}}
        case _:
            param = None if told.param is None else _plain(told.param)
            code = None if told.code is None else _plain(told.code)
            return {"error": {"message": message, "type": told.kind.openai, "param": param, "code": code}}


def _event(dialect: Dialect, told: _Told, request_id: str, sequence_number: int) -> bytes:
    body = _body(dialect, told, request_id)
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
        case Dialect.OPENAI_RESPONSES:
            error = body["error"]
            event = {
                "type": "error",
                "code": error["code"] or error["type"],
                "message": error["message"],
                "param": error["param"],
                "sequence_number": sequence_number,
                "error": error,  # not documented, but sent: the official client raises on it alone
            }
            return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"
        case Dialect.GEMINI:
            return gemini_error_event(orjson.dumps(body))
        case _:
            return b"data: " + orjson.dumps(body) + b"\n\n"


def gemini_error_event(body: bytes) -> bytes:
    """Twice: as an event, and as the bare object that Google's own streams break off with. Its client for
    JavaScript passes over an event that is an error, and then takes the stream for a whole one.
    """
    return b"data: " + body + b"\n\n" + body + b"\n\n"


def apart(event: bytes) -> list[bytes]:
    """An error event in the pieces that are to be read one by one: Gemini's bare object comes alone."""
    at = event.find(b"\n\n{") + 2
    return [event[:at], event[at:]] if at > 1 else [event]


def _plain(text: str) -> str:
    """The text as JSON can hold it: halves of surrogate pairs, as broken upstreams send, are replaced."""
    return text[:MOST_MESSAGE_SIGNS].encode("utf-8", "replace").decode()


def reason(status: int) -> bytes:
    """The reason phrase of a status, empty where there is none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


# ---- reading


def no_reply(message: str) -> UpstreamError:
    """An answer that tells of success and is none."""
    return UpstreamError(Failure(status=502, kind="bad_gateway", code="malformed_reply", message=message))


_MOST_WORD_SIGNS: Final = 200
_SECRET: Final = re.compile(
    r"""
      (?P<before>\b(?i:bearer|basic)\s+)(?=[^\s"']*\d)[A-Za-z0-9._~+/=*-]{12,}
    | (?P<said>\b(?i:api[ _-]?key\s+(?:provided|supplied|given)):?\s+["'`]?)[^\s"'`]*[^\s"'`.,]
    | (?P<query>[?&](?i:key|api[-_]?key|access_token|token)=)[^&\s"'#]+
    | (?P<url>\b[a-z][a-z0-9+.-]{0,20}://)[^/\s@"']{1,500}@
    | \b(?:sk|pk|rk|gsk|xai|nvapi|hf|gh[opsu]|github_pat|r8|pplx|csk|fw|tgp|sess)[-_][A-Za-z0-9_*-]{10,}
    | \bAIza[A-Za-z0-9_*-]{10,}
    | \bya29\.[A-Za-z0-9_.-]{10,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?
    """,
    re.VERBOSE,
)


def masked(text: str) -> str:
    """The text with `***` for whatever is shaped like a key."""
    return _SECRET.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    if url := match["url"]:
        return f"{url}***@"
    return (match["before"] or match["said"] or match["query"] or "") + "***"


def read_failure(status: int, headers: Headers, body: bytes, *, now_s: float | None = None) -> Failure:
    """What an upstream's error answer says, whatever its content type. Never raises.

    The body is already decoded. `now_s` is the time since 1970, for dates in `retry-after`.
    """
    try:
        value = jsontext.loads_fast(body)
    except (ValueError, RecursionError):
        value = event_data(body)
    told = found(value, is_error=True) or Found()
    if not told.message:
        told = replace(told, message=page_message(status, headers, body))
    failure = _failure(told, status if 400 <= status <= 599 else 502)
    again = next((value for name, value in headers if name.lower() == b"x-should-retry"), b"")
    return replace(
        failure,
        retry_after_s=retry_after_s(status, headers, value, now_s=now_s),
        should_retry={word: is_so for is_so, word in _BOOLS.items()}.get(again.strip().lower()),
    )


def failure_of(value: JSON, status: int) -> Failure | None:
    """The error that a body or an event holds although its status says otherwise; None where it holds none.

    `status` counts where it is one of an error; else what the error says of itself does, else 502.
    """
    is_error = 400 <= status <= 599
    told = found(value, is_error=is_error)
    if told is None:
        return None
    if not told.message:
        told = replace(told, message="The provider told of an error and gave no message.")
    failure = _failure(told, status if is_error else told.status or _status_of_words(told))
    return replace(failure, retry_after_s=retry_after_s(status, (), value))


def _failure(told: Found, status: int) -> Failure:
    kind = _kind(told, status)
    return Failure(
        status=401 if kind == "auth" and status == 400 else status,
        message=_kept(told.message, MOST_MESSAGE_SIGNS) or "",
        kind=kind,
        code=_kept(told.code, _MOST_WORD_SIGNS),
        param=_kept(told.param, _MOST_WORD_SIGNS),
        type=_kept(told.type, _MOST_WORD_SIGNS),
    )


def _kept(text: str | None, most_signs: int) -> str | None:
    """Masked before it is cut: half a key is still half a key."""
    return None if text is None else masked(text[: 2 * most_signs])[:most_signs]


def _words(told: Found) -> Iterator[str]:
    """The kinds that its code and its type name."""
    for word in (told.code, told.type):
        kind = _KIND_OF_WORD.get(word.lower()) if word else None
        if kind is not None:
            yield kind


def _status_of_words(told: Found) -> int:
    kind = next(_words(told), "bad_gateway")
    return 502 if kind == "server" else KINDS[kind].status


def _kind(told: Found, status: int) -> str:
    """By the status, unless its words say what the status does not."""
    by_code = _KIND_OF_CODE.get((told.code or "", status))
    if by_code:
        return by_code
    for kind in _words(told):
        if status in _OVERRULED.get(kind, ()):
            return kind
    if status in _OVERRULED["context_too_long"] and _TOO_LONG.search(told.message[:MOST_MESSAGE_SIGNS]):
        return "context_too_long"
    return kind_of_status(status)
