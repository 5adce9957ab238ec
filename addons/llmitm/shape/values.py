"""Values of a configuration as JSON text. Pure."""

from __future__ import annotations

import json
import math
from typing import Any


def text_of(value: Any) -> bytes:
    """Compact JSON in UTF-8, members in the order in which they were written.

    Raises:
        ValueError: something of it is no JSON; the text says what, and what is possible.
    """
    _check(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no text") from None


def _check(value: Any) -> None:
    match value:
        case None | bool() | str() | int():
            return
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is no JSON value")
        case list() | tuple():
            for one in value:
                _check(one)
        case dict():
            for name, one in value.items():
                if not isinstance(name, str):
                    raise ValueError("names of members are strings")
                _check(one)
        case _:
            raise ValueError(
                f"a {_kind(value)} is no JSON value; write it as a string"
                if _kind(value) in ("date", "time", "datetime")
                else "is no JSON value: strings, numbers, true, false, arrays and tables are"
            )


def _kind(value: object) -> str:
    return type(value).__name__


def checked_text(text: str) -> bytes:
    """JSON text as it was written.

    Raises:
        ValueError: it is no JSON value.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON value")

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    return text.strip(" \t\n\r").encode()
