"""Answers a request for one of the APIs, credentials and faults aside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmitm.demo import anthropic_messages, cloudflare, gemini, openai_chat, openai_responses
from llmitm.demo.answers import Reply
from llmitm.demo.ask import Ask, read_ask, read_object
from llmitm.demo.errors import error
from llmitm.demo.received import Received
from llmitm.demo.routes import Route, Task
from llmitm.errors import Refused
from llmitm.exchange import Dialect


def is_in_array(route: Route, received: Received) -> bool:
    """The answer is Gemini's JSON array, in which its errors are wrapped as well."""
    return route.stream and received.query.get("alt") != "sse"


def api_reply(route: Route, received: Received, *, never_streams: bool = False) -> Reply:
    """The answer, or the API's own error for a request that it would not take."""
    hop = route.hop
    if hop is not None and (refused := cloudflare.refuse_path(hop)):
        return refused
    if received.method != route.method and not (received.method == "HEAD" and route.method == "GET"):
        return error(route.dialect, 405, f"Not allowed here: {received.method}.")
    try:
        if route.task is Task.MODELS:
            reply = _models(route)
        else:
            data = read_object(received.body, received.text(b"content-encoding").lower())
            if hop is not None:
                if refused := cloudflare.refuse_model(hop, data.get("model")):
                    return refused
                if hop.form is cloudflare.Form.COMPAT:
                    # the vendor behind sees, and names, its own model
                    data = {**data, "model": data["model"].partition("/")[2]}
            reply = _reply(route, received, data, never_streams=never_streams)
    except Refused as refusal:
        has_code = route.dialect.startswith("openai") or refusal.code.startswith("thread_")
        code = refusal.code if has_code else None
        in_array = is_in_array(route, received)
        return error(route.dialect, refusal.status, refusal.message, code, in_array=in_array)
    if hop is not None:
        reply = replace(reply, headers=(*reply.headers, *cloudflare.headers(hop)))
    return reply


def _models(route: Route) -> Reply:
    maker = {
        Dialect.ANTHROPIC_MESSAGES: anthropic_messages.models,
        Dialect.GEMINI: gemini.models,
    }.get(route.dialect, openai_chat.models)
    return maker(route.model)


def _reply(route: Route, received: Received, data: dict[str, Any], *, never_streams: bool) -> Reply:
    if route.task is Task.EMBED:
        is_gemini = route.dialect is Dialect.GEMINI
        return gemini.embeddings(data, route.model or "") if is_gemini else openai_chat.embeddings(data)
    if route.task is Task.COUNT:
        return _count(route, received, data)
    if route.task is Task.COMPLETE:
        return openai_chat.completion(_streaming(read_ask(route.dialect, _as_chat(data)), never_streams))
    if route.dialect is Dialect.ANTHROPIC_MESSAGES:
        anthropic_messages.check(data, received.text(b"anthropic-version"))
    ask = _streaming(
        read_ask(route.dialect, data, model=route.model, stream=route.stream),
        never_streams,
    )
    match route.dialect:
        case Dialect.OPENAI_CHAT:
            return openai_chat.reply(ask)
        case Dialect.OPENAI_RESPONSES:
            return openai_responses.reply(ask, data)
        case Dialect.ANTHROPIC_MESSAGES:
            return anthropic_messages.reply(ask)
        case Dialect.GEMINI:
            return gemini.reply(ask, as_events=not is_in_array(route, received))


def _streaming(ask: Ask, never_streams: bool) -> Ask:
    return replace(ask, stream=False) if never_streams else ask


def _count(route: Route, received: Received, data: dict[str, Any]) -> Reply:
    if route.dialect is Dialect.GEMINI:
        data = data.get("generateContentRequest") or data
        return gemini.count(read_ask(route.dialect, data, model=route.model))
    if route.dialect is Dialect.OPENAI_RESPONSES:
        return openai_responses.count(read_ask(route.dialect, data), data)
    anthropic_messages.check({"max_tokens": 0, **data}, received.text(b"anthropic-version"))
    return anthropic_messages.count(read_ask(route.dialect, data), data)


def _as_chat(data: dict[str, Any]) -> dict[str, Any]:
    """A text completion's request as if it were a chat's."""
    prompt = data.get("prompt")
    text = "\n".join(map(str, prompt)) if isinstance(prompt, list) else prompt
    return {**data, "n": 1, "messages": [{"role": "user", "content": text}]}
