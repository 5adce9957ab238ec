"""The normal form of a reply, from what each vendor's official client makes of it."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import orjson

from llmitm.exchange import Dialect
from support.normal.form import Call, Form, arguments, finish, image

_CHAT_FINISH: Final = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "blocked",
    "sensitive": "blocked",
    "error": "other",
    "insufficient_system_resource": "other",
    "abort": "other",
    None: "none",
}
"""All others are `stop`."""
_MESSAGES_FINISH: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "blocked",
    None: "none",
}
_GEMINI_FINISH: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "LANGUAGE",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "RECITATION",
            "IMAGE_RECITATION",
        ),
        "blocked",
    ),
}
"""All others are `other`."""


def form_of(dialect: Dialect, reply: dict[str, Any]) -> Form:
    """`reply`: what the client made of it, as a dict with the names of the API."""
    match dialect:
        case Dialect.OPENAI_CHAT:
            return of_chat(reply)
        case Dialect.OPENAI_RESPONSES:
            return of_responses(reply)
        case Dialect.ANTHROPIC_MESSAGES:
            return of_messages(reply)
        case Dialect.GEMINI:
            return of_gemini(reply)


# ---- chat


def of_chat(reply: dict[str, Any]) -> Form:
    form = Form(usage=chat_usage(reply.get("usage")))
    choices = reply.get("choices") or []
    if not choices:
        return form
    choice = choices[0]
    message = choice.get("message") or {}
    chat_content(message.get("content"), form)
    form.refusal += message.get("refusal") or ""
    details = message.get("reasoning_details") or []
    form.reasoning += (
        message.get("reasoning_content")
        or (reason if isinstance(reason := message.get("reasoning"), str) else "")
        or "".join(one.get("text") or one.get("summary") or "" for one in details if isinstance(one, dict))
    )
    form.calls = [_chat_call(call) for call in message.get("tool_calls") or []]
    if (legacy := message.get("function_call") or {}).get("name"):
        form.calls.append(
            Call(id="", name=legacy.get("name") or "", arguments=arguments(legacy.get("arguments") or ""))
        )
    for one in message.get("images") or []:
        url = (one.get("image_url") or {}).get("url") or ""
        form.images.append(_data_url(url))
    if any(one.get("type") == "url_citation" for one in message.get("annotations") or []):
        form.holds.add("citations")
    if (message.get("audio") or {}).get("data"):
        form.holds.add("audio")
    form.finish = finish(_CHAT_FINISH.get(choice.get("finish_reason"), "stop"), form)
    return form


def chat_content(content: Any, form: Form) -> None:
    if isinstance(content, str):
        form.texts.append(content)
        return
    for part in content or []:
        match part.get("type"):
            case "text" | "output_text":
                form.texts.append(part.get("text") or "")
            case "refusal":
                form.refusal += part.get("refusal") or ""
            case "thinking":
                said = part.get("thinking") or []
                form.reasoning += said if isinstance(said, str) else "".join(x.get("text", "") for x in said)


def _chat_call(call: dict[str, Any]) -> Call:
    if call.get("type") == "custom":
        custom = call["custom"]
        return Call(
            id=call.get("id") or "", name=custom["name"], arguments={"input": custom.get("input") or ""}
        )
    function = call.get("function") or {}
    said = function.get("arguments")
    text = said if isinstance(said, str) else orjson.dumps(said or {}).decode()
    return Call(id=call.get("id") or "", name=function.get("name") or "", arguments=arguments(text))


def _data_url(url: str) -> str:
    head, _, data = url.partition(",")
    if not head.startswith("data:"):
        return url
    return _base64(data)


def _base64(data: str) -> str:
    try:
        return image(base64.b64decode(data, validate=True))
    except (ValueError, binascii.Error):
        return data[:40]


def chat_usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    inside, outside = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    cached = inside.get("cached_tokens")
    cached = usage.get("prompt_cache_hit_tokens") if cached is None else cached
    cached = usage.get("cached_tokens") if cached is None else cached
    made, thought = usage.get("completion_tokens"), outside.get("reasoning_tokens")
    read, total = usage.get("prompt_tokens"), usage.get("total_tokens")
    if thought and made is not None and read is not None and total == read + made + thought:
        made += thought
    return _known(read, made, cached, thought)


def _known(read: Any, made: Any, cached: Any, thought: Any) -> dict[str, int]:
    """The counts that are known; hosts that count the cache apart have more in it than they read."""
    if cached and read is not None and cached > read:
        read += cached
    counts = {"in": read, "out": made, "cached": cached, "reasoning": thought}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


# ---- responses


def of_responses(reply: dict[str, Any]) -> Form:
    form = Form(usage=responses_usage(reply.get("usage")))
    for item in reply.get("output") or []:
        _responses_item(item, form)
    status = reply.get("status")
    why = (reply.get("incomplete_details") or {}).get("reason")
    word = "other"
    if status == "completed":
        word = "stop"
    elif status == "incomplete":
        word = {"max_output_tokens": "length", "content_filter": "blocked"}.get(why, "other")
    form.finish = finish(word, form)
    return form


def _responses_item(item: dict[str, Any], form: Form) -> None:
    match item.get("type"):
        case "message":
            for part in item.get("content") or []:
                if part.get("type") == "refusal":
                    form.refusal += part.get("refusal") or ""
                elif part.get("type") == "output_text":
                    form.texts.append(part.get("text") or "")
                    if part.get("annotations"):
                        form.holds.add("citations")
        case "reasoning":
            full = [part.get("text") or "" for part in item.get("content") or []]
            short = [part.get("text") or "" for part in item.get("summary") or []]
            form.reasoning += "".join(full) or "".join(short)
        case "function_call":
            said, space = arguments(item.get("arguments") or ""), item.get("namespace")
            name = f"{space}__{item['name']}" if space else item.get("name") or ""
            form.calls.append(Call(id=item.get("call_id") or "", name=name, arguments=said))
        case "custom_tool_call":
            form.calls.append(
                Call(
                    id=item.get("call_id") or "",
                    name=item["name"],
                    arguments={"input": item.get("input") or ""},
                )
            )
        case "image_generation_call":
            if item.get("result"):
                form.images.append(_base64(item["result"]))
            else:
                form.holds.add("hosted")
        case _:
            form.holds.add("hosted")


def responses_usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    inside, outside = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    return _known(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        inside.get("cached_tokens"),
        outside.get("reasoning_tokens"),
    )


# ---- messages


def of_messages(reply: dict[str, Any]) -> Form:
    form = Form(usage=messages_usage(reply.get("usage")))
    for block in reply.get("content") or []:
        match block.get("type"):
            case "text":
                form.texts.append(block.get("text") or "")
                if block.get("citations"):
                    form.holds.add("citations")
            case "thinking":
                form.reasoning += block.get("thinking") or ""
            case "redacted_thinking":
                pass
            case "tool_use":
                said = block.get("input")
                text = said if isinstance(said, str) else orjson.dumps(said).decode()
                form.calls.append(
                    Call(id=block.get("id") or "", name=block["name"], arguments=arguments(text))
                )
            case _:
                form.holds.add("hosted")
    form.explanation = (reply.get("stop_details") or {}).get("explanation") or ""
    form.finish = finish(_MESSAGES_FINISH.get(reply.get("stop_reason"), "stop"), form)
    return form


def messages_usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    parts = [
        usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    ]
    read = None if parts[0] is None else sum(one or 0 for one in parts)
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens")
    return _known(read, usage.get("output_tokens"), usage.get("cache_read_input_tokens"), thought)


# ---- gemini


def of_gemini(reply: dict[str, Any]) -> Form:
    form = Form(usage=gemini_usage(reply.get("usageMetadata")))
    candidates = reply.get("candidates") or []
    if not candidates:
        form.finish = "blocked" if reply.get("promptFeedback") else "none"
        return form
    first = candidates[0]
    for part in (first.get("content") or {}).get("parts") or []:
        _gemini_part(part, form)
    if (first.get("groundingMetadata") or {}).get("groundingSupports") or (
        first.get("citationMetadata") or {}
    ).get("citations"):
        form.holds.add("citations")
    word = first.get("finishReason")
    form.finish = finish("none" if word is None else _GEMINI_FINISH.get(word, "other"), form)
    return form


def _gemini_part(part: dict[str, Any], form: Form) -> None:
    if "functionCall" in part:
        call = part["functionCall"]
        form.calls.append(
            Call(id=call.get("id") or "", name=call.get("name") or "", arguments=call.get("args") or {})
        )
    elif "executableCode" in part or "codeExecutionResult" in part:
        form.holds.add("code")
        code = part.get("executableCode") or {}
        result = part.get("codeExecutionResult") or {}
        form.code.append(code.get("code") or result.get("output") or "")
    elif "inlineData" in part:
        blob = part["inlineData"]
        if (blob.get("mimeType") or "").startswith("image/"):
            form.images.append(image(_bytes(blob.get("data") or "")))
        else:
            form.holds.add("audio")
    elif part.get("thought"):
        form.reasoning += part.get("text") or ""
    elif "text" in part:
        form.texts.append(part.get("text") or "")
    elif set(part) - {"thoughtSignature"}:
        form.holds.add("hosted")


def _bytes(data: str | bytes) -> bytes:
    """The SDK gives bytes; its JSON has them in base64 of either alphabet."""
    if isinstance(data, bytes):
        return data
    return base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4))


def gemini_usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    read, tools = usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")
    made, thought = usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount")
    everything = None if made is None and thought is None else (made or 0) + (thought or 0)
    whole = None if read is None and tools is None else (read or 0) + (tools or 0)
    return _known(whole, everything, usage.get("cachedContentTokenCount"), thought)
