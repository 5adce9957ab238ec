"""A path under a base URL. Pure.

Paths stay the bytes that the client sent; what could leave the base is refused.
"""

from __future__ import annotations

import re
from typing import Final

from llmitm.errors import Refused

_DOT_SEGMENT: Final = re.compile(rb"(?:\A|/|\\|%2f|%5c)(?:\.|%2e){2}(?=/|\\|%2f|%5c|\Z)", re.IGNORECASE)
_ILLEGAL: Final = re.compile(rb"[\"<>\\^`{|}\x80-\xff]")


def join(base: str, rest: bytes) -> str:
    """The URL of `rest` (path and query) under `base`, fit to be sent as it stands.

    A `/v1` or `/v1beta` that ends the base and begins the rest is not doubled. Bytes that a URL may not
    hold are percent-encoded; what is encoded already stays.

    Raises:
        Refused: 400 for dot segments, with which a client could leave the base.
    """
    path, mark, query = rest.partition(b"?")
    if _DOT_SEGMENT.search(path):
        raise Refused(400, "invalid_path", "The path must not hold .. segments.")
    base = base.rstrip("/")
    for version in (b"/v1beta", b"/v1"):
        if base.endswith(version.decode()) and (path == version or path.startswith(version + b"/")):
            path = path[len(version) :]
            break
    return base + _encoded(path) + ("?" + _encoded(query) if mark else "")


def _encoded(part: bytes) -> str:
    return _ILLEGAL.sub(lambda match: b"%%%02X" % match[0][0], part).decode("ascii")
