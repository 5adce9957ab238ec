"""Errors of upstreams, in the shapes in which they come, and as each client is told of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmitm.exchange import Dialect, Headers
from llmitm.translate.failures import (
    KINDS,
    failure_of,
    masked,
    of_our_credential,
    read_failure,
    retry_after_s,
    write_failure,
    write_failure_event,
)
from llmitm.translate.neutral import Failure

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
JSON: Headers = ((b"content-type", b"application/json"),)
NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z
RPC = "type.googleapis.com/google.rpc"


def google(status: int, word: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


OPENAI_QUOTA = {
    "error": {"message": "M", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
}
OPENAI_PARAM = {
    "error": {"message": "M", "type": "invalid_request_error", "param": "input[0]", "code": "invalid_value"}
}
ANTHROPIC_SPEND = {
    "type": "error",
    "error": {
        "type": "rate_limit_error",
        "message": "M",
        "details": {"error_code": "enforced_spend_limit_reached"},
    },
}
TOO_LONG = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long"}}
MISTRAL = {"object": "error", "message": "M", "type": "rate_limited", "param": None, "code": "1300"}
FASTAPI = {
    "detail": [{"loc": ["body", "messages", 0], "msg": "Field required"}, {"loc": ["body"], "msg": "N"}]
}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            OPENAI_PARAM,
            Failure(
                status=400,
                kind="invalid_request",
                code="invalid_value",
                param="input[0]",
                type="invalid_request_error",
                message="M",
            ),
        ),
        (
            429,
            OPENAI_QUOTA,
            Failure(
                status=429, kind="billing", code="insufficient_quota", type="insufficient_quota", message="M"
            ),
        ),
        (
            429,
            ANTHROPIC_SPEND,
            Failure(
                status=429,
                kind="billing",
                code="enforced_spend_limit_reached",
                type="rate_limit_error",
                message="M",
            ),
        ),
        (
            529,
            {"type": "error", "error": {"type": "overloaded_error", "message": "M"}},
            Failure(status=529, kind="overloaded", type="overloaded_error", message="M"),
        ),
        (
            400,
            [
                google(
                    400, "INVALID_ARGUMENT", "M", {"@type": f"{RPC}.ErrorInfo", "reason": "API_KEY_INVALID"}
                )
            ],
            Failure(status=401, kind="auth", code="API_KEY_INVALID", type="INVALID_ARGUMENT", message="M"),
        ),
        (
            429,
            google(429, "RESOURCE_EXHAUSTED", "M", {"@type": f"{RPC}.RetryInfo", "retryDelay": "34.07s"}),
            Failure(
                status=429, kind="rate_limit", type="RESOURCE_EXHAUSTED", message="M", retry_after_s=34.07
            ),
        ),
        (
            503,
            google(503, "UNAVAILABLE", "M"),
            Failure(status=503, kind="overloaded", type="UNAVAILABLE", message="M"),
        ),
        (
            503,
            {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
            Failure(status=503, kind="overloaded", type="unavailable_error", message="Loading model"),
        ),
        (503, {"error": "M"}, Failure(status=503, kind="unavailable", message="M")),
        (429, MISTRAL, Failure(status=429, kind="rate_limit", code="1300", type="rate_limited", message="M")),
        (
            429,
            {"error": {"code": 1113, "message": "M"}},
            Failure(status=429, kind="billing", code="1113", message="M"),
        ),
        (404, {"error": {"code": "404", "message": "M"}}, Failure(status=404, kind="not_found", message="M")),
        (
            401,
            {"error": "invalid_grant", "error_description": "M"},
            Failure(status=401, kind="auth", code="invalid_grant", message="M"),
        ),
        (
            422,
            FASTAPI,
            Failure(status=422, kind="unprocessable", message="body.messages.0: Field required; body: N"),
        ),
        (404, {"detail": "Not Found"}, Failure(status=404, kind="not_found", message="Not Found")),
        (
            400,
            {"success": False, "errors": [{"code": 7003, "message": "M"}, {"message": "N"}]},
            Failure(status=400, kind="invalid_request", code="7003", message="M; N"),
        ),
        (403, {"message": "M"}, Failure(status=403, kind="permission", message="M")),
        (400, {"detail": ["M", "N"]}, Failure(status=400, kind="invalid_request", message="M; N")),
        (
            400,
            {"error": {"message": "M", "code": True}},
            Failure(status=400, kind="invalid_request", message="M"),
        ),
        (400, "M", Failure(status=400, kind="invalid_request", message="M")),
        (
            400,
            TOO_LONG,
            Failure(
                status=400,
                kind="context_too_long",
                type="invalid_request_error",
                message="prompt is too long",
            ),
        ),
        (
            302,
            {},
            Failure(
                status=502, kind="bad_gateway", message="upstream answered 302 with application/json: {}"
            ),
        ),
        (524, {"error": {"message": ["a", 1]}}, Failure(status=524, kind="bad_gateway", message='["a",1]')),
    ],
)
def test_every_shape_is_read(status: int, body: Any, expected: Failure) -> None:
    assert read_failure(status, JSON, b"\n " + orjson.dumps(body)) == expected


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            b"text/html; charset=utf-8",
            b"<html><head><title>502\n Bad Gateway</title><body>secret",
            "upstream answered 502 with text/html: 502 Bad Gateway",
        ),
        (b"application/json", b"<!DOCTYPE html><p>Oops", "upstream answered 502 with application/json"),
        (
            b"text/plain",
            b"no healthy\nupstream",
            "upstream answered 502 with text/plain: no healthy upstream",
        ),
        (b"text/plain", b"x" * 1000, "upstream answered 502 with text/plain: " + "x" * 300),
        (b"", b"", "upstream answered 502 with no body"),
        (b"application/octet-stream", b"\x00\x01\x02", "upstream answered 502 with application/octet-stream"),
        (b"text/event-stream", b'event: error\ndata: {"error":{"message":"M"}}\n\n', "M"),
        (b"text/event-stream", b"data: {x\n\n", "upstream answered 502 with text/event-stream: data: {x"),
        (b"application/json", b'{"error":{}}', 'upstream answered 502 with application/json: {"error":{}}'),
        (
            b"application/json",
            b'{"error":' + b"[" * 5000 + b"]" * 5000 + b"}",
            'upstream answered 502 with application/json: {"error":' + "[" * 291,
        ),
    ],
)
def test_what_is_no_json_is_told_in_short(kind: bytes, body: bytes, message: str) -> None:
    failure = read_failure(502, ((b"Content-Type", kind),) if kind else (), body)
    assert (failure.message, failure.kind) == (message, "bad_gateway")


@pytest.mark.parametrize(
    ("value", "status", "kind"),
    [
        ({"error": {"message": "M", "code": 402}}, 402, "billing"),
        ({"error": {"message": "M", "code": "insufficient_quota"}}, 402, "billing"),
        ({"error": {"message": "M"}}, 502, "bad_gateway"),
        ({"error": {"message": "M", "type": "server_error", "code": 1234}}, 502, "bad_gateway"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "M"}}, 529, "overloaded"),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "M"}}, 429, "rate_limit"),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "M", "param": None}, 429, "rate_limit"),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "M"}}},
            502,
            "bad_gateway",
        ),
        ({"base_resp": {"status_code": 1008, "status_msg": "M"}}, 502, "bad_gateway"),
        ([{"error": {"message": "M", "code": 503, "status": "UNAVAILABLE"}}], 503, "overloaded"),
    ],
)
def test_errors_inside_good_answers_get_a_status(value: Any, status: int, kind: str) -> None:
    failure = failure_of(value, 200)
    assert failure is not None
    assert (failure.status, failure.kind, failure.message) == (status, kind, "M")


def test_an_error_without_a_message_is_one() -> None:
    failure = failure_of({"error": {"code": "overloaded_error"}}, 200)
    assert failure is not None
    assert failure.message == "The provider told of an error and gave no message."


@pytest.mark.parametrize(
    "value", [None, {}, [], "x", 1, {"error": None}, {"error": {}}, {"message": "hi"}, {"detail": "x"}, [[1]]]
)
def test_what_tells_of_no_error_is_none(value: Any) -> None:
    assert failure_of(value, 200) is None


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (503, {"Retry-After": "2.5"}, 2.5),
        (429, {"retry-after": "0"}, 0),
        (429, {"retry-after": "-5"}, 0),
        (429, {"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60),
        (429, {"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "9" * 400}, None),
        (429, {"retry-after": "nan"}, None),
        (429, {"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        (503, {"x-ratelimit-reset-requests": "120ms"}, None),
        (
            429,
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1h2m3.5s",
                "x-ratelimit-remaining-tokens": "7",
                "x-ratelimit-reset-tokens": "9h",
            },
            3723.5,
        ),
        (429, {"x-ratelimit-reset-requests": "soon"}, None),
        (429, {"x-ratelimit-reset": "1800000012000"}, 12),
        (
            429,
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
                "anthropic-ratelimit-tokens-remaining": "5",
                "anthropic-ratelimit-tokens-reset": "2027-01-15T09:00:00Z",
            },
            30,
        ),
        (
            429,
            {
                "anthropic-ratelimit-tokens-remaining": "5",
                "anthropic-ratelimit-tokens-reset": "2027-01-15T09:00:00Z",
            },
            None,
        ),
        (429, {}, None),
    ],
)
def test_waits_are_read_in_every_form(status: int, headers: dict[str, str], wait: float | None) -> None:
    fields = tuple((name.encode(), value.encode()) for name, value in headers.items())
    got = retry_after_s(status, fields, None, now_s=NOW_S)
    assert got == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(("delay", "wait"), [("34.07s", 34.07), ("soon", None), ("", None), (7, None)])
def test_googles_waits_stand_in_the_body(delay: Any, wait: float | None) -> None:
    body = google(429, "RESOURCE_EXHAUSTED", "M", {"@type": f"{RPC}.RetryInfo", "retryDelay": delay})
    assert retry_after_s(429, (), body) == wait


def test_dates_say_nothing_to_who_has_no_clock() -> None:
    assert retry_after_s(429, ((b"retry-after", b"Fri, 15 Jan 2027 08:01:00 GMT"),), None) is None


@pytest.mark.parametrize(
    ("dialect", "failure", "status", "error"),
    [
        (
            CHAT,
            Failure(status=529, kind="overloaded", message="M"),
            503,
            {"message": "M", "type": "server_error", "param": None, "code": "overloaded"},
        ),
        (
            MESSAGES,
            Failure(status=503, kind="overloaded", message="M"),
            529,
            {"type": "overloaded_error", "message": "M"},
        ),
        (
            MESSAGES,
            Failure(status=503, kind="unavailable", message="M"),
            503,
            {"type": "overloaded_error", "message": "M"},
        ),
        (
            GEMINI,
            Failure(status=529, kind="overloaded", message="M"),
            503,
            {"code": 503, "message": "M", "status": "UNAVAILABLE"},
        ),
        (
            MESSAGES,
            Failure(status=429, kind="billing", message="M"),
            402,
            {"type": "billing_error", "message": "M"},
        ),
        (
            RESPONSES,
            Failure(status=402, kind="billing", code="credit_balance_exhausted", message="M"),
            429,
            {"message": "M", "type": "insufficient_quota", "param": None, "code": "credit_balance_exhausted"},
        ),
        (
            CHAT,
            Failure(status=401, kind="auth", code="API_KEY_INVALID", message="M"),
            401,
            {"message": "M", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
        ),
        (
            CHAT,
            Failure(status=400, kind="invalid_request", param="a[0]", message="M"),
            400,
            {"message": "M", "type": "invalid_request_error", "param": "a[0]", "code": None},
        ),
        (
            CHAT,
            Failure(status=429, kind="rate_limit", code="1300", message="M"),
            429,
            {"message": "M", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"},
        ),
        (
            CHAT,
            Failure(status=404, message="M"),
            404,
            {"message": "M", "type": "invalid_request_error", "param": None, "code": "model_not_found"},
        ),
        (
            CHAT,
            Failure(status=418, kind="martian", message="M"),
            418,
            {"message": "M", "type": "invalid_request_error", "param": None, "code": None},
        ),
        (
            GEMINI,
            Failure(status=502, kind="bad_gateway", message="M"),
            503,
            {"code": 503, "message": "M", "status": "UNAVAILABLE"},
        ),
    ],
)
def test_each_client_is_told_in_its_own_words(
    dialect: Dialect, failure: Failure, status: int, error: dict[str, Any]
) -> None:
    got, body, headers = write_failure(dialect, failure, "")
    assert (got, orjson.loads(body)["error"], headers) == (status, error, ())


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_kind_is_read_again_as_it_was_told(dialect: Dialect) -> None:
    """What a gateway behind a gateway tells is the same error."""
    vague = {
        "context_too_long",
        "unavailable",
        "bad_gateway",
        "cancelled",
        "timeout_request",
        "unprocessable",
    }
    for name, kind in KINDS.items():
        told = Failure(status=kind.status, kind=name, message="M", retry_after_s=1.2)
        status, body, headers = write_failure(dialect, told, "req_1")
        again = read_failure(status, headers, body)
        assert again.retry_after_s == 2
        assert again.message == "M"
        if name not in vague and (name, dialect) not in {("overloaded", RESPONSES), ("billing", GEMINI)}:
            assert again.kind == name


def test_google_is_told_the_wait_in_the_body_too() -> None:
    _, body, headers = write_failure(
        GEMINI, Failure(status=429, kind="rate_limit", message="M", retry_after_s=34.07), ""
    )
    assert headers == ((b"retry-after", b"35"),)
    assert orjson.loads(body)["error"]["details"] == [{"@type": f"{RPC}.RetryInfo", "retryDelay": "35s"}]


def test_events_tell_the_same_as_bodies() -> None:
    failure = Failure(status=429, kind="rate_limit", message="M", param="p")
    for dialect in (CHAT, MESSAGES, GEMINI):
        body = write_failure(dialect, failure, "r")[1]
        assert b"data: " + body + b"\n\n" in write_failure_event(dialect, failure, "r")
    event = write_failure_event(RESPONSES, failure, "r", sequence_number=3)
    assert orjson.loads(event.partition(b"data: ")[2]) == {
        "type": "error",
        "code": "rate_limit_exceeded",
        "message": "M",
        "param": "p",
        "sequence_number": 3,
        "error": orjson.loads(write_failure(RESPONSES, failure, "r")[1])["error"],
    }


def test_the_gateways_own_credential_is_never_the_clients_fault() -> None:
    for kind, code in (
        ("auth", "upstream_auth"),
        ("permission", "upstream_auth"),
        ("billing", "upstream_billing"),
    ):
        told = of_our_credential(Failure(status=KINDS[kind].status, kind=kind, message="your key", param="x"))
        assert (told.status, told.kind, told.code, told.param) == (502, "bad_gateway", code, None)
        assert "your" not in told.message
    other = Failure(status=429, kind="rate_limit", message="M")
    assert of_our_credential(other) is other


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Incorrect API key provided: sk-proj-abcdefghijklmnop. You can",
            "Incorrect API key provided: ***. You can",
        ),
        ("Incorrect API key provided: sk-inval****************-key.", "Incorrect API key provided: ***."),
        ("key AIzaSyA1234567890abc is bad", "key *** is bad"),
        ("Authorization: Bearer abc123def456ghi7", "Authorization: Bearer ***"),
        ("at https://user:pass@host.example/x?key=12345&a=b", "at https://***@host.example/x?key=***&a=b"),
        ("token eyJhbGciOiJI.eyJzdWIi.c2ln end", "token *** end"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("x-api-key: header is required", "x-api-key: header is required"),
        ("Bearer authentication is required", "Bearer authentication is required"),
        ("maximum token length exceeded; ask-me-anything", "maximum token length exceeded; ask-me-anything"),
    ],
)
def test_what_is_shaped_like_a_key_is_masked_and_nothing_else(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert read_failure(400, JSON, orjson.dumps({"error": {"message": text}})).message == expected
    assert read_failure(400, (), text.encode()).message.endswith(expected)


def test_long_messages_are_cut_after_they_are_masked() -> None:
    text = "x " * 1995 + "sk-" + "a1" * 40
    assert read_failure(400, JSON, orjson.dumps({"error": {"message": text}})).message == "x " * 1995 + "***"


@pytest.mark.parametrize("depth", [200, 900, 3_000, 100_000])
@pytest.mark.parametrize("name", ["detail", "error", "response", "errors", "message"])
def test_no_depth_breaks_the_reading(name: str, depth: int) -> None:
    body = f'{{"{name}":'.encode() * depth + b'"\\ud800"' + b"}" * depth
    assert read_failure(500, JSON, body).status == 500
    assert read_failure(500, JSON, f'{{"{name}":['.encode() * depth + b"]}" * depth).status == 500
