"""What readers share: values of the right type, or a 400 that names the place in a request. Pure."""

from __future__ import annotations

from typing import Any, Final

from llmitm.errors import Refused
from llmitm.translate import jsontext

MOST_COUNTED: Final = 10**12
"""Tokens of one answer: what tells of more, or of less than none, is a mistake."""


def invalid(at: str, what: str) -> Refused:
    """400 for a request that cannot be read; `what` completes the sentence begun by the place."""
    return Refused(400, "invalid_request", f"{at}: {what}." if at else f"{what}.", param=at or None)


def top_object(body: bytes) -> dict[str, Any]:
    """The request as an object, numbers as they were spelled.

    Raises:
        Refused: 400, it is no JSON object.
    """
    try:
        value = jsontext.loads(body)
    except ValueError as error:
        place = str(error).partition(":")[0]
        raise invalid("", f"The request body is not valid JSON ({place})") from None
    if not isinstance(value, dict):
        raise invalid("", "The request body must be a JSON object")
    return value


def an_object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(at, "expected an object")
    return value


def objects(value: Any, at: str) -> list[tuple[str, dict[str, Any]]]:
    """A list of objects, each with its place; empty where there is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(at, "expected a list")
    return [(f"{at}[{n}]", an_object(one, f"{at}[{n}]")) for n, one in enumerate(value)]


def a_text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise invalid(at, "expected a string")
    return value


def a_text_or_none(value: Any, at: str) -> str | None:
    return None if value is None else a_text(value, at)


def text_if(value: Any) -> str | None:
    """The value where it is a string, else None: for members that do not matter enough to refuse."""
    return value if isinstance(value, str) else None


def bool_if(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def count_if(value: Any) -> int | None:
    """The value where it is a whole number, which true and false are not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def counted(value: Any) -> int | None:
    """The value where somebody can have counted it."""
    number = count_if(value)
    return number if number is not None and 0 <= number <= MOST_COUNTED else None


def count_in(counts: Any, name: str) -> int | None:
    """An object's member, as `counted`."""
    return counted(counts.get(name)) if isinstance(counts, dict) else None


def seconds_if(value: Any) -> int | None:
    """A time since 1970, without fractions; None where it is no time."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e11 else None


def texts(value: Any, at: str) -> tuple[str, ...]:
    """A string or a list of strings."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise invalid(at, "expected a string or a list of strings")
    return tuple(a_text(one, f"{at}[{n}]") for n, one in enumerate(value))
