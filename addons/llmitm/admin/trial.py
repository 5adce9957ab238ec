"""One cheap call with one credential, past routing: whether it works, and how long it takes."""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson

from llmitm.admin.shown import Shown
from llmitm.config.providers import Credential
from llmitm.errors import LlmitmError, Refused
from llmitm.exchange import Dialect, HeldBody, UpstreamRequest
from llmitm.route import calls, plan
from llmitm.route.providers import Candidate
from llmitm.trip.translated import ANTHROPIC_VERSION
from llmitm.world import World

PROMPT: Final = "Reply with just: OK"
DEADLINE_S: Final = 30.0
MOST_BYTES: Final = 65_536
_MOST_TOLD: Final = 400
_PATHS: Final = {
    Dialect.OPENAI_CHAT: b"/v1/chat/completions",
    Dialect.OPENAI_RESPONSES: b"/v1/responses",
    Dialect.ANTHROPIC_MESSAGES: b"/v1/messages",
}


class Tried(Shown):
    is_fine: bool
    status: int | None
    """Of the provider's answer; null: none came."""
    latency_ms: float
    model: str
    outcome: Literal["answered", "refused", "no_answer"]
    error: str | None
    """What the provider said, or why nothing came."""


async def run(world: World, provider: str, credential: Credential, model: str | None) -> Tried:
    """Neither rests the credential nor revives it.

    Raises:
        Refused: 422, nobody says which model to ask for, or there is no address.
    """
    options, config = credential, world.config
    wanted = (
        model or options.test_model or next((one.id for one in options.models if "*" not in one.id), None)
    )
    if wanted is None:
        raise Refused(
            422,
            "no_test_model",
            f"Name a model, or set test_model of the provider {provider}: none is known.",
        )
    if options.base(provider) is None:
        raise Refused(422, "no_base_url", f"The provider {provider} has no base_url.")
    dialect = options.dialect(provider)
    path = _PATHS.get(dialect) or b"/v1beta/models/%s:generateContent" % wanted.encode()
    call = calls.find(path)
    assert call is not None, "these are calls"
    asked = plan.Asked(
        id=f"test-{provider}",
        endpoint=config.default_endpoint or next(iter(config.endpoints), ""),
        rest=path,
        dialect=dialect,
        drop_headers=frozenset(),
        deadline_s=world.clock.tick_s() + DEADLINE_S,
    )
    candidate = Candidate(provider=provider, options=options, credential=credential, model=wanted)
    planned = plan.towards(asked, candidate, call, config)
    body = orjson.dumps(_body(dialect, wanted))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    named = {name.lower() for name, _ in planned.add_headers}
    if dialect is Dialect.ANTHROPIC_MESSAGES and b"anthropic-version" not in named:
        headers.append((b"anthropic-version", ANTHROPIC_VERSION))
    sending = UpstreamRequest(
        method="POST", url=planned.attempt.url, headers=(*headers, *planned.add_headers), body=HeldBody(body)
    )
    began_s = world.clock.tick_s()
    status, text = await _asked(world, planned.attempt, sending)
    taken_ms = round((world.clock.tick_s() - began_s) * 1000, 1)
    is_fine = status is not None and 200 <= status < 300
    return Tried(
        is_fine=is_fine,
        status=status,
        latency_ms=taken_ms,
        model=wanted,
        outcome="answered" if is_fine else "no_answer" if status is None else "refused",
        error=None if is_fine else world.redact(" ".join(text.split()))[:_MOST_TOLD],
    )


async def _asked(world: World, attempt: Any, sending: UpstreamRequest) -> tuple[int | None, str]:
    try:
        reply = await world.sender.send(attempt, sending)
    except LlmitmError as error:
        return None, str(error)
    try:
        content = b""
        while len(content) < MOST_BYTES and (piece := await reply.read()):
            content += piece
    except LlmitmError as error:
        return None, str(error)
    finally:
        await reply.close()
    return reply.head.status, _message(content)


def _message(content: bytes) -> str:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode("utf-8", "replace")
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return content.decode("utf-8", "replace")


def _body(dialect: Dialect, model: str) -> dict[str, Any]:
    """The least that each asks for. How long the answer may be is not said: not all models take it."""
    said = [{"role": "user", "content": PROMPT}]
    match dialect:
        case Dialect.OPENAI_RESPONSES:
            return {"model": model, "input": PROMPT, "store": False}
        case Dialect.ANTHROPIC_MESSAGES:
            return {"model": model, "max_tokens": 8, "messages": said}
        case Dialect.GEMINI:
            return {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
        case _:
            return {"model": model, "messages": said}
