"""Gemini, Cloudflare, paths and keys, looked at as JSON over HTTP."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from llmitm.demo import routes
from llmitm.demo.provider import Provider
from llmitm.exchange import Dialect
from support.provider import chat

HEARD = "The demo provider heard you say: "
MODEL = "/v1beta/models/gemini-4-argon"
TOOLS = [
    {
        "functionDeclarations": [
            {"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
        ]
    }
]


@pytest_asyncio.fixture
async def http(provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    # to read all authorities takes each client 30 ms
    async with httpx.AsyncClient(base_url=provider.url, trust_env=False, verify=False) as client:
        yield client


def gemini(said: str, **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": said}]}], **fields}


def texts(snapshots: list[dict[str, Any]], index: int = 0) -> str:
    return "".join(
        part.get("text", "")
        for snapshot in snapshots
        for candidate in snapshot["candidates"]
        if candidate["index"] == index
        for part in candidate["content"]["parts"]
    )


async def snapshots_of(http: httpx.AsyncClient, form: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    """A Gemini answer in one of its three forms, as a list of what came."""
    if form == "whole":
        return [(await http.post(f"{MODEL}:generateContent", json=data)).json()]
    if form == "array":
        answer = await http.post(f"{MODEL}:streamGenerateContent", json=data)
        assert answer.headers["content-type"].startswith("application/json")
        found = answer.json()
        assert isinstance(found, list)
        return found
    answer = await http.post(f"{MODEL}:streamGenerateContent?alt=sse", json=data)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end = answer.content.split(b"\r\n\r\n")
    assert end == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


@pytest.mark.parametrize("form", ["whole", "sse", "array"])
async def test_gemini_says_back_what_was_said(http: httpx.AsyncClient, form: str) -> None:
    said = "Grüße,\n 🎈  zwei"
    data = gemini(said, systemInstruction={"parts": [{"text": "be brief"}]})
    snapshots = await snapshots_of(http, form, data)
    assert texts(snapshots) == HEARD + said
    *others, last = snapshots
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert not any("finishReason" in other["candidates"][0] for other in others)
    assert last["usageMetadata"]["promptTokenCount"] == 5
    assert last["usageMetadata"]["candidatesTokenCount"] == len((HEARD + said).split())
    assert {snapshot["modelVersion"] for snapshot in snapshots} == {"gemini-4-argon"}
    assert len({snapshot["responseId"] for snapshot in snapshots}) == 1
    counts = [snapshot["usageMetadata"]["totalTokenCount"] for snapshot in snapshots]
    assert counts == sorted(counts)
    assert len(snapshots) > 5 or form == "whole"


@pytest.mark.parametrize("form", ["whole", "sse", "array"])
async def test_gemini_calls_a_tool_whole_and_signed(http: httpx.AsyncClient, form: str) -> None:
    snapshots = await snapshots_of(http, form, gemini("a tool please", tools=TOOLS))
    (part,) = [part for part in snapshots[0]["candidates"][0]["content"]["parts"]]
    assert part["functionCall"]["name"] == "weather"
    assert part["functionCall"]["args"] == {"city": "a tool please"}
    assert part["thoughtSignature"]
    assert snapshots[-1]["candidates"][0]["finishReason"] == "STOP"


async def test_gemini_reads_a_tools_result_and_several_candidates_differ(http: httpx.AsyncClient) -> None:
    result = {"functionResponse": {"name": "weather", "response": {"output": "rain"}}}
    data = gemini("tool", tools=TOOLS, generationConfig={"candidateCount": 2})
    data["contents"].append({"role": "user", "parts": [result]})
    snapshots = await snapshots_of(http, "sse", data)
    read = 'The demo provider read this result: {"output":"rain"}'
    assert (texts(snapshots), texts(snapshots, 1)) == (read, f"{read} (choice 2)")


async def test_gemini_counts_tokens_in_both_forms(http: httpx.AsyncClient) -> None:
    for data in (gemini("one two"), {"generateContentRequest": gemini("one two")}):
        answer = await http.post(f"{MODEL}:countTokens", json=data)
        assert answer.json()["totalTokens"] == 2


async def test_geminis_errors_say_the_wait_in_the_body(http: httpx.AsyncClient, provider: Provider) -> None:
    provider.script(["status:429;retry-after=34", "status:400:API_KEY_INVALID", "status:503"])
    answer = await http.post(f"{MODEL}:generateContent", json=gemini("x"))
    assert answer.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert answer.json()["error"]["details"][0]["retryDelay"] == "34s"
    answer = await http.post(f"{MODEL}:generateContent", json=gemini("x"))
    assert answer.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    answer = await http.post(f"{MODEL}:streamGenerateContent", json=gemini("x"))
    assert answer.status_code == 503
    assert answer.json()[0]["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_within_geminis_array_leaves_it_an_array(
    http: httpx.AsyncClient, provider: Provider, after: int
) -> None:
    provider.script([f"error-event:{after}"])
    *others, last = await snapshots_of(http, "array", gemini("x"))
    assert len(others) == after
    assert last["error"]["code"] == 503


PATHS = [
    ("/v1/chat/completions", Dialect.OPENAI_CHAT),
    ("/chat/completions", Dialect.OPENAI_CHAT),
    ("/openai/v1/chat/completions", Dialect.OPENAI_CHAT),
    ("/v1beta/openai/chat/completions", Dialect.OPENAI_CHAT),
    ("/v1/responses", Dialect.OPENAI_RESPONSES),
    ("/v1/messages", Dialect.ANTHROPIC_MESSAGES),
    ("/anthropic/v1/messages", Dialect.ANTHROPIC_MESSAGES),
    ("/v1beta/models/m:generateContent", Dialect.GEMINI),
    ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", Dialect.GEMINI),
    ("/v1/acct/gate/compat/chat/completions", Dialect.OPENAI_CHAT),
    ("/v1/acct/gate/openai/chat/completions", Dialect.OPENAI_CHAT),
    ("/v1/acct/gate/openai/v1/responses", Dialect.OPENAI_RESPONSES),
    ("/v1/acct/gate/anthropic/v1/messages", Dialect.ANTHROPIC_MESSAGES),
    ("/v1/acct/gate/google-ai-studio/v1beta/models/m:generateContent", Dialect.GEMINI),
    ("/client/v4/accounts/acct/ai/v1/chat/completions", Dialect.OPENAI_CHAT),
    ("/client/v4/accounts/acct/ai/v1/responses", Dialect.OPENAI_RESPONSES),
    ("/client/v4/accounts/acct/ai/v1/messages", Dialect.ANTHROPIC_MESSAGES),
]


@pytest.mark.parametrize(("path", "dialect"), PATHS)
async def test_each_path_is_answered_in_its_dialect(
    http: httpx.AsyncClient, path: str, dialect: Dialect
) -> None:
    is_cloudflare = "/acct" in path
    body: dict[Dialect, dict[str, Any]] = {
        Dialect.OPENAI_CHAT: chat("hi"),
        Dialect.OPENAI_RESPONSES: {"input": "hi"},
        Dialect.ANTHROPIC_MESSAGES: chat("hi", max_tokens=1),
        Dialect.GEMINI: gemini("hi"),
    }
    told = {**body[dialect], "model": "openai/m" if is_cloudflare else "m"}
    answer = await http.post(path, json=told, headers={"anthropic-version": "2023-06-01"})
    assert answer.status_code == 200, answer.text
    signs = {
        Dialect.OPENAI_CHAT: "choices",
        Dialect.OPENAI_RESPONSES: "output",
        Dialect.ANTHROPIC_MESSAGES: "stop_reason",
        Dialect.GEMINI: "candidates",
    }
    assert signs[dialect] in answer.json()
    assert HEARD + "hi" in answer.text
    assert ("cf-aig-log-id" in answer.headers) is is_cloudflare


@pytest.mark.parametrize(
    "path",
    ["/v1/v1/chat/completions", "//v1/chat/completions", "/v1//chat/completions", "/v1beta/v1/messages", "/"],
)
async def test_a_path_joined_wrongly_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    """A gateway's mistake must show, not be mended here."""
    answer = await http.post(httpx.URL(f"{http.base_url}".rstrip("/") + path), json=chat())
    assert answer.status_code == 404
    assert routes.find(path) is None


async def test_cloudflares_compat_wants_a_vendor_and_names_the_vendors_model(http: httpx.AsyncClient) -> None:
    path = "/v1/acct/gate/compat/chat/completions"
    refused = await http.post(path, json=chat(model="gpt-6-sol"))
    assert (refused.status_code, refused.json()["internalCode"]) == (400, 2019)
    answer = await http.post(path, json={**chat(), "model": "openai/gpt-6-sol"})
    assert answer.json()["model"] == "gpt-6-sol"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/acct/gate/compat/models", 2008),
        ("POST", "/v1/acct/gate/compat/v1/chat/completions", 2008),
        ("POST", "/v1/acct/gate/nobody/elsewhere", 2008),
        ("POST", "/client/v4/accounts/acct/ai/v1/embeddings", 7003),
    ],
)
async def test_cloudflare_refuses_what_it_does_not_serve(
    http: httpx.AsyncClient, method: str, path: str, code: int
) -> None:
    answer = await http.request(method, path, json={"model": "a/b"})
    assert answer.status_code == 400
    assert answer.json()["error"][0]["code"] == answer.json()["internalCode"] == code
    assert answer.json()["name"] == "AiGatewayError"


@pytest.mark.parametrize(
    ("code", "status"), [(2001, 400), (2003, 429), (2005, 400), (2009, 401), (2021, 402), (2041, 429)]
)
async def test_cloudflares_errors_come_by_their_code(http: httpx.AsyncClient, code: int, status: int) -> None:
    headers = {"x-demo-fault": f"cf:{code}"}
    path = "/v1/acct/gate/compat/chat/completions"
    answer = await http.post(path, json=chat(model="a/b"), headers=headers)
    assert (answer.status_code, answer.json()["internalCode"]) == (status, code)


KEYS = [
    {"authorization": "Bearer sk-good"},
    {"x-api-key": "sk-good"},
    {"x-goog-api-key": "sk-good"},
    {"api-key": "sk-good"},
]
REFUSALS = {
    "/v1/chat/completions": ("type", "invalid_request_error"),
    "/v1/responses": ("code", "invalid_api_key"),
    "/v1/messages": ("type", "authentication_error"),
    f"{MODEL}:generateContent": ("status", "UNAUTHENTICATED"),
}


async def test_without_a_known_key_it_is_401_in_the_dialect() -> None:
    async with (
        Provider(keys={"sk-good"}) as provider,
        httpx.AsyncClient(base_url=provider.url, trust_env=False) as http,
    ):
        wrong: dict[str, str] = {"authorization": "Bearer sk-wrong"}
        for (path, (name, value)), headers in itertools.product(REFUSALS.items(), [{}, wrong]):
            answer = await http.post(path, json={}, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"][name] == value
        for good in KEYS:
            assert (await http.post("/v1/chat/completions", json=chat(), headers=good)).status_code == 200
        assert (await http.post("/v1/chat/completions?key=sk-good", json=chat())).status_code == 200
        assert (await http.get("/v1/models")).status_code == 401


async def test_a_refused_request_takes_no_scripted_fault() -> None:
    async with (
        Provider(keys={"sk-good"}) as provider,
        httpx.AsyncClient(base_url=provider.url, trust_env=False) as http,
    ):
        provider.script(["status:503"])
        assert (await http.post("/v1/responses", json={})).status_code == 401
        good = {"authorization": "Bearer sk-good"}
        assert (await http.get("/v1/models", headers=good)).status_code == 200
        assert (await http.post("/v1/responses", json={}, headers=good)).status_code == 503


async def test_cloudflares_token_is_asked_first_and_in_its_own_place() -> None:
    async with (
        Provider(keys={"sk-good"}, cf_tokens={"cf-good"}) as provider,
        httpx.AsyncClient(base_url=provider.url, trust_env=False) as http,
    ):
        token, key = {"cf-aig-authorization": "Bearer cf-good"}, {"authorization": "Bearer sk-good"}
        compat = "/v1/acct/gate/compat/chat/completions"
        rest = "/client/v4/accounts/acct/ai/v1/chat/completions"
        body = chat(model="openai/m")

        async def post(path: str, headers: dict[str, str]) -> tuple[int, Any]:
            answer = await http.post(path, json=body, headers=headers)
            return answer.status_code, answer.json()

        status, told = await post(compat, key)
        assert (status, told["internalCode"]) == (401, 2009)
        status, told = await post(compat, token)
        assert (status, told["error"]["code"]) == (401, "invalid_api_key")
        assert (await post(compat, token | key))[0] == 200
        status, told = await post(rest, token | key)
        assert (status, told["errors"][0]["code"]) == (401, 10000)
        assert (await post(rest, {"authorization": "Bearer cf-good"}))[0] == 200


BAD = [
    ("/v1/chat/completions", b"{", "valid JSON"),
    ("/v1/chat/completions", b"[1]", "JSON object"),
    ("/v1/chat/completions", b'{"messages": []}', "model"),
    ("/v1/chat/completions", b'{"model": "m"}', "messages"),
    ("/v1/chat/completions", b'{"model": "m", "messages": [{"role": "king"}]}', "king"),
    ("/v1/chat/completions", b'{"model": "m", "n": 0, "messages": [{"role": "user"}]}', "choices"),
    ("/v1/messages", b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}', "max_tokens"),
    ("/v1/embeddings", b'{"model": "m", "input": []}', "input"),
    (f"{MODEL}:generateContent", b'{"contents": []}', "contents"),
]


@pytest.mark.parametrize(("path", "body", "expected"), BAD)
async def test_what_no_api_would_take_is_400(
    http: httpx.AsyncClient, path: str, body: bytes, expected: str
) -> None:
    answer = await http.post(path, content=body, headers={"anthropic-version": "2023-06-01"})
    assert answer.status_code == 400
    assert expected in answer.json()["error"]["message"]


async def test_messages_without_a_version_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json=chat(max_tokens=1))
    assert answer.status_code == 400
    assert "anthropic-version" in answer.json()["error"]["message"]


async def test_a_wrong_method_is_405(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/chat/completions")).status_code == 405


async def test_equal_requests_get_equal_bytes(http: httpx.AsyncClient) -> None:
    one, two, other = [
        (await http.post("/v1/chat/completions", json=chat(said, stream=True))).content
        for said in ("hi", "hi", "ho")
    ]
    assert one == two != other


async def test_a_compressed_request_is_understood(http: httpx.AsyncClient, provider: Provider) -> None:
    body = gzip.compress(json.dumps(chat("squeezed")).encode())
    headers = {"content-encoding": "gzip"}
    answer = await http.post("/v1/chat/completions", content=body, headers=headers)
    assert "squeezed" in answer.text
    assert provider.requests[-1].body == body, "kept as sent"


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", ["a"]),
        ("none", []),
        ({"type": "function", "function": {"name": "b"}}, ["b"]),
    ],
)
async def test_the_choice_of_tools_is_obeyed(http: httpx.AsyncClient, choice: Any, called: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    told = chat("any tool", tools=tools, tool_choice=choice)
    message = (await http.post("/v1/chat/completions", json=told)).json()["choices"][0]["message"]
    assert [call["function"]["name"] for call in message.get("tool_calls", ())] == called


async def test_a_tool_that_must_be_called_is_called_unasked(http: httpx.AsyncClient) -> None:
    tools = [{"type": "function", "function": {"name": "a"}}]
    told = chat("hello", tools=tools, tool_choice="required")
    message = (await http.post("/v1/chat/completions", json=told)).json()["choices"][0]["message"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"text": "hello"}
