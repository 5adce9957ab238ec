"""Recorded errors told to the clients of every dialect, judged by what their official clients raise."""

from __future__ import annotations

import math
from typing import Any, Final

import anthropic
import openai
import orjson
from google import genai

from llmitm.exchange import Dialect
from llmitm.translate.failures import read_failure, write_failure
from support.corpus import Record
from support.normal.clients import ask
from support.pairs import Verdict

_OPENAI: Final[dict[int, type[Exception]]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
}
_ANTHROPIC: Final[dict[int, type[Exception]]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
}


def judge_error(record: Record, dialect: Dialect) -> Verdict | None:
    """None: the record is no error."""
    status = record["status"]
    if status == 200:
        return None
    headers = {name: str(value) for name, value in (record.get("response_headers") or {}).items()}
    body = record.get("response")
    raw = body.encode() if isinstance(body, str) else orjson.dumps(body)
    told = read_failure(status, tuple((name.encode(), one.encode()) for name, one in headers.items()), raw)
    made_status, made, made_headers = write_failure(dialect, told, "req_1")
    named = {name.decode(): value.decode() for name, value in made_headers}
    return Verdict(record["id"], _fault(record, dialect, headers, (made_status, made, named)))


def _fault(
    record: Record, dialect: Dialect, headers: dict[str, str], made: tuple[int, bytes, dict[str, str]]
) -> str:
    status, body, named = made
    was = _ours(record)
    if status != was and not (was == 402 and status == 429):
        return f"status {was} is {status}"
    try:
        wait = math.ceil(float(headers["retry-after"]))
        if named.get("retry-after") != str(wait):
            return f"retry-after {wait} is {named.get('retry-after')}"
    except (KeyError, ValueError):
        pass
    try:
        ask(dialect, status, named, body)
    except (openai.APIStatusError, anthropic.APIStatusError, genai.errors.APIError) as raised:
        return _raised_fault(record, dialect, status, raised)
    return "nothing is raised"


def _ours(record: Record) -> int:
    """The status that this error has by the table of kinds: Google answers 400 to a bad key, OpenAI 429 to
    an empty purse."""
    said = orjson.dumps(record.get("response"))
    if record["status"] == 400 and b"API_KEY_INVALID" in said:
        return 401
    if record["status"] == 429 and b"insufficient_quota" in said:
        return 402
    return int(record["status"])


def _raised_fault(record: Record, dialect: Dialect, status: int, raised: Any) -> str:
    match dialect:
        case Dialect.GEMINI:
            kind: type[Exception] = genai.errors.ClientError if status < 500 else genai.errors.ServerError
            found, message = raised.code, raised.message or ""
        case Dialect.ANTHROPIC_MESSAGES:
            kind, found = _ANTHROPIC[status], raised.status_code
            message = raised.body["error"]["message"]
        case _:
            kind, found = _OPENAI[status], raised.status_code
            message = raised.body["message"]
    if type(raised) is not kind or found != status:
        return f"{kind.__name__} {status} is {type(raised).__name__} {found}"
    said = _message(record.get("response"))
    if said and "***" not in message and not message.startswith(said[:200]):
        return f"message {said!r:.150} is {message!r:.150}"
    return ""


def _message(body: Any) -> str:
    """The provider's own words, where it has any."""
    match body:
        case [first, *_]:
            return _message(first)
        case {"error": {"message": str(said)}} | {"error": str(said)} | {"message": str(said)}:
            return said
        case _:
            return ""
