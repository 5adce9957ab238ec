"""Traces of a running gateway, as a collector gets them over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from support.backstage import Backstage
from support.collecting import Collected, resource_of
from support.gateway import Gateway

CONFIG = """
retry = {{base_ms = 1, cooldowns = false}}
[server]
port = 0
[endpoints.all]
kind = "gateway"
[endpoints.dev]
target_base = "{url}"
[[providers.openai.credentials]]
base_url = "{url}/v1"
api_key = "sk-canary-first"
name = "first"
[[providers.openai.credentials]]
base_url = "{url}/v1"
api_key = "sk-canary-second"
name = "second"
[providers.claude]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-ant-canary-third"]
models = ["claude-*"]
[[auth_keys]]
name = "laptop"
key = "sk-proxy-canary-laptop"
[model_prices]
"gpt-*" = {{input = 1.0, output = 10.0}}
[telemetry]
enabled = true
endpoint = "{collector}"
headers = {{authorization = "Bearer canary-of-the-collector"}}
service_name = "gateway-under-test"
flush_ms = 50
"""
KEY = "sk-proxy-canary-laptop"
PROMPT = "a canary prompt that nobody else shall read"


def parent(number: int) -> str:
    """A client's `traceparent`."""
    return f"00-0af7651916cd43dd8448eb211c8031{number:02x}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collected]:
    with Collected() as running:
        yield running


@pytest.fixture(scope="module")
def provider() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    provider: Backstage, collector: Collected, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=provider.url, collector=collector.url)
    with Gateway(config, tmp_path_factory.mktemp("gateway"), host="serve") as running:
        yield running


@pytest.fixture
def client(gateway: Gateway, provider: Backstage) -> Iterator[httpx.Client]:
    provider.forget()
    headers = {"x-llmitm-key": KEY}
    with httpx.Client(base_url=gateway.url, timeout=10, headers=headers) as made:
        yield made


def chat(model: str = "gpt-demo", **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}


def test_a_plain_answer(gateway: Gateway, collector: Collected, client: httpx.Client) -> None:
    answer = client.post("/all/v1/chat/completions", json=chat(), headers={"traceparent": parent(1)})
    trace_id = answer.headers["x-llmitm-trace-id"]
    served, called = collector.trace(trace_id, 2)
    assert trace_id == parent(1)[3:35]
    assert (served.parent_id, called.parent_id) == (parent(1)[36:52], served.span_id)
    assert (served.name, served.kind) == ("POST /all/v1/chat/completions", "server")
    assert (called.name, called.kind) == ("chat gpt-demo", "client")
    assert served["http.response.status_code"] == 200 and served["llmitm.key.name"] == "laptop"
    assert called["gen_ai.provider.name"] == "openai" and called["server.address"] == "127.0.0.1"
    usage = answer.json()["usage"]
    assert called["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert called["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert called["llmitm.cost.usd_nano"] > 0
    assert not served.is_error and not called.is_error
    assert 0 < called.duration_s <= served.duration_s
    gateway.wait_for(f'"trace_id":"{trace_id}"')  # the log names it, too
    path, headers, body = collector.posts[0]
    assert (path, headers["authorization"]) == ("/v1/traces", "Bearer canary-of-the-collector")
    assert resource_of(body)["service.name"] == "gateway-under-test"


def test_an_upstream_is_told_of_the_attempt_that_it_is(
    collector: Collected, client: httpx.Client, provider: Backstage
) -> None:
    """Whether the request is passed on as it is or translated."""
    for number, path in enumerate(("/all/v1/chat/completions", "/all/v1/messages"), 2):
        provider.forget()
        headers = {"traceparent": parent(number), "tracestate": "vendor=opaque"}
        assert client.post(path, json=chat(max_tokens=9), headers=headers).status_code == 200
        received = provider.received()
        _, called = collector.trace(parent(number)[3:35], 2)
        sent = [value.decode() for name, value in received.headers if name.lower() == b"traceparent"]
        assert sent == [f"00-{called.trace_id}-{called.span_id}-01"]
        assert received.header(b"tracestate") == b"vendor=opaque"


def test_what_passes_untouched_keeps_the_clients_own(
    collector: Collected, client: httpx.Client, provider: Backstage
) -> None:
    answer = client.post("/dev/v1/chat/completions", json=chat(), headers={"traceparent": parent(9)})
    assert provider.received().header(b"traceparent") == parent(9).encode()
    assert answer.headers["x-llmitm-trace-id"] == parent(9)[3:35]


def test_streams_of_the_official_libraries(
    gateway: Gateway, collector: Collected, provider: Backstage
) -> None:
    """Passed on as it is, and translated."""
    with openai.OpenAI(base_url=f"{gateway.url}/all/v1", api_key=KEY, max_retries=0) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**chat(stream=True))  # type: ignore[call-overload]
        assert [*raw.parse()]
    served, called = collector.trace(raw.headers["x-llmitm-trace-id"], 2)
    assert served["llmitm.stream"] is True and called["gen_ai.usage.output_tokens"] > 0
    assert called["gen_ai.response.time_to_first_chunk"] > 0
    with anthropic.Anthropic(base_url=f"{gateway.url}/all", api_key=KEY, max_retries=0) as claude:
        with claude.messages.stream(
            model="gpt-demo", max_tokens=50, messages=[{"role": "user", "content": PROMPT}]
        ) as stream:
            said = stream.get_final_message()
            trace_id = stream.response.headers["x-llmitm-trace-id"]
    served, called = collector.trace(trace_id, 2)
    assert (served["llmitm.dialect"], called["openai.api.type"]) == ("anthropic-messages", "chat_completions")
    assert called["gen_ai.usage.output_tokens"] == said.usage.output_tokens
    assert called["gen_ai.response.id"] and called["gen_ai.response.finish_reasons"] == ["stop"]


def test_attempts_that_fail_stand_beside_the_one_that_answers(
    collector: Collected, client: httpx.Client, provider: Backstage
) -> None:
    provider.script(["status:500", None])
    answer = client.post("/all/v1/chat/completions", json=chat())
    served, failed, called = collector.trace(answer.headers["x-llmitm-trace-id"], 3)
    assert failed.parent_id == called.parent_id == served.span_id and not served.parent_id
    assert (failed.is_error, failed["error.type"], failed["http.response.status_code"]) == (
        True,
        "server",
        500,
    )
    assert (called.is_error, called["http.request.resend_count"], called["llmitm.attempt"]) == (False, 1, 2)
    assert {failed["llmitm.credential"], called["llmitm.credential"]} == {"first", "second"}
    assert not served.is_error and served["llmitm.attempts"] == 2


def test_who_is_refused(collector: Collected, client: httpx.Client) -> None:
    answer = client.post(
        "/all/v1/chat/completions", json=chat(), headers={"x-llmitm-key": "sk-proxy-canary-wrong"}
    )
    assert answer.status_code == 401
    (served,) = collector.trace(answer.headers["x-llmitm-trace-id"], 1)
    assert (served["llmitm.outcome"], served["http.response.status_code"]) == ("refused", 401)
    assert not served.is_error and served["llmitm.key.name"] is None


def test_who_leaves(collector: Collected, client: httpx.Client, provider: Backstage) -> None:
    provider.script(["stall-stream:2"])
    with client.stream("POST", "/all/v1/chat/completions", json=chat(stream=True)) as leaving:
        next(leaving.iter_raw())
        trace_id = leaving.headers["x-llmitm-trace-id"]
    served, called = collector.trace(trace_id, 2)
    assert (served["error.type"], served["llmitm.outcome"]) == ("client_disconnected", "client_gone")
    assert called["llmitm.verdict"] == "dropped"


def test_no_secret_and_nothing_that_was_said_is_in_any(collector: Collected, client: httpx.Client) -> None:
    """Also where clients put keys into paths and models' names."""
    client.post("/all/v1/chat/completions?key=sk-proxy-canary-query", json=chat())
    client.post("/all/v1/chat/completions", json=chat(model="sk-canary-as-a-model-name"))
    last = client.post("/dev/sk-canary-in-a-path/v1/messages", json=chat())
    collector.trace(last.headers["x-llmitm-trace-id"], 2)
    sent = b"".join(body for _, _, body in collector.posts)
    assert b"gpt-demo" in sent
    assert b"canary" not in sent


def test_what_waits_is_sent_before_the_end_with_metrics_and_words_where_they_are_wanted(
    provider: Backstage, collector: Collected, tmp_path: Path
) -> None:
    text = CONFIG.format(url=provider.url, collector=collector.url)
    text = text.replace("flush_ms = 50", 'flush_ms = 60000\ncontent = true\ncompression = "gzip"')
    with Gateway(text, tmp_path, host="serve") as gateway:
        with openai.OpenAI(
            base_url=f"{gateway.url}/all/v1", api_key="none", default_headers={"x-llmitm-key": KEY}
        ) as sdk:
            raw = sdk.chat.completions.with_raw_response.create(
                **chat("claude-demo", stream=True, temperature=0.5)  # type: ignore[call-overload]
            )
            said = "".join(piece.choices[0].delta.content or "" for piece in raw.parse() if piece.choices)
    _, called = collector.trace(raw.headers["x-llmitm-trace-id"], 2, 1.0)
    assert json.loads(called["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
    ]
    assert json.loads(called["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}
    ]
    assert (called["gen_ai.request.temperature"], called["gen_ai.request.stream"]) == (0.5, True)
    metrics = collector.metrics()
    ((labels, point),) = metrics["gen_ai.client.operation.duration"]
    assert labels["gen_ai.request.model"] == "claude-demo" and point.count == 1
    assert point.sum == pytest.approx(called.duration_s, abs=1e-3)
    used = {labels["gen_ai.token.type"]: point.sum for labels, point in metrics["gen_ai.client.token.usage"]}
    assert used == {
        "input": called["gen_ai.usage.input_tokens"],
        "output": called["gen_ai.usage.output_tokens"],
    }


def test_a_collector_that_is_away_disturbs_nobody(
    provider: Backstage, collector: Collected, tmp_path: Path
) -> None:
    text = CONFIG.format(url=provider.url, collector="http://127.0.0.1:9")
    with Gateway(text, tmp_path, host="serve") as gateway:
        headers = {"x-llmitm-key": KEY}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=10) as client:
            assert client.post("/all/v1/chat/completions", json=chat()).status_code == 200
            gateway.wait_for("traces cannot be sent to http://127.0.0.1:9/v1/traces: ")
            assert client.post("/all/v1/chat/completions", json=chat()).status_code == 200
        assert gateway.stop() == 0
    assert "2 exchanges so far are in no trace" in gateway.output()
    assert "canary-of" not in gateway.output() and json.dumps(PROMPT) not in gateway.output()
