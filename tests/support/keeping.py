"""A client keeps an answer of another dialect's upstream and goes on: the upstream gets back what it said.

Texts, calls with their ids, signatures and encrypted reasoning, each byte for byte and in order.
"""

from __future__ import annotations

from typing import Any

import orjson

from llmitm.exchange import Dialect
from llmitm.translate.neutral import UpstreamError
from llmitm.translate.pair import Translation, read_request
from support.corpus import Record, reply_of
from support.normal.form import Form, bare
from support.pairs import Verdict, is_cut, native, told, translation, upstream

type Said = dict[str, list[Any]]
"""`calls`, `seals` and `text`, each in order."""


def judge_kept(record: Record, client: Dialect) -> Verdict | None:
    """None: the record is no whole reply, or one that says nothing."""
    body = reply_of(record)
    if body is None or "function_call" in _message(record):
        return None
    source = native(record)
    if not isinstance(source, Form) or (is_cut(source) and client is Dialect.GEMINI):
        return None
    try:
        return _judged(record, client, body, source)
    except UpstreamError:
        return None
    except Exception as failure:
        return Verdict(record["id"], f"raised {type(failure).__name__}: {failure!s:.200}")


def _judged(record: Record, client: Dialect, body: bytes, source: Form) -> Verdict | None:
    there = translation(record, client, is_stream=False)
    kept = _kept(client, orjson.loads(there.reply(body)))
    if not kept:
        return None
    asked = read_request(client, orjson.dumps(_again(client, kept)), **_path(client))
    again = Translation(asked, upstream(record))
    wire = Dialect(record["wire"])
    mine, theirs = _said(wire, orjson.loads(body)), _returned(wire, orjson.loads(again.body))
    if client is Dialect.OPENAI_CHAT:
        mine["text"].append(source.explanation)  # a refusal there, which is text when it comes back
    if wire is Dialect.OPENAI_RESPONSES and again.target.vendor == "openai":
        mine["seals"] = _followed(orjson.loads(body)["output"])
    return Verdict(record["id"], _difference(mine, theirs, told(there) | told(again)))


def _message(record: Record) -> dict[str, Any]:
    """Of chat: old calls come back as the new ones that they were told as."""
    choices = record["response"].get("choices") or [{}]
    return {name: one for name, one in (choices[0].get("message") or {}).items() if one}


def _path(client: Dialect) -> dict[str, Any]:
    return {"model": "m", "is_stream": False} if client is Dialect.GEMINI else {}


def _difference(mine: Said, theirs: Said, codes: set[str]) -> str:
    for name, said in mine.items():
        heard = theirs[name]
        if name == "text":
            said, heard = [bare("".join(said))], [bare("".join(heard))]
            if {"hosted-as-text", "hosted-activity"} & codes:
                continue
        if said != heard:
            return f"{name}: {said!r:.300} is {heard!r:.300}"
    return ""


# ---- the client's side


def _kept(client: Dialect, answer: dict[str, Any]) -> Any:
    match client:
        case Dialect.OPENAI_CHAT:
            return answer["choices"][0]["message"]
        case Dialect.OPENAI_RESPONSES:
            return answer["output"]
        case Dialect.ANTHROPIC_MESSAGES:
            return answer["content"]
        case Dialect.GEMINI:
            return (answer.get("candidates") or [{}])[0].get("content")


def _again(client: Dialect, kept: Any) -> dict[str, Any]:
    """The next request: results of all calls, or a word where there is no call."""
    asked: dict[str, Any] = {"role": "user", "content": "x"}
    match client:
        case Dialect.OPENAI_CHAT:
            calls = [call["id"] for call in kept.get("tool_calls") or []]
            results = [{"role": "tool", "tool_call_id": one, "content": "r"} for one in calls]
            return {"model": "m", "messages": [asked, kept, *(results or [asked])]}
        case Dialect.OPENAI_RESPONSES:
            outputs = [
                _output(item) for item in kept if item["type"] in ("function_call", "custom_tool_call")
            ]
            return {"model": "m", "input": [asked, *kept, *(outputs or [asked])]}
        case Dialect.ANTHROPIC_MESSAGES:
            ids = [block["id"] for block in kept if block["type"] == "tool_use"]
            blocks = [{"type": "tool_result", "tool_use_id": one, "content": "r"} for one in ids]
            said = {"role": "user", "content": blocks or "x"}
            turns = [asked, {"role": "assistant", "content": kept}, said]
            return {"model": "m", "max_tokens": 9, "messages": turns}
        case Dialect.GEMINI:
            calls = [part["functionCall"] for part in kept["parts"] if "functionCall" in part]
            answers = [{"functionResponse": {**_named(call), "response": {"output": "r"}}} for call in calls]
            word = {"role": "user", "parts": [{"text": "x"}]}
            return {"contents": [word, kept, {"role": "user", "parts": answers} if answers else word]}


def _output(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": item["type"] + "_output", "call_id": item["call_id"], "output": "r"}


def _named(call: dict[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in ("id", "name") if name in call}


# ---- the upstream's side


def _said(wire: Dialect, reply: dict[str, Any]) -> Said:
    match wire:
        case Dialect.OPENAI_CHAT:
            return _chat(reply["choices"][0]["message"])
        case Dialect.OPENAI_RESPONSES:
            return _responses(reply["output"])
        case Dialect.ANTHROPIC_MESSAGES:
            return _messages(reply["content"])
        case Dialect.GEMINI:
            return _gemini((reply.get("candidates") or [{}])[0].get("content") or {})


def _returned(wire: Dialect, body: dict[str, Any]) -> Said:
    """What stands between the two turns of the user."""
    match wire:
        case Dialect.OPENAI_CHAT:
            messages = (one for one in body["messages"] if one["role"] == "assistant")
            return _chat(next(messages, {}))
        case Dialect.OPENAI_RESPONSES:
            return _responses(body["input"])
        case Dialect.ANTHROPIC_MESSAGES:
            turns = (one["content"] for one in body["messages"] if one["role"] == "assistant")
            return _messages(next(turns, []))
        case Dialect.GEMINI:
            contents = (one for one in body["contents"] if one.get("role") == "model")
            return _gemini(next(contents, {}))


def _chat(message: dict[str, Any]) -> Said:
    calls = [
        (call.get("id"), _called(call)["name"], _value(_called(call)))
        for call in message.get("tool_calls") or []
    ]
    content = message.get("content")
    if isinstance(content, dict):  # JSON that was asked for
        content = orjson.dumps(content).decode()
    texts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content or []]
    return {"calls": calls, "text": [*texts, message.get("refusal") or ""], "seals": []}


def _called(call: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = call.get("function") or call["custom"]
    return {"arguments": function.get("input"), **function}


def _value(arguments: Any) -> Any:
    """Free text may have gone as an object."""
    said = arguments["arguments"] if isinstance(arguments, dict) else arguments
    try:
        return orjson.loads(said) if isinstance(said, str) else said or {}
    except orjson.JSONDecodeError:
        return {"input": said} if said else {}


def _responses(items: list[dict[str, Any]]) -> Said:
    said: Said = {"calls": [], "text": [], "seals": []}
    for item in items:
        match item.get("type"):
            case "function_call" | "custom_tool_call":
                text, space = item.get("arguments", item.get("input")), item.get("namespace")
                name = f"{space}__{item['name']}" if space else item["name"]
                said["calls"].append((item["call_id"], name, _value(text)))
            case "reasoning" if item.get("encrypted_content"):
                said["seals"].append((item["id"], item["encrypted_content"]))
            case _ if item.get("role") == "assistant":
                parts = item["content"] if isinstance(item["content"], list) else [{"text": item["content"]}]
                said["text"] += (part.get("text") or part.get("refusal") or "" for part in parts)
    return said


def _followed(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """OpenAI takes reasoning back only with what followed it, and hosted work is lost."""
    kinds = ("function_call", "custom_tool_call", "message", "reasoning")
    left = [item for item in items if item["type"] in kinds]
    return [
        (one["id"], one["encrypted_content"])
        for one, two in zip(left, left[1:], strict=False)
        if one["type"] == "reasoning" != two["type"] and one.get("encrypted_content")
    ]


def _messages(content: Any) -> Said:
    said: Said = {"calls": [], "text": [], "seals": []}
    for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        match block["type"]:
            case "text":
                said["text"].append(block["text"])
            case "tool_use":
                said["calls"].append((block["id"], block["name"], block["input"]))
            case "thinking" if block.get("signature"):  # others are never sent
                said["seals"].append((block["thinking"], block["signature"]))
            case "redacted_thinking":
                said["seals"].append(block["data"])
    return said


def _gemini(content: dict[str, Any]) -> Said:
    said: Said = {"calls": [], "text": [], "seals": []}
    for part in content.get("parts") or []:
        if "functionCall" in part:
            call = part["functionCall"]
            said["calls"].append((call["name"], call.get("args") or {}))
        elif "text" in part and not part.get("thought"):
            said["text"].append(part["text"])
        seal = part.get("thoughtSignature")
        if seal and ("text" in part or "functionCall" in part):  # hosted work is lost with its own
            said["seals"].append(("call" if "functionCall" in part else "text", seal))
    return said
