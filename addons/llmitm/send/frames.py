"""The frames of a WebSocket connection, read as they go by. Pure. Source: RFC 6455 section 5.

Nothing is changed or held back: whoever passes the bytes on learns which messages are in them. Extensions
are not negotiated, so that what stands in a frame is what was said.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import Final

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
KEPT_BYTES: Final = 1_048_576
"""Of a message; nobody looks into longer ones."""
NO_CODE: Final = 1005
"""Of a close that names none."""


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message, or the close."""

    kind: int
    """TEXT, BINARY or CLOSE."""
    content: bytes | None
    """None where it is longer than what is kept."""
    end: int = field(default=0, compare=False)
    """Where it ends in the data that ended it."""

    @property
    def code(self) -> int:
        """Of a close."""
        content = self.content or b""
        return int.from_bytes(content[:2]) if len(content) >= 2 else NO_CODE

    @property
    def reason(self) -> str:
        """Of a close."""
        return (self.content or b"")[2:].decode("utf-8", "replace")


@dataclass(slots=True)
class Frames:
    """One direction of a connection."""

    kept_bytes: int = KEPT_BYTES
    """0: messages are counted only."""
    messages: int = 0
    """Whole ones so far."""
    close: Message | None = None
    """Which was the last thing said."""
    _head: bytearray = field(default_factory=bytearray)
    """Of a frame, as far as it has come."""
    _left_bytes: int = 0
    """Of the frame's content."""
    _mask: bytes = b""
    _kind: int = 0
    """Of the frame."""
    _is_last: bool = False
    """Of its message."""
    _content: bytearray = field(default_factory=bytearray)
    """Of the message."""
    _control: bytearray = field(default_factory=bytearray)
    """Of a frame that stands between those of a message."""
    _begun: int = 0
    """Kind of the message that goes on."""
    _frame_at: int = 0
    """Where the frame begins in its message."""
    _is_long: bool = False

    @property
    def is_between(self) -> bool:
        """Whether no frame is under way: another may be put here."""
        return not self._left_bytes and not self._head

    @property
    def is_whole(self) -> bool:
        """Whether no message is under way."""
        return self.is_between and not self._begun

    def feed(self, data: bytes) -> list[Message]:
        """The messages that end here, and the close. Nothing is said after a close."""
        found: list[Message] = []
        at = 0
        while at < len(data):
            if not self._is_complete():
                at = self._take_head(data, at)
                if not self._is_complete():
                    break
                self._begin()
            taken = data[at : at + self._left_bytes]
            at += len(taken)
            self._left_bytes -= len(taken)
            self._keep(taken)
            if not self._left_bytes and (message := self._end(at)) is not None:
                found.append(message)
        return found

    def _needed(self) -> int:
        """Bytes of the head, as far as it tells by now."""
        head = self._head
        if len(head) < 2:
            return 2
        length = head[1] & 0x7F
        return 2 + (8 if length == 127 else 2 if length == 126 else 0) + (4 if head[1] & 0x80 else 0)

    def _is_complete(self) -> bool:
        return len(self._head) >= 2 and len(self._head) == self._needed()

    def _take_head(self, data: bytes, at: int) -> int:
        while at < len(data) and len(self._head) < (needed := self._needed()):
            taken = data[at : at + needed - len(self._head)]
            self._head += taken
            at += len(taken)
        return at

    def _begin(self) -> None:
        head = self._head
        self._is_last, self._kind = bool(head[0] & 0x80), head[0] & 0x0F
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(head[2:4])
        elif length == 127:
            length = int.from_bytes(head[2:10])
        self._left_bytes = length
        self._mask = bytes(head[-4:]) if head[1] & 0x80 else b""
        if self._kind < CLOSE:
            self._begun = self._begun or self._kind
            self._frame_at = len(self._content)
            if len(self._content) + length > self.kept_bytes:
                self._is_long = True
                self._content.clear()
                self._frame_at = 0

    def _keep(self, taken: bytes) -> None:
        if self._kind >= CLOSE:
            self._control += taken
        elif not self._is_long:
            self._content += taken

    def _end(self, at: int) -> Message | None:
        """The frame is over; the message that ends with it."""
        self._head.clear()
        if self._kind >= CLOSE:
            content = masked(bytes(self._control), self._mask)
            self._control.clear()
            if self._kind != CLOSE or self.close is not None:
                return None
            self.close = Message(CLOSE, content, at)
            return self.close
        if self._mask and not self._is_long:
            self._content[self._frame_at :] = masked(bytes(self._content[self._frame_at :]), self._mask)
        if not self._is_last:
            return None
        message = Message(self._begun, None if self._is_long else bytes(self._content), at)
        self.messages += 1
        self._begun, self._is_long = 0, False
        self._content.clear()
        return message


def masked(content: bytes, mask: bytes) -> bytes:
    """With a mask put on or taken off; the same without one."""
    if not mask or not content:
        return content
    size = len(content)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(content) ^ int.from_bytes(pattern)).to_bytes(size)


def message_frame(kind: int, content: bytes) -> bytes:
    """A client's message in one frame."""
    size = len(content)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | kind, 0xFE)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | kind, 0xFF)) + size.to_bytes(8)
    mask = os.urandom(4)
    return head + mask + masked(content, mask)


def controls(frames: bytes) -> bytes:
    """Those of a client's whole frames that are no part of a message."""
    found: list[bytes] = []
    at = 0
    while at < len(frames):
        length = frames[at + 1] & 0x7F
        wide = 8 if length == 127 else 2 if length == 126 else 0
        if wide:
            length = int.from_bytes(frames[at + 2 : at + 2 + wide])
        end = at + 2 + wide + 4 + length
        if frames[at] & 0x0F >= CLOSE:
            found.append(frames[at:end])
        at = end
    return b"".join(found)


def close_frame(code: int, reason: str, *, is_clients: bool) -> bytes:
    """What ends a connection in good order; a client's frames are masked."""
    content = struct.pack("!H", code) + reason.encode()[:123]
    mask = os.urandom(4) if is_clients else b""
    return bytes((0x80 | CLOSE, len(content) | (0x80 if is_clients else 0))) + mask + masked(content, mask)
