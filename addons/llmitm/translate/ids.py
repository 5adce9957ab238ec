"""Identifiers: of replies, items and tool calls, and names of tools. Pure, and drawn from nothing.

An id that is legal stays as it is. All others are functions of what they stand for, so that the same bytes
give the same id in every process and a client's prompt cache is not broken by ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final

from llmitm.exchange import Dialect

MADE_FOR_CLIENT: Final = "gwid-"
_LEGAL_AT_ANTHROPIC: Final = re.compile(r"[a-zA-Z0-9_-]+\Z")
_LEGAL_REPLY: Final = re.compile(r"[^A-Za-z0-9_-]")
_LEGAL_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_LEGAL_GEMINI_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}\Z")
_LEGAL_AT_MISTRAL: Final = re.compile(r"[a-zA-Z0-9]{9}\Z")
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
REPLY_PREFIX: Final = {
    Dialect.OPENAI_CHAT: "chatcmpl-",
    Dialect.OPENAI_RESPONSES: "resp_",
    Dialect.ANTHROPIC_MESSAGES: "msg_",
    Dialect.GEMINI: "",
}


def hashed(text: str, digits: int = 24) -> str:
    """The first hex digits of a text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def reply_id(dialect: Dialect, upstream: str) -> str:
    """A client's form of an upstream's reply id: its own prefix before the upstream's id without its."""
    _, mark, rest = upstream.partition(upstream[cut]) if (cut := _first_mark(upstream)) >= 0 else ("", "", "")
    bare = _LEGAL_REPLY.sub("", rest if mark and rest else upstream)
    return REPLY_PREFIX[dialect] + bare


def _first_mark(text: str) -> int:
    found = re.search(r"[-_]", text)
    return found.start() if found else -1


def item_id(prefix: str, reply: str, output_index: int) -> str:
    """The id of a responses item: `msg_`, `fc_`, `ctc_` or `rs_` and 32 hex digits."""
    return prefix + hashed(f"{reply}{output_index}", 32)


# ---- tool calls


def made_call_id(reply: str, choice: int, ordinal: int, name: str) -> str:
    """For a call to which the upstream gave no id."""
    return "call_" + hashed(f"{reply}|{choice}|{ordinal}|{name}")


def gemini_call_id(turn: int, ordinal: int, name: str) -> str:
    """For a call in Gemini's history that has no id."""
    return "call_" + hashed(f"g|{turn}|{ordinal}|{name}")


def legacy_call_id(ordinal: int, name: str) -> str:
    """For chat's old `function_call`, which has no id."""
    return "call_" + hashed(f"fn|{ordinal}|{name}")


def for_client(dialect: Dialect, call_id: str, use: int = 1) -> str:
    """The id as a client of this dialect gets it. `use`: how often it has stood in this reply by now."""
    is_legal = dialect is not Dialect.ANTHROPIC_MESSAGES or _LEGAL_AT_ANTHROPIC.match(call_id)
    if use == 1 and is_legal:
        return call_id
    text = call_id if use == 1 else f"{call_id}\0{use}"
    return MADE_FOR_CLIENT + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_client(call_id: str) -> str:
    """The upstream's own id again, where `for_client` changed it."""
    if not call_id.startswith(MADE_FOR_CLIENT):
        return call_id
    body = call_id.removeprefix(MADE_FOR_CLIENT)
    try:
        text = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return call_id
    return text.partition("\0")[0] or call_id


def for_upstream(dialect: Dialect, call_id: str, *, is_openai: bool, is_mistral: bool) -> str:
    """The id as this upstream accepts it; the same for a call and for its result."""
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            if len(call_id) <= 64 and _LEGAL_AT_ANTHROPIC.match(call_id):
                return call_id
            return "toolu_" + hashed(call_id)
        case Dialect.OPENAI_CHAT if is_mistral:
            return call_id if _LEGAL_AT_MISTRAL.match(call_id) else _base62(call_id)
        case Dialect.OPENAI_CHAT | Dialect.OPENAI_RESPONSES if is_openai:
            return call_id if 0 < len(call_id) <= 64 else "call_" + hashed(call_id)
        case _:
            return call_id


def _base62(text: str) -> str:
    number = int(hashed(text, 64), 16)
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits += _BASE62[digit]
    return digits


# ---- names


def tool_name(dialect: Dialect, name: str) -> str:
    """A tool's name as the upstream accepts it."""
    legal = _LEGAL_GEMINI_NAME if dialect is Dialect.GEMINI else _LEGAL_TOOL_NAME
    if legal.match(name):
        return name
    unfit = r"[^a-zA-Z0-9_.:-]" if dialect is Dialect.GEMINI else r"[^a-zA-Z0-9_-]"
    made = re.sub(unfit, "_", name)[:55] + "_" + hashed(name, 8)
    return made if legal.match(made) else "_" + made
