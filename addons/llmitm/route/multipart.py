"""Reads a form (multipart/form-data) while it goes by, for the model that it names. Pure.

Files in it are never held. What cannot be understood is refused, and so is a form that names the model twice:
gateway and provider must not read one request as two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from llmitm.errors import Refused

MODEL: Final = "model"
_MOST_VALUE_BYTES: Final = 1_024
_MOST_HEAD_BYTES: Final = 16_384
_BOUNDARY: Final = re.compile(rb"""boundary=(?:"([^"\r\n]{1,200})"|([^\s;",]{1,200}))""", re.IGNORECASE)
_AFTER: Final = re.compile(rb"--|[ \t]{0,64}\r\n")
_DISPOSITION: Final = re.compile(rb"(?:\A|\r\n)content-disposition:([^\r\n]*)", re.IGNORECASE)
_PARAMETER: Final = re.compile(rb""";[ \t]*([A-Za-z*]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;" \t]*))""")


class Field(NamedTuple):
    """A field's value, and where it stands in the body."""

    value: str
    start: int
    end: int


def boundary_of(content_type: bytes) -> bytes:
    """What stands between the parts.

    Raises:
        Refused: 400, the header does not say.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _broken("its Content-Type names no boundary")
    return found[1] or found[2]


class FormReader:
    """Is fed a body in pieces, in any cut."""

    __slots__ = ("_at", "_held", "_mark", "_next", "_read", "_value", "is_over", "model")

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._held = b"\r\n"  # as if a line had ended before the first boundary
        self._read = 0
        """So much of it is done with."""
        self._at = -2
        """Where in the body that is."""
        self._next: Callable[[], bool] = self._to_first
        self._value: bytearray | None = None
        """Of the field that is being read; None: it is not wanted."""
        self.is_over = False
        self.model: Field | None = None
        """None where none has been read (yet)."""

    def feed(self, piece: bytes) -> None:
        """Raises `Refused`: 400, this is no form, or it names the model twice."""
        self._held = self._held[self._read :] + piece
        self._read = 0
        while self._next():
            pass

    def finish(self) -> None:
        """Raises `Refused`: 400, the form ends too early."""
        if not self.is_over:
            raise _broken("it ends before its last boundary")

    def _skip(self, end: int) -> None:
        """Is done with all before `end`, in what is held."""
        self._at += end - self._read
        self._read = end

    def _left(self) -> int:
        return len(self._held) - self._read

    def _to_first(self) -> bool:
        at = self._held.find(self._mark, self._read)
        if at < 0:
            if self._left() > _MOST_HEAD_BYTES:
                raise _broken("it does not begin with its boundary")
            return False
        self._skip(at + len(self._mark))
        self._next = self._after_mark
        return True

    def _after_mark(self) -> bool:
        found = _AFTER.match(self._held, self._read)
        if found is None:
            if self._left() > 66:
                raise _broken("its boundary stands within a part")
            return False
        self._skip(found.end())
        if found[0] == b"--":
            self.is_over = True
            self._next = self._past_end
        else:
            self._next = self._head
        return True

    def _head(self) -> bool:
        start = self._read
        if self._held.startswith(b"\r\n", start):  # no headers at all
            end = start + 2
        else:
            end = self._held.find(b"\r\n\r\n", start) + 4
            if end < 4:
                if self._left() > _MOST_HEAD_BYTES:
                    raise _broken("a part's headers are too long")
                return False
        name = _name_of(self._held[start:end])
        self._skip(end)
        if name == MODEL:
            if self.model is not None:
                raise Refused(400, "invalid_multipart", "The form names the model twice.", param=MODEL)
            self._value = bytearray()
        self._next = self._data
        return True

    def _data(self) -> bool:
        end = self._held.find(self._mark, self._read)
        if end < 0:
            # the last bytes may be the beginning of a boundary
            self._pass_by(max(self._read, len(self._held) - len(self._mark) + 1))
            return False
        self._pass_by(end)
        if self._value is not None:
            self._keep(bytes(self._value))
            self._value = None
        self._skip(end + len(self._mark))
        self._next = self._after_mark
        return True

    def _pass_by(self, end: int) -> None:
        """Data before `end`."""
        if self._value is not None:
            if len(self._value) + end - self._read > _MOST_VALUE_BYTES:
                raise Refused(400, "invalid_multipart", "The model's name is too long.", param=MODEL)
            self._value += self._held[self._read : end]
        self._skip(end)

    def _keep(self, value: bytes) -> None:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise Refused(400, "invalid_multipart", "The model's name is no text.", param=MODEL) from None
        self.model = Field(text, self._at - len(value), self._at)

    def _past_end(self) -> bool:
        self._skip(len(self._held))
        return False


def _name_of(head: bytes) -> str | None:
    """The field's name; None for a part that has none.

    Raises:
        Refused: 400, it can be read in two ways.
    """
    told = _DISPOSITION.findall(head)
    if not told:
        return None
    pairs = [(one[1].lower(), one[2] or one[3] or b"") for one in _PARAMETER.finditer(told[0])]
    names = [value for key, value in pairs if key in (b"name", b"name*")]
    if len(told) > 1 or len(names) > 1:
        raise _broken("a part has two names")
    if (b"name*", names[0] if names else b"") in pairs or any(b"\\" in one for one in names):
        raise _broken("a part's name is not spelled plainly")
    return names[0].decode("utf-8", "replace") if names else None


def _broken(why: str) -> Refused:
    return Refused(
        400, "invalid_multipart", f"The request's body is no multipart form that can be read: {why}."
    )
