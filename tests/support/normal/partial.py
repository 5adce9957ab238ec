"""Gemini's function calls whose arguments come in pieces, each at its place in the JSON."""

from __future__ import annotations

import re
from typing import Any, Final

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]")


def joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts with every such call as one."""
    made: list[dict[str, Any]] = []
    is_open = False
    for part in parts:
        call = part.get("functionCall")
        if call is None or (call.get("name") and not is_open and not call.get("willContinue")):
            made.append(part)
            continue
        if not is_open:
            made.append({"functionCall": {"id": call.get("id"), "name": call.get("name"), "args": {}}})
        whole = made[-1]["functionCall"]
        for piece in call.get("partialArgs") or []:
            whole["args"] = _put(whole["args"], _steps(piece["jsonPath"]), piece)
        is_open = bool(call.get("willContinue"))
    return made


def _steps(path: str) -> list[str | int]:
    return [int(at) if at else name or quoted for name, at, quoted in _STEP.findall(path)]


def _put(into: Any, steps: list[str | int], piece: dict[str, Any]) -> Any:
    if not steps:
        if "stringValue" in piece:
            return (into if isinstance(into, str) else "") + piece["stringValue"]
        return piece.get("numberValue", piece.get("boolValue"))
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        into = into if isinstance(into, list) else []
        into += [None] * (step + 1 - len(into))
        into[step] = _put(into[step], rest, piece)
        return into
    into = into if isinstance(into, dict) else {}
    into[step] = _put(into.get(step), rest, piece)
    return into
