"""The official clients read our errors as they read those of their own API."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2  # the official clients bring it
import openai
import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.translate.failures import apart, reason, status_for, write_error, write_error_event

CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
JSON = {"content-type": "application/json", "x-request-id": "req_1", "request-id": "req_1"}
SSE = {"content-type": "text/event-stream"}
CHUNK = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
)
STARTED = (
    b"event: message_start\ndata: "
    b'{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m",'
    b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":0}}}\n\n'
)


def answering(status: int, headers: dict[str, str], body: bytes) -> httpx2.Client:
    return httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(status, headers=headers, content=body))
    )


def ask_openai(status: int, headers: dict[str, str], body: bytes, *, stream: bool = False) -> list[object]:
    with (
        answering(status, headers, body) as http,
        openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0) as client,
    ):
        messages: list[Any] = [{"role": "user", "content": "x"}]
        answer = client.chat.completions.create(model="m", messages=messages, stream=stream)
        return list(answer)


def ask_anthropic(status: int, headers: dict[str, str], body: bytes, *, stream: bool = False) -> list[object]:
    with (
        answering(status, headers, body) as http,
        anthropic.Anthropic(
            api_key="k", base_url="http://gateway", http_client=http, max_retries=0
        ) as client,
    ):
        messages: list[Any] = [{"role": "user", "content": "x"}]
        answer = client.messages.create(model="m", max_tokens=1, messages=messages, stream=stream)
        return list(answer)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, openai.BadRequestError, "invalid_request_error"),
        (401, openai.AuthenticationError, "invalid_request_error"),
        (403, openai.PermissionDeniedError, "permission_error"),
        (404, openai.NotFoundError, "invalid_request_error"),
        (409, openai.ConflictError, "invalid_request_error"),
        (413, openai.APIStatusError, "invalid_request_error"),
        (422, openai.UnprocessableEntityError, "invalid_request_error"),
        (429, openai.RateLimitError, "rate_limit_error"),
        (500, openai.InternalServerError, "server_error"),
        (501, openai.InternalServerError, "invalid_request_error"),
        (502, openai.InternalServerError, "server_error"),
        (503, openai.InternalServerError, "server_error"),
        (504, openai.InternalServerError, "server_error"),
    ],
)
def test_openais_client_reads_code_type_and_message(
    status: int, error: type[openai.APIStatusError], kind: str
) -> None:
    body = write_error(CHAT, status, "our_code", "What went wrong: ü.", "req_1")
    with pytest.raises(error) as raised:
        ask_openai(status, JSON, body)
    assert raised.value.status_code == status
    assert (raised.value.code, raised.value.type, raised.value.param) == ("our_code", kind, None)
    assert "What went wrong: ü." in raised.value.message
    assert raised.value.request_id == "req_1"
    assert write_error(RESPONSES, status, "our_code", "What went wrong: ü.", "req_1") == body


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (501, anthropic.InternalServerError, "invalid_request_error"),
        (502, anthropic.InternalServerError, "api_error"),
        (504, anthropic.InternalServerError, "timeout_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_anthropics_client_reads_type_and_message(
    status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as raised:
        ask_anthropic(status, JSON, write_error(MESSAGES, status, "our_code", "Sentence.", "req_1"))
    assert raised.value.status_code == status
    assert raised.value.body == {
        "type": "error",
        "error": {"type": kind, "message": "Sentence."},
        "request_id": "req_1",
    }
    assert raised.value.request_id == "req_1"


def test_an_id_that_is_not_known_is_left_out() -> None:
    assert "request_id" not in orjson.loads(write_error(MESSAGES, 500, "c", "m", ""))


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (409, "ABORTED"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (501, "UNIMPLEMENTED"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_googles_shape_repeats_the_status(status: int, word: str) -> None:
    body = orjson.loads(write_error(GEMINI, status, "our_code", "Sentence.", "req_1"))
    assert body == {"error": {"code": status, "message": "Sentence.", "status": word}}


def test_openais_client_raises_on_an_error_event() -> None:
    event = write_error_event(CHAT, 502, "truncated", "It broke off.", "req_1")
    with pytest.raises(openai.APIError) as raised:
        ask_openai(200, SSE, CHUNK + event, stream=True)
    assert raised.value.message == "It broke off."
    assert (raised.value.code, raised.value.type) == ("truncated", "server_error")


def test_openais_client_raises_on_an_error_event_of_responses() -> None:
    """Documented is one without an object `error`, sent is one with it, and the client raises on that alone:
    without it a loop over events goes on as if all were well, or stumbles over what it is."""
    event = write_error_event(RESPONSES, 502, "truncated", "It broke off.", "req_1", sequence_number=4)
    told = orjson.loads(event.partition(b"data: ")[2])
    assert (told | {"error": None}).items() >= {
        ("type", "error"),
        ("code", "truncated"),
        ("message", "It broke off."),
        ("param", None),
        ("sequence_number", 4),
    }
    with (
        answering(200, SSE, event) as http,
        openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0) as client,
        pytest.raises(openai.APIError) as raised,
    ):
        list(client.responses.create(model="m", input="x", stream=True))
    assert (raised.value.code, raised.value.message) == ("truncated", "It broke off.")


def test_anthropics_client_raises_on_an_error_event() -> None:
    event = write_error_event(MESSAGES, 502, "truncated", "It broke off.", "req_1")
    with pytest.raises(anthropic.APIStatusError) as raised:
        ask_anthropic(200, SSE, STARTED + event, stream=True)
    assert raised.value.body == orjson.loads(
        write_error(MESSAGES, 502, "truncated", "It broke off.", "req_1")
    )


def test_googles_event_begins_as_its_client_expects() -> None:
    """It looks at the first bytes of a line, not at its JSON."""
    event = write_error_event(GEMINI, 502, "truncated", "It broke off.", "req_1")
    event, bare, end = event.split(b"\n\n")
    assert event.startswith(b'data: {"error":{') and event.endswith(b"}}")
    assert (bare, end) == (event.removeprefix(b"data: "), b""), (
        "which its client for JavaScript breaks off at"
    )


@pytest.mark.parametrize("dialect", list(Dialect))
def test_no_message_breaks_an_error(dialect: Dialect) -> None:
    for message in ("\ud83d half", "line\nline\r\n\r\ndata: x", "x" * 100_000, ""):
        for wrote in (
            write_error(dialect, 500, "c", message, "r"),
            write_error_event(dialect, 500, "c", message, "r"),
        ):
            assert len(wrote) < 18_000
            assert wrote.count(b"\n\n") <= 1 + (dialect is GEMINI)


@pytest.mark.parametrize(
    ("dialect", "status", "is_overload", "expected"),
    [
        (CHAT, 529, False, 503),
        (RESPONSES, 402, False, 429),
        (CHAT, 502, False, 502),
        (GEMINI, 502, False, 503),
        (GEMINI, 402, False, 429),
        (MESSAGES, 503, True, 529),
        (MESSAGES, 503, False, 503),
        (MESSAGES, 402, False, 402),
    ],
)
def test_statuses_cross_dialects(dialect: Dialect, status: int, is_overload: bool, expected: int) -> None:
    assert status_for(dialect, status, is_overload=is_overload) == expected


def test_reasons_are_empty_where_there_is_none() -> None:
    assert (reason(404), reason(529)) == (b"Not Found", b"")


@pytest.mark.parametrize("dialect", Dialect)
def test_a_bare_object_is_a_piece_of_its_own(dialect: Dialect) -> None:
    event = b"\n\n" + write_error_event(dialect, 502, "truncated", "It broke\n\n{off}.", "req_1")
    pieces = apart(event)
    assert b"".join(pieces) == event
    assert len(pieces) == (2 if dialect is GEMINI else 1)
    if dialect is GEMINI:  # as its client for JavaScript reads it
        assert orjson.loads(pieces[1])["error"]["code"] == 502
