"""The official clients do what a refusal of ours asks of them: they come back when it says, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2  # the official clients bring it
import openai
import pytest

from llmitm.accept.limits import Asked, admit
from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.state.memory import MemoryStore
from llmitm.translate.failures import write_error
from support.clocks import HandClock

MESSAGES: list[Any] = [{"role": "user", "content": "Hello."}]


def ask_openai(http: httpx2.Client) -> object:
    with openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=5) as client:
        return client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)


def ask_anthropic(http: httpx2.Client) -> object:
    with anthropic.Anthropic(
        api_key="k", base_url="http://gateway", http_client=http, max_retries=5
    ) as client:
        return client.messages.with_raw_response.create(model="m", max_tokens=1, messages=MESSAGES)


SDKS = [
    pytest.param(Dialect.OPENAI_CHAT, ask_openai, openai.RateLimitError, id="openai"),
    pytest.param(Dialect.ANTHROPIC_MESSAGES, ask_anthropic, anthropic.RateLimitError, id="anthropic"),
]


async def refusal(dialect: Dialect, limits: dict[str, int], later_s: float) -> httpx2.Response:
    """Of the second of two exchanges."""
    clock = HandClock()
    store, config = MemoryStore(clock), Config.model_validate({"rate_limit": limits})
    with pytest.raises(Refused) as caught:
        for number in range(2):
            asked = Asked(exchange_id=f"x-{number}", auth_key=None, dialect=dialect, body=b'{"a":"b c d"}')
            await admit(asked, config, store, clock)
            clock.at_s += later_s
    error = caught.value
    body = write_error(dialect, error.status, error.code, error.message, "x-1")
    headers = [*error.headers, (b"content-type", b"application/json")]
    return httpx2.Response(error.status, headers=headers, content=body)


def answering(*responses: httpx2.Response) -> tuple[httpx2.Client, list[httpx2.Request]]:
    left, seen = iter(responses), []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return next(left)

    return httpx2.Client(transport=httpx2.MockTransport(answer)), seen


@pytest.mark.parametrize(("dialect", "ask", "error"), SDKS)
async def test_they_come_back_when_there_is_room(
    dialect: Dialect, ask: Callable[[httpx2.Client], object], error: type[Exception]
) -> None:
    refused = await refusal(dialect, {"rpm": 1}, later_s=60.99)
    assert float(refused.headers["retry-after-ms"]) <= 10
    http, seen = answering(refused, httpx2.Response(200, json={}))
    ask(http)
    assert len(seen) == 2


@pytest.mark.parametrize(("dialect", "ask", "error"), SDKS)
async def test_they_do_not_come_back_with_what_can_never_pass(
    dialect: Dialect, ask: Callable[[httpx2.Client], object], error: type[Exception]
) -> None:
    http, seen = answering(await refusal(dialect, {"tpm": 2}, later_s=0))
    with pytest.raises(error, match="it can never pass"):
        ask(http)
    assert len(seen) == 1
