"""What tells the turns of one conversation from those of others. Pure.

Only for staying with one account, so a wrong guess costs a prompt cache and nothing more.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from llmitm.exchange import Headers

_HEADERS: Final = (b"x-session-id", b"session_id", b"x-conversation-id", b"conversation_id")
_NAMED: Final = ("prompt_cache_key", "conversation", "session_id")
_TURNS: Final = ("messages", "input", "contents")
_PREFIXES: Final = ("system", "instructions", "systemInstruction", "system_instruction")


def conversation_of(headers: Headers, body: bytes, auth_key: str | None) -> str:
    """The same text for all turns of a conversation; empty where there is nothing to tell it by.

    A name that the client gives it, else the prompt up to the first user turn, which every turn repeats.
    """
    for name, value in headers:
        if name.lower() in _HEADERS and value:
            return _hashed(auth_key, value)
    try:
        asked: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(asked, dict):
        return ""
    for member in _NAMED:
        if named := asked.get(member):
            return _hashed(auth_key, orjson.dumps(named))
    metadata = asked.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        return _hashed(auth_key, metadata["user_id"].encode())
    beginning = [asked[member] for member in _PREFIXES if asked.get(member)]
    for member in _TURNS:
        beginning += _to_first_user_turn(asked.get(member))
    return _hashed(auth_key, orjson.dumps(beginning)) if beginning else ""


def _to_first_user_turn(turns: Any) -> list[Any]:
    if not isinstance(turns, list):
        return [turns] if turns else []
    for at, turn in enumerate(turns):
        if isinstance(turn, dict) and turn.get("role", "user") == "user":
            return turns[: at + 1]
    return turns


def _hashed(auth_key: str | None, told: bytes) -> str:
    return hashlib.blake2b(f"{auth_key or ''}\0".encode() + told, digest_size=16).hexdigest()
