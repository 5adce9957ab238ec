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

    __slots__ = ("_at", "_held", "_mark", "_next", "_value", "is_over", "model")

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._held = b"\r\n"  # as if a line had ended before the first boundary
        self._at = -2
        """Where `_held` begins in the body."""
        self._next: Callable[[], bool] = self._to_first
        self._value: bytearray | None = None
        """Of the field that is being read; None: it is not wanted."""
        self.is_over = False
        self.model: Field | None = None
        """None where none has been read (yet)."""

    def feed(self, piece: bytes) -> None:
        """Raises `Refused`: 400, this is no form, or it names the model twice."""
        self._held = self._held + piece if self._held else piece
        while self._next():
            pass

    def finish(self) -> None:
        """Raises `Refused`: 400, the form ends too early."""
        if not self.is_over:
            raise _broken("it ends before its last boundary")

    def _take(self, count: int) -> bytes:
        taken, self._held = self._held[:count], self._held[count:]
        self._at += count
        return taken

    def _to_first(self) -> bool:
        at = self._held.find(self._mark)
        if at < 0:
            if len(self._held) > _MOST_HEAD_BYTES:
                raise _broken("it does not begin with its boundary")
            return False
        self._take(at + len(self._mark))
        self._next = self._after_mark
        return True

    def _after_mark(self) -> bool:
        found = _AFTER.match(self._held)
        if found is None:
            if len(self._held) > 66:
                raise _broken("its boundary stands within a part")
            return False
        self._take(found.end())
        if found[0] == b"--":
            self.is_over = True
            self._next = self._past_end
        else:
            self._next = self._head
        return True

    def _head(self) -> bool:
        if self._held[:2] == b"\r\n":  # no headers at all
            end, head = 2, b""
        else:
            end = self._held.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(self._held) > _MOST_HEAD_BYTES:
                    raise _broken("a part's headers are too long")
                return False
            head = self._held[: end - 4]
        self._take(end)
        if _name_of(head) == MODEL:
            if self.model is not None:
                raise Refused(400, "invalid_multipart", "The form names the model twice.", param=MODEL)
            self._value = bytearray()
        self._next = self._data
        return True

    def _data(self) -> bool:
        end = self._held.find(self._mark)
        if end < 0:
            # the last bytes may be the beginning of a boundary
            self._pass_by(self._take(max(0, len(self._held) - len(self._mark) + 1)))
            return False
        self._pass_by(self._take(end))
        if self._value is not None:
            self._keep(bytes(self._value))
            self._value = None
        self._take(len(self._mark))
        self._next = self._after_mark
        return True

    def _pass_by(self, data: bytes) -> None:
        if self._value is not None:
            self._value += data
            if len(self._value) > _MOST_VALUE_BYTES:
                raise Refused(400, "invalid_multipart", "The model's name is too long.", param=MODEL)

    def _keep(self, value: bytes) -> None:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise Refused(400, "invalid_multipart", "The model's name is no text.", param=MODEL) from None
        self.model = Field(text, self._at - len(value), self._at)

    def _past_end(self) -> bool:
        self._take(len(self._held))
        return False


def _name_of(head: bytes) -> str | None:
    """The field's name; None for a part that has none."""
    found = _DISPOSITION.search(head)
    if found is None:
        return None
    names = [one[2] or one[3] or b"" for one in _PARAMETER.finditer(found[1]) if one[1].lower() == b"name"]
    if len(names) > 1:
        raise _broken("a part has two names")
    return names[0].decode("utf-8", "replace").replace('\\"', '"') if names else None


def _broken(why: str) -> Refused:
    return Refused(
        400, "invalid_multipart", f"The request's body is no multipart form that can be read: {why}."
    )
