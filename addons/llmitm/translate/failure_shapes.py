"""The shapes in which upstreams tell of errors, and what counts in each. Pure.

    {"error": {message, type, code, param, status, details}}    {"error": "text"}    [{"error": {}}]
    {"type": "error", "error": {}}    {"message", "code"}    {"object": "error", "message"}
    {"detail": text | [{loc, msg}]}    {"errors": [{message, code}]}    {"response": {"error": {}}}

Which one comes is no matter of the dialect: hosts, their proxies and frameworks each have their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmitm.exchange import Headers
from llmitm.translate import jsontext
from llmitm.translate.neutral import JSON

_MOST_QUOTED_SIGNS: Final = 300
_MOST_ENTRIES: Final = 50
_HEAD_BYTES: Final = 65_536
_TITLE: Final = re.compile(rb"<title[^>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_DATA_LINE: Final = re.compile(rb"^data: ?(\{.+)$", re.MULTILINE)
_STATUS_MEMBERS: Final = ("code", "status", "status_code", "raw_status_code")
_MESSAGE_MEMBERS: Final = ("message", "Message", "error_description", "detail", "msg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An error as it was told."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    """A number between 400 and 599 that it says of itself."""


def found(value: JSON, *, is_error: bool) -> Found | None:
    """The error in a body or an event; None where there is none.

    `is_error`: the answer's status says already that it is one, so a bare message will do.
    """
    match value:
        case dict():
            return _of_object(value, is_error=is_error)
        case list():
            told = (found(one, is_error=is_error) for one in value[:_MOST_ENTRIES] if isinstance(one, dict))
            return next((one for one in told if one is not None), None)
        case str() if is_error and value:
            return Found(message=value)
        case _:
            return None


def _of_object(value: Mapping[str, Any], *, is_error: bool) -> Found | None:
    match value.get("error"):
        case dict() as error if error:
            return _of_error(error)
        case str() as text if text:
            said = _message(value)
            code = text if said else _text(value.get("code"))
            return Found(message=said or text, code=code, status=_status(value))
        case list() as errors if errors:
            return _of_list(errors)
    response, several = value.get("response"), value.get("errors")
    if isinstance(response, dict) and isinstance(response.get("error"), dict) and response["error"]:
        return _of_error(response["error"])
    if isinstance(several, list) and several and (is_error or value.get("success") is False):
        return _of_list(several)
    if is_error and value.get("detail"):
        return _of_detail(value)
    is_marked = value.get("object") == "error" or value.get("type") == "error" or value.get("error") is True
    if (is_error or is_marked or value.get("code")) and _message(value):
        return _of_error(value)
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return Found(message=_text(base.get("status_msg")) or "", code=_code(base["status_code"]))
    return None


def _of_error(error: Mapping[str, Any]) -> Found:
    details = error.get("details")
    kind = error.get("type") if error.get("type") != "error" else None
    words = (kind, error.get("status"), error.get("__type"))
    return Found(
        message=_message(error),
        type=next((word for word in words if isinstance(word, str) and word), None),
        code=_detail_code(details) or _code(error.get("code")),
        param=_text(error.get("param")),
        status=_status(error),
    )


def _detail_code(details: JSON) -> str | None:
    """Anthropic's `error_code`, Google's `reason`."""
    match details:
        case dict():
            return _text(details.get("error_code"))
        case list():
            reasons = (one.get("reason") for one in details[:_MOST_ENTRIES] if isinstance(one, dict))
            return next((reason for reason in reasons if isinstance(reason, str) and reason), None)
        case _:
            return None


def _of_list(errors: list[Any]) -> Found:
    told = [
        Found(message=one) if isinstance(one, str) else _of_error(one)
        for one in errors[:_MOST_ENTRIES]
        if isinstance(one, str | dict)
    ]
    message = "; ".join(one.message for one in told if one.message)
    first = told[0] if told else Found()
    return Found(message=message, type=first.type, code=first.code, param=first.param, status=first.status)


def _of_detail(value: Mapping[str, Any]) -> Found:
    match value["detail"]:
        case dict() as detail:
            inner = detail.get("error")
            return _of_error(inner if isinstance(inner, dict) else detail)
        case list() as details:
            return Found(message="; ".join(_detail_line(one) for one in details[:_MOST_ENTRIES]))
        case detail:
            return Found(message=_said(detail), code=_code(value.get("code")), type=_text(value.get("type")))


def _detail_line(one: Any) -> str:
    """`body.messages.0.role: Field required`"""
    if not isinstance(one, dict):
        return _said(one)
    loc = one.get("loc")
    place = ".".join(str(step) for step in loc) if isinstance(loc, list) else ""
    message = _message(one) or _said(one)
    return f"{place}: {message}" if place else message


def _message(value: Mapping[str, Any]) -> str:
    return next((_said(value[name]) for name in _MESSAGE_MEMBERS if value.get(name)), "")


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return jsontext.text_of(value)
    except (TypeError, RecursionError):  # nested too deep
        return ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _code(value: Any) -> str | None:
    """A code as text; None where it only repeats a status."""
    match value:
        case bool():
            return None
        case int() | str() if value != "":
            return None if _as_status(value) else str(value)
        case _:
            return None


def _status(value: Mapping[str, Any]) -> int | None:
    told = (_as_status(value.get(name)) for name in _STATUS_MEMBERS)
    return next((status for status in told if status is not None), None)


def _as_status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None


def event_data(body: bytes) -> JSON:
    """The first object of a body that is a stream of events, though it is an error's; else None."""
    for match in _DATA_LINE.finditer(body, 0, _HEAD_BYTES):
        try:
            return jsontext.loads_fast(match[1])
        except (ValueError, RecursionError):
            return None
    return None


def page_message(status: int, headers: Headers, body: bytes) -> str:
    """What is told of a body that is no error in JSON: of a page its title only, of plain text its start."""
    head = body[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").strip()
    if not head:
        return f"upstream answered {status} with no body"
    named = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    is_page = head.startswith(b"<") or b"html" in named.lower()
    kind = named.partition(b";")[0].strip().lower().decode("ascii", "replace")[:100]
    answer = f"upstream answered {status} with {kind or ('text/html' if is_page else 'text')}"
    if is_page:
        title = _TITLE.search(head)
        quoted = title[1] if title else b""
    else:
        quoted = head[: 4 * _MOST_QUOTED_SIGNS]
    text = " ".join(quoted.decode("utf-8", "ignore").split())[:_MOST_QUOTED_SIGNS]
    return f"{answer}: {text}" if text.isprintable() and text else answer
