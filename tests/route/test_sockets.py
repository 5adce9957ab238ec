"""What the path of a WebSocket asks for, and where the same is asked of a provider."""

from __future__ import annotations

import pytest

from llmitm.config.providers import Provider
from llmitm.exchange import Dialect
from llmitm.route import sockets
from llmitm.route.providers import Candidate

LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize(
    ("rest", "api", "model", "dialect"),
    [
        ("/v1/realtime?model=gpt-realtime", "realtime", "gpt-realtime", Dialect.OPENAI_CHAT),
        ("/realtime?model=a%2Fb+c", "realtime", "a/b c", Dialect.OPENAI_CHAT),
        ("/v1/realtime?intent=transcription", "realtime", None, Dialect.OPENAI_CHAT),
        ("/v1/responses", "responses", None, Dialect.OPENAI_RESPONSES),
        (LIVE, "live", None, Dialect.GEMINI),
        (LIVE.replace("v1beta", "v1alpha") + "Constrained?access_token=a", "live", None, Dialect.GEMINI),
        (
            "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
            "live",
            None,
            Dialect.GEMINI,
        ),
    ],
)
def test_sessions_are_known_by_their_paths(rest: str, api: str, model: str | None, dialect: Dialect) -> None:
    found = sockets.read(rest.encode())
    assert found is not None
    assert (found.api, found.model, found.dialect) == (api, model, dialect)


@pytest.mark.parametrize(
    "rest", ["/v1/realtime/calls", "/v1/chat/completions", "/ws/other", "/ws/google.x/../y"]
)
def test_other_paths_are_no_sessions(rest: str) -> None:
    assert sockets.read(rest.encode()) is None


@pytest.mark.parametrize(
    ("rest", "base", "model", "url"),
    [
        (
            "/v1/realtime?model=voice&x=%2f",
            "https://a.test/v1",
            "gpt-r",
            "https://a.test/v1/realtime?model=gpt-r&x=%2f",
        ),
        ("/v1/realtime?model=voice", "https://a.test", "a b", "https://a.test/v1/realtime?model=a%20b"),
        ("/realtime?call_id=rtc_1", "https://a.test/v1", "", "https://a.test/v1/realtime?call_id=rtc_1"),
        ("/v1/responses?key=k&provider=a", "https://a.test/v1", "", "https://a.test/v1/responses"),
        (f"{LIVE}?key=k&alt=x", "https://g.test/v1beta", "", f"https://g.test{LIVE}?alt=x"),
    ],
)
def test_where_a_provider_is_asked(rest: str, base: str, model: str, url: str) -> None:
    found = sockets.read(rest.encode())
    options = Provider.model_validate({"base_url": base, "format": "openai"})
    chosen = Candidate(provider="p", options=options, credential=None, model=model)
    assert found is not None and found.url(chosen) == url


def test_a_clients_keys_leave_the_query_and_all_else_stays() -> None:
    query = b"model=a&access_token=t&API_KEY=k&key=x&y=%2F&"
    assert sockets.without_keys(query) == b"model=a&y=%2F"


def test_who_is_asked_for_by_name() -> None:
    assert sockets.read(b"/v1/realtime?provider=b") is not None
    found = sockets.read(b"/v1/realtime?provider=b", b"a")
    assert found is not None and found.provider == "a" and found.ids == ()
    called = sockets.read(b"/v1/realtime?call_id=rtc_1")
    assert called is not None and called.ids == ("rtc_1",)
