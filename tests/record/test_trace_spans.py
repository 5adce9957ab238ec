"""What an exchange becomes in a trace, by OpenTelemetry's names, and that a collector reads it so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmitm.exchange import Dialect, Noted, Usage
from llmitm.record.entry import Entry, Outcome
from llmitm.record.traces import naming, wire
from llmitm.record.traces.context import begin
from llmitm.record.traces.spans import Extras, Span, Spans
from llmitm.route.verdict import Ending
from llmitm.secret import Redactor, Secret
from support.collecting import spans_in
from support.ledgers import AT_S, entry_of, noted_of

PARENT = ((b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)


def traced(*attempts: Noted, **known: Any) -> Entry:
    entry = entry_of(1, attempts=list(attempts), **known)
    entry.trace = begin(PARENT)
    for number, noted in enumerate(attempts):
        noted.span_id = f"{number + 1:016x}"
    return entry


def spans_of(entry: Entry, extras: Extras | None = None) -> list[Span]:
    return list(Spans(Redactor()).of(entry, extras or Extras()))


def test_what_is_in_no_trace_has_no_spans() -> None:
    assert spans_of(entry_of(1)) == []


def test_the_spans_of_an_exchange() -> None:
    entry = traced(noted_of(reply_id="chatcmpl-1", finishes=("stop",)), is_stream=True, auth_key="laptop")
    served, called = spans_of(entry)
    assert entry.trace is not None
    assert (served.span_id, served.parent_id) == (entry.trace.span_id, "b7ad6b7169203331")
    assert (called.parent_id, called.trace_id) == (served.span_id, served.trace_id)
    assert (served.name, called.name) == ("POST /all/v1/chat/completions", "chat gpt-known")
    assert (served.is_client, called.is_client) == (False, True)
    assert (served.began_s, served.ended_s) == (AT_S + 1, pytest.approx(AT_S + 1.5))
    assert (called.began_s, called.ended_s) == (pytest.approx(AT_S + 1.1), pytest.approx(AT_S + 1.4))
    assert (served.error, called.error) == (None, None)
    assert served.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "url.path": "/all/v1/chat/completions",
        "http.route": "/all/v1/chat/completions",
        "http.response.status_code": 200,
        "client.address": "127.0.0.1",
        "http.request.body.size": 0,
        "http.response.body.size": 0,
        "llmitm.request.id": "llmitm-test-1",
        "llmitm.endpoint": "all",
        "llmitm.key.name": "laptop",
        "llmitm.dialect": "openai-chat",
        "llmitm.alias": "gpt-known",
        "llmitm.stream": True,
        "llmitm.outcome": "ok",
        "llmitm.attempts": 1,
        "llmitm.provider": "main",
        "llmitm.overhead_s": pytest.approx(0.2),
        "llmitm.cost.usd_nano": 1500,
    }
    assert called.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "main",
        "gen_ai.request.model": "gpt-known",
        "gen_ai.response.model": "gpt-known-2026",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": pytest.approx(0.15),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "openai.api.type": "chat_completions",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
        "llmitm.request.id": "llmitm-test-1",
        "llmitm.endpoint": "all",
        "llmitm.provider": "main",
        "llmitm.credential": "one",
        "llmitm.attempt": 1,
        "llmitm.verdict": "answered",
        "llmitm.cost.usd_nano": 1500,
        "llmitm.price.source": "test",
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), {}),
        (Usage(input_tokens=0), {"gen_ai.usage.input_tokens": 0}),
        (
            Usage(input_tokens=9, cache_read_tokens=4, cache_write_tokens=3),
            {
                "gen_ai.usage.input_tokens": 9,
                "gen_ai.usage.cache_read.input_tokens": 4,
                "gen_ai.usage.cache_creation.input_tokens": 3,
                "gen_ai.usage.cache_write.input_tokens": 3,
            },
        ),
        (Usage(reasoning_tokens=2, is_final=False), {"gen_ai.usage.reasoning.output_tokens": 2}),
        (Usage(input_tokens=2**70), {"gen_ai.usage.input_tokens": 2**63 - 1}),
    ],
)
def test_tokens_that_are_known(usage: Usage, expected: dict[str, int]) -> None:
    _, called = spans_of(traced(noted_of(usage=usage)))
    found = {name: value for name, value in called.attributes.items() if name.startswith("gen_ai.usage.")}
    assert found == expected
    assert called.attributes.get("llmitm.usage.is_final", True) is usage.is_final


GOOD = (None, None)


@pytest.mark.parametrize(
    ("status", "outcome", "ending", "served", "called"),
    [
        (200, Outcome.OK, "answered", GOOD, GOOD),
        (503, Outcome.UPSTREAM_ERROR, Ending.OVERLOADED, ("overloaded",) * 2, ("overloaded",) * 2),
        (400, Outcome.REFUSED, Ending.CLIENT, GOOD, ("client",) * 2),
        (499, Outcome.CLIENT_GONE, "dropped", (None, "client_disconnected"), (None, "dropped")),
        (200, Outcome.TRUNCATED, "truncated", ("truncated",) * 2, ("truncated",) * 2),
        (500, Outcome.GATEWAY_ERROR, "answered", ("gateway_error",) * 2, GOOD),
    ],
)
def test_what_failed(
    status: int,
    outcome: Outcome,
    ending: str,
    served: tuple[str | None, str | None],
    called: tuple[str | None, str | None],
) -> None:
    """Whether the span is an error, and its kind. To the gateway a wrong request is none, nor who left."""
    entry = traced(noted_of(ending=ending), status=status, outcome=outcome)
    found = [(one.error, one.attributes.get("error.type")) for one in spans_of(entry)]
    assert found == [served, called]


def test_what_was_refused_without_an_attempt() -> None:
    (served,) = spans_of(traced(status=401, outcome=Outcome.REFUSED, code="invalid_api_key", endpoint=None))
    assert (served.name, served.error) == ("POST", None)
    assert served.attributes["llmitm.code"] == "invalid_api_key" and "http.route" not in served.attributes
    (other,) = spans_of(traced(status=503, outcome=Outcome.UNAVAILABLE, code="no_credential"))
    assert other.error == "no_credential"


def test_names_from_outside_hold_no_secrets_and_have_an_end() -> None:
    redact = Redactor()
    redact.learn(Secret("hunter22-hunter22"))
    entry = traced(
        noted_of(
            model="sk-live-0123456789abcdef",
            answered="hunter22-hunter22",
            reply_id="x" * 9000,
            finishes=("hunter22-hunter22",),
        ),
        path="/all/v1/hunter22-hunter22",
        model="sk-live-0123456789abcdef",
    )
    assert entry.trace is not None
    entry.trace = replace(entry.trace, state=b"v=hunter22-hunter22")
    told = [*Spans(redact).of(entry)]
    text = repr(told)
    assert "hunter22" not in text and "sk-live" not in text and "***" in text
    assert (
        max(len(value) for one in told for value in one.attributes.values() if isinstance(value, str)) == 300
    )


def test_texts_of_errors_are_left_out() -> None:
    """They may repeat what was asked."""
    entry = traced(noted_of(ending="server", error="about a prompt"), error="about a prompt", status=500)
    assert "about a prompt" not in repr(spans_of(entry))


def test_parameters_stand_with_each_attempt_and_words_with_the_last() -> None:
    extras = Extras(asked={"gen_ai.request.seed": 1}, content={"gen_ai.input.messages": "[]"})
    served, one, two = spans_of(traced(noted_of(), noted_of(2)), extras)
    has_seed = ["gen_ai.request.seed" in span.attributes for span in (served, one, two)]
    has_words = ["gen_ai.input.messages" in span.attributes for span in (served, one, two)]
    assert (has_seed, has_words) == ([False, True, True], [False, False, True])
    assert two.attributes["http.request.resend_count"] == 1


def test_a_collector_reads_what_is_encoded() -> None:
    attempts = (noted_of(finishes=("stop", "length"), warnings=("lost seed",)), noted_of(2, ending="server"))
    entry = traced(*attempts, status=502, outcome=Outcome.UPSTREAM_ERROR, is_stream=True)
    told = spans_of(entry)
    sent = wire.traces([wire.span(one) for one in told], {"service.name": "x"})
    for one, read in zip(told, spans_in(sent), strict=True):
        lists = {name: list(value) for name, value in one.attributes.items() if isinstance(value, tuple)}
        assert read.attributes == {**one.attributes, **lists}
        assert (read.name, read.span_id, read.parent_id) == (one.name, one.span_id, one.parent_id)
        assert read.is_error is (one.error is not None)
        assert read.duration_s == pytest.approx(one.ended_s - one.began_s, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "endpoint", "route", "operation"),
    [
        ("/all/v1/chat/completions", "all", "/all/v1/chat/completions", "chat"),
        ("/v1/messages", "default", "/v1/messages", "chat"),
        ("/all/v1/responses", "all", "/all/v1/responses", "chat"),
        ("/all/v1/embeddings", "all", "/all/v1/embeddings", "embeddings"),
        ("/all/v1/completions", "all", "/all/v1/completions", "text_completion"),
        ("/v1beta/models/gemini-x:generateContent", "all", "/v1beta/models/{model}:generateContent", "chat"),
        ("/all/v1/models/gpt-4o", "all", "/all/v1/models/{model}", None),
        ("/all/v1/files/file-123/content", "all", "/all/*", None),
        ("/dev/anything/at/all", "dev", "/dev/*", None),
        ("/nowhere/v1/messages", None, None, "chat"),
    ],
)
def test_paths(path: str, endpoint: str | None, route: str | None, operation: str | None) -> None:
    assert naming.route(path, endpoint) == route
    assert naming.operation(path, Dialect.OPENAI_CHAT) == operation


def test_gemini_generates_content() -> None:
    assert naming.operation("/v1/chat/completions", Dialect.GEMINI) == "generate_content"


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("openai", "127.0.0.1", "openai"),
        ("claude", None, "anthropic"),
        ("gemini", None, "gcp.gemini"),
        ("team-b", "api.x.ai", "x_ai"),
        ("azure", None, "azure.ai.openai"),
        ("foundry", None, "azure.ai.inference"),
        ("codestral", None, "mistral_ai"),
        ("our-own", "10.0.0.1", "our-own"),
    ],
)
def test_providers(name: str, host: str | None, expected: str) -> None:
    assert naming.provider(name, host) == expected
