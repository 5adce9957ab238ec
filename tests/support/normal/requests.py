"""The normal form of a request, from the JSON of each dialect."""

from __future__ import annotations

import base64
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from llmitm.exchange import Dialect
from support.normal.asked import Asked, Conversation, Reading, Side, ToolForm
from support.normal.form import arguments, bare, image
from support.normal.schemas import Shape, shape_of

type Body = dict[str, Any]
_CUSTOM: Final = Shape({".input"}, {".input"})
_BILLING: Final = "x-anthropic-billing-header:"
_CAPITAL: Final = re.compile(r"[A-Z]")


def asked_of(dialect: Dialect, body: Body, reading: Reading = Reading()) -> Asked:  # noqa: B008
    match dialect:
        case Dialect.OPENAI_CHAT:
            return _chat(body, reading)
        case Dialect.OPENAI_RESPONSES:
            return _responses(body, reading)
        case Dialect.ANTHROPIC_MESSAGES:
            return _messages(body, reading)
        case Dialect.GEMINI:
            return _gemini(body, reading)


def _said(**settings: Any) -> dict[str, Any]:
    return {name: one for name, one in settings.items() if one is not None and one != []}


def _media(data: str) -> str:
    """A data URL or base64 by its bytes, a URL as it is."""
    if data.startswith("data:"):
        head, _, body = data.partition(",")
        if ";base64" not in head:
            return image(unquote_to_bytes(body))
        data = body
    elif "://" in data[:12]:
        return data
    try:
        text = "".join(data.split()).replace("-", "+").replace("_", "/")
        return image(base64.b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return data[:40]


def _text_or_media(into: Conversation, side: Side, data: str) -> None:
    """A document by its data URL: one of text may be text elsewhere."""
    if data.startswith("data:text/"):
        text = base64.b64decode(data.partition(",")[2]) if ";base64," in data[:80] else b""
        into.document(side, text.decode("utf-8", "replace"), _media(data))
    else:
        into.media(side, _media(data))


def _args(said: Any) -> Any:
    return arguments(
        said if isinstance(said, str) else orjson.dumps(said if said is not None else {}).decode()
    )


# ---- chat


def _chat(body: Body, reading: Reading) -> Asked:
    into = Conversation(reading)
    for message in body.get("messages") or []:
        _chat_message(into, message)
    asked = into.done()
    functions = [{"function": one} for one in body.get("functions") or []]
    for tool in (body.get("tools") or []) + functions:
        if custom := tool.get("custom"):
            asked.tools.append(_tool(custom["name"], custom.get("description"), _CUSTOM))
        elif function := tool.get("function"):
            shape = shape_of(function.get("parameters"))
            asked.tools.append(_tool(function.get("name"), function.get("description"), shape))
    asked.choice = _openai_choice(body.get("tool_choice") or body.get("function_call"))
    asked.is_serial = body.get("parallel_tool_calls") is False
    most = body.get("max_completion_tokens")
    stop = body.get("stop")
    asked.settings = _said(
        max=body.get("max_tokens") if most is None else most,
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=[stop] if isinstance(stop, str) else stop,
    )
    form = body.get("response_format") or {}
    asked.output = _output(form, (form.get("json_schema") or {}).get("schema"))
    return asked


def _tool(name: Any, description: Any, shape: Shape) -> ToolForm:
    return ToolForm(name=name or "", description=bare(description or ""), shape=shape)


def _openai_choice(choice: Any) -> str:
    match choice:
        case None | "auto":
            return "auto"
        case "none":
            return "none"
        case "required" | "any":
            return "any"
        case {"type": "allowed_tools"}:
            allowed = choice.get("allowed_tools") or choice
            return "any" if allowed.get("mode") == "required" else "auto"
        case {"function": {"name": name}} | {"custom": {"name": name}}:
            return f"one:{name}"
        case {"type": "function" | "custom", "name": name}:
            return f"one:{name}"
        case {"name": name} if "type" not in choice:
            return f"one:{name}"
        case _:
            return "hosted"


def _output(form: Body, schema: Any) -> str | Shape:
    match form.get("type"):
        case "json_schema":
            return shape_of(schema)
        case "json_object":
            return "json"
        case _:
            return "text"


def _chat_message(into: Conversation, message: Body) -> None:
    role, content = message.get("role"), message.get("content")
    match role:
        case "system" | "developer":
            for part in [{"text": content}] if isinstance(content, str) else content or []:
                into.system(part.get("text") or "", is_later=True)
        case "tool" | "function":
            said, media = _chat_result(content)
            id = message.get("tool_call_id") or ""
            into.result(id, message.get("name") or "", said, by_name=role == "function")
            for one in media:
                into.media("client", one)
        case "assistant" | "model":
            _chat_parts(into, "model", content)
            into.text("model", message.get("refusal") or "")
            for call in message.get("tool_calls") or []:
                if custom := call.get("custom"):
                    into.call(call.get("id") or "", custom["name"], {"input": custom["input"]})
                else:
                    function = call.get("function") or {}
                    into.call(
                        call.get("id") or "", function.get("name") or "", _args(function.get("arguments"))
                    )
            if legacy := message.get("function_call"):
                into.call("", legacy["name"], _args(legacy.get("arguments")))
        case _:
            _chat_parts(into, "client", content)


def _chat_result(content: Any) -> tuple[Any, list[str]]:
    if not isinstance(content, list):
        return content or "", []
    texts = [part.get("text") or "" for part in content if part.get("type") == "text"]
    media = [_media(part["image_url"]["url"]) for part in content if part.get("type") == "image_url"]
    return "".join(texts), media


def _chat_parts(into: Conversation, side: Side, content: Any) -> None:
    if isinstance(content, str):
        into.text(side, content)
        return
    for part in content or []:
        match part.get("type"):
            case "text" | "input_text" | "output_text" | None:
                into.text(side, part.get("text") or "")
            case "refusal":
                into.text(side, part.get("refusal") or "")
            case "image_url":
                url = part["image_url"]
                into.media(side, _media(url if isinstance(url, str) else url["url"]))
            case "input_audio":
                into.media(side, _media(part["input_audio"]["data"]))
            case "file":
                file = part["file"]
                if file.get("file_data"):
                    _text_or_media(into, side, file["file_data"])
                else:
                    into.media(side, file.get("file_id") or "file")
            case "document_url" | "video_url":
                url = part[part["type"]]
                into.media(side, _media(url if isinstance(url, str) else url["url"]))
            case _:
                pass


# ---- responses


def _responses(body: Body, reading: Reading) -> Asked:
    into = Conversation(reading)
    if body.get("instructions"):
        into.system(body["instructions"])
    said = body.get("input")
    for item in [{"role": "user", "content": said}] if isinstance(said, str) else said or []:
        _responses_item(into, item)
    asked = into.done()
    later = [
        tool
        for item in (said if isinstance(said, list) else [])
        if item.get("type") in ("additional_tools", "tool_search_output")
        for tool in item.get("tools") or []
    ]
    for tool in (body.get("tools") or []) + later:
        _responses_tool(asked, tool, "")
    asked.tools = list({tool.name: tool for tool in asked.tools}.values())
    asked.choice = _openai_choice(body.get("tool_choice"))
    asked.is_serial = body.get("parallel_tool_calls") is False
    asked.settings = _said(
        max=body.get("max_output_tokens"), temperature=body.get("temperature"), top_p=body.get("top_p")
    )
    form = (body.get("text") or {}).get("format") or {}
    asked.output = _output(form, form.get("schema"))
    return asked


def _responses_tool(asked: Asked, tool: Body, space: str) -> None:
    match tool.get("type"):
        case "function":
            shape = shape_of(tool.get("parameters"))
            asked.tools.append(_tool(space + tool["name"], tool.get("description"), shape))
        case "custom":
            asked.tools.append(_tool(space + tool["name"], tool.get("description"), _CUSTOM))
        case "namespace":
            for one in tool.get("tools") or []:
                _responses_tool(asked, one, f"{tool['name']}__")
        case _:
            pass


def _responses_item(into: Conversation, item: Body) -> None:
    match item.get("type", "message"):
        case "message":
            _responses_message(into, item)
        case "function_call":
            name = f"{item['namespace']}__{item['name']}" if item.get("namespace") else item["name"]
            into.call(item.get("call_id") or "", name, _args(item.get("arguments")))
        case "custom_tool_call":
            into.call(item.get("call_id") or "", item["name"], {"input": item.get("input") or ""})
        case "function_call_output" | "custom_tool_call_output":
            said = item.get("output")
            media: list[str] = []
            if isinstance(said, list):
                media = [_responses_media(part) for part in said if part.get("type") != "input_text"]
                said = "".join(part.get("text") or "" for part in said if part.get("type") == "input_text")
            into.result(item.get("call_id") or "", "", said)
            for one in media:
                into.media("client", one)
        case _:
            pass


def _responses_media(part: Body) -> str:
    for name in ("image_url", "file_data", "file_url"):
        if part.get(name):
            return _media(part[name])
    return str(part.get("file_id") or part.get("type"))


def _responses_message(into: Conversation, item: Body) -> None:
    role, content = item.get("role"), item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content or []
    if role in ("system", "developer"):
        for part in parts:
            into.system(part.get("text") or "", is_later=True)
        return
    side: Side = "model" if role == "assistant" else "client"
    for part in parts:
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                into.text(side, part.get("text") or "")
            case "refusal":
                into.text(side, part.get("refusal") or "")
            case "input_file" if part.get("file_data"):
                _text_or_media(into, side, part["file_data"])
            case "input_audio":
                into.media(side, _media(part["input_audio"]["data"]))
            case _:
                into.media(side, _responses_media(part))


# ---- messages


def _messages(body: Body, reading: Reading) -> Asked:
    into = Conversation(reading)
    for text in _texts(body.get("system")):
        if not text.startswith(_BILLING):
            into.system(text)
    for message in body.get("messages") or []:
        content, side = message.get("content"), "model" if message.get("role") == "assistant" else "client"
        if message.get("role") == "system":
            for text in _texts(content):
                into.system(text, is_later=True)
            continue
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            _messages_block(into, "model" if side == "model" else "client", block)
    asked = into.done()
    for tool in body.get("tools") or []:
        if tool.get("type") in (None, "custom"):
            shape = shape_of(tool.get("input_schema"))
            asked.tools.append(_tool(tool.get("name"), tool.get("description"), shape))
    choice = body.get("tool_choice") or {}
    kind = choice.get("type") or "auto"
    asked.choice = f"one:{choice.get('name')}" if kind == "tool" else kind
    asked.is_serial = choice.get("disable_parallel_tool_use") is True
    asked.settings = _said(
        max=body.get("max_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=body.get("stop_sequences"),
    )
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    asked.output = _output(form, form.get("schema"))
    return asked


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block.get("text") or "" for block in content or []]


def _messages_block(into: Conversation, side: Side, block: Body) -> None:
    match block.get("type"):
        case "text":
            into.text(side, block.get("text") or "")
        case "image" | "document":
            _messages_source(into, side, block["source"])
        case "search_result":
            texts = "".join(_texts(block.get("content")))
            into.document(side, texts, bare(texts))
        case "tool_use":
            into.call(block.get("id") or "", block["name"], _args(block.get("input")))
        case "tool_result":
            content = block.get("content")
            inner = [] if isinstance(content, str) else content or []
            said = content if isinstance(content, str) else _messages_result(into, inner)
            into.result(block.get("tool_use_id") or "", "", said)
            for one in inner:
                if one.get("type") == "image" or (one.get("type") == "document" and not _is_text(into, one)):
                    _messages_source(into, "client", one["source"])
        case _:
            pass


def _is_text(into: Conversation, document: Body) -> bool:
    """Whether it is read as text, here and elsewhere."""
    return into.reading.documents_as_text and document["source"].get("type") == "text"


def _messages_result(into: Conversation, inner: list[Body]) -> str:
    said = ""
    for one in inner:
        match one.get("type"):
            case "text":
                said += one.get("text") or ""
            case "search_result":
                said += "".join(_texts(one.get("content")))
            case "document" if _is_text(into, one):
                said += one["source"]["data"]
    return said


def _messages_source(into: Conversation, side: Side, source: Body) -> None:
    match source.get("type"):
        case "base64":
            into.media(side, _media(source["data"]))
        case "url":
            into.media(side, source["url"])
        case "text":
            into.document(side, source["data"], image(source["data"].encode()))
        case "content":
            texts = "".join(_texts(source.get("content")))
            into.document(side, texts, bare(texts))
        case _:
            into.media(side, str(source.get("file_id")))


# ---- gemini


def _of(body: Any, name: str) -> Any:
    """A member in either of its spellings."""
    if not isinstance(body, dict):
        return None
    found = body.get(name)
    return body.get(_CAPITAL.sub(lambda one: "_" + one[0].lower(), name)) if found is None else found


def _many(one: Any) -> list[Any]:
    return one if isinstance(one, list) else [] if one is None else [one]


def _gemini(body: Body, reading: Reading) -> Asked:
    into = Conversation(reading)
    for text in _instruction(_of(body, "systemInstruction")):
        into.system(text)
    for content in _many(_of(body, "contents")):
        if isinstance(content, str):
            content = {"parts": [{"text": content}]}
        side: Side = (
            "model" if str(content.get("role") or "user").lower() in ("model", "assistant") else "client"
        )
        for part in _many(content.get("parts")):
            _gemini_part(into, side, part if isinstance(part, dict) else {"text": part})
    asked = into.done()
    for tool in _many(_of(body, "tools")):
        for one in _many(_of(tool, "functionDeclarations")):
            schema = _of(one, "parametersJsonSchema") or _of(one, "parameters")
            asked.tools.append(_tool(one.get("name"), one.get("description"), shape_of(schema)))
    config = _of(_of(body, "toolConfig"), "functionCallingConfig") or {}
    names = _of(config, "allowedFunctionNames") or []
    mode = {"NONE": "none", "ANY": "any", "2": "any", "3": "none"}.get(
        str(config.get("mode") or "").upper(), "auto"
    )
    asked.choice = f"one:{names[0]}" if mode == "any" and len(names) == 1 else mode
    _gemini_settings(asked, _of(body, "generationConfig") or {})
    return asked


def _instruction(said: Any) -> list[str]:
    if isinstance(said, str):
        return [said]
    if isinstance(said, dict) and "parts" not in said:
        return [said.get("text") or ""]
    parts = _many(said.get("parts")) if isinstance(said, dict) else _many(said)
    return [part if isinstance(part, str) else "".join(_instruction(part)) for part in parts]


def _gemini_settings(asked: Asked, config: Body) -> None:
    asked.settings = _said(
        max=_of(config, "maxOutputTokens"),
        temperature=_of(config, "temperature"),
        top_p=_of(config, "topP"),
        stop=_of(config, "stopSequences"),
    )
    schema = next(
        (
            found
            for name in ("responseJsonSchema", "_responseJsonSchema", "responseSchema")
            if (found := _of(config, name)) is not None
        ),
        None,
    )
    if schema is not None:
        asked.output = shape_of(schema)
    elif _of(config, "responseMimeType") == "application/json":
        asked.output = "json"


def _gemini_part(into: Conversation, side: Side, part: Body) -> None:
    if call := _of(part, "functionCall"):
        into.call(call.get("id") or "", call.get("name") or "", _args(call.get("args")))
    elif answer := _of(part, "functionResponse"):
        id = answer.get("id") or ""
        said = answer.get("response")
        into.result(id, answer.get("name") or "", said if said is not None else {}, by_name=not id)
        for one in answer.get("parts") or []:
            _gemini_media(into, "client", one)
    elif part.get("thought"):
        pass
    elif "text" in part:
        into.text(side, part.get("text") or "")
    else:
        _gemini_media(into, side, part)


def _gemini_media(into: Conversation, side: Side, part: Body) -> None:
    if blob := _of(part, "inlineData"):
        mime = str(_of(blob, "mimeType"))
        _text_or_media(into, side, f"data:{mime};base64,{blob.get('data') or ''}")
    elif file := _of(part, "fileData"):
        into.media(side, str(_of(file, "fileUri")))
