"""Functions of an operator's around every kind of call: what they see, change, refuse, and leave alone."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.errors import UpstreamFailed
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.record.bodies import Seen
from llmitm.route import calls
from llmitm.translate.neutral import Text
from llmitm.translate.sse import SseReader
from llmitm.trip.spoken import read_reply
from llmitm.world import World, build
from support.clocks import HandClock

CONFIG = """
passthrough_headers = ["x-demo-fault"]
retry = {{cooldowns = false, base_ms = 0}}
gateways = [{{account_id = "acc", gateway_id = "gw"}}]
[[auth_keys]]
name = "laptop"
key = "sk-of-the-client"
tpm = {tpm}
allowed_models = ["chat-*", "chat/*", "messages-*", "responses-*", "nobody", {more}]
[cloudflare]
base_url = "{url}"
[hooks]
modules = [{modules}]
[endpoints.all]
kind = "gateway"
[endpoints.cf]
kind = "cloudflare"
[endpoints.fw]
provider = "chat"
[endpoints.bare]
target_base = "{url}"
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
credentials = [{{api_key = "sk-chat-key", name = "first"}}, {{api_key = "sk-other-key", name = "second"}}]
models = ["chat-*"]
headers = {{"x-static" = "static-secret-value"}}
[providers.messages]
base_url = "{url}"
format = "claude"
api_keys = ["sk-ant-key"]
models = ["messages-*"]
[providers.responses]
base_url = "{url}/v1"
wire_api = "responses"
api_keys = ["sk-responses-key"]
models = ["responses-*"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-key"]
models = ["gemini-*"]
"""
KEYS = {"sk-chat-key", "sk-other-key", "sk-responses-key", "sk-ant-key", "AIza-key", "sk-of-the-client"}
SILENT = """
def on_request(request): return None
def on_attempt(attempt): return None
async def on_delta(delta): return None
def on_reply(reply): return None
"""
USER = '[{"role":"user","content":"hello  you, 1.50"}]'
CHAT = "/all/v1/chat/completions"


@dataclass
class Answer:
    head: ResponseHead
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        """Of a chat completion, streamed or not."""
        if not (self.head.header(b"content-type") or b"").startswith(b"text/event-stream"):
            return str(self.json["choices"][0]["message"]["content"])
        reader = SseReader()
        events = [*reader.feed(self.body), *reader.finish()]
        chunks = [orjson.loads(one.data) for one in events if one.data and one.data != b"[DONE]"]
        return "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks if one["choices"])


class Gate:
    """Journeys in this process, with one module of functions after another."""

    def __init__(self, provider: Provider, folder: Path) -> None:
        self.provider = provider
        self.folder = folder
        self._worlds: list[World] = []

    def world(self, *sources: str, tpm: int | None = None) -> World:
        """`tpm`: the client's limit of tokens; with one, it may not ask for Gemini's models."""
        for at, source in enumerate(sources):
            (self.folder / f"rules{at}.py").write_text(source)
        modules = ", ".join(f'"rules{at}.py"' for at in range(len(sources)))
        path = self.folder / "config.toml"
        path.write_text(
            CONFIG.format(
                url=self.provider.url, modules=modules, tpm=tpm or 10**9, more='"gemini-*"' * (not tpm)
            )
        )
        made = build(load(path, env={}), clock=HandClock())
        made.sinks = ()
        self._worlds.append(made)
        return made

    async def ask(self, world: World, target: str, body: str, **headers: str) -> Answer:
        given = {
            "content-type": "application/json",
            "content-length": str(len(body.encode())),
            "x-llmitm-key": "sk-of-the-client",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = ClientRequest(
            id="id-1",
            method="POST",
            target=target.encode(),
            headers=tuple((name.encode(), value.encode()) for name, value in given.items()),
            body=HeldBody(body.encode()),
            client="127.0.0.1",
        )
        head: ResponseHead | None = None
        collected = bytearray()
        with suppress(UpstreamFailed):  # the answer broke off
            async for step in carry(request, world, Unwatched()):
                if isinstance(step, ResponseHead):
                    head = step
                    collected += step.whole or b""
                else:
                    collected += step
        assert head is not None
        if head.header(b"content-encoding") == b"gzip":
            collected = bytearray(gzip.decompress(collected))
        return Answer(head, bytes(collected))

    async def close(self) -> None:
        for world in self._worlds:
            await world.close()


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Provider(keys=KEYS) as provider:
        made = Gate(provider, tmp_path)
        yield made
        await made.close()


def chat(model: str = "chat-a", *, stream: bool = False, more: str = "") -> str:
    return f'{{ "model":"{model}", "stream":{str(stream).lower()}, "messages":{USER}{more} }}'


REQUESTS: dict[str, Callable[[str, bool], tuple[str, str]]] = {
    "chat": lambda model, stream: (CHAT, chat(model, stream=stream)),
    "responses": lambda model, stream: (
        "/all/v1/responses",
        f'{{"model":"{model}", "input":"hi", "stream":{str(stream).lower()}}}',
    ),
    "messages": lambda model, stream: (
        "/all/v1/messages",
        f'{{"model":"{model}","max_tokens":64,"messages":{USER},"stream":{str(stream).lower()}}}',
    ),
    "gemini": lambda model, stream: (
        f"/all/v1beta/models/{model}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}",
        '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}',
    ),
    "gemini array": lambda model, stream: (
        f"/all/v1beta/models/{model}:{'streamGenerateContent' if stream else 'generateContent'}",
        '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}',
    ),
}
FAULTS = ("", "early-end:3", "truncate:4", "error-event:2", "status:429", "malformed-sse:2", "gzip")


async def test_functions_that_change_nothing_leave_every_byte(gate: Gate) -> None:
    """Of every client's dialect at every provider's, whole, streamed and broken off, sent and received."""
    without, with_ = gate.world(), gate.world(SILENT, SILENT)
    for client, make in REQUESTS.items():
        for model in ("chat-a", "responses-a", "messages-a", "gemini-a"):
            for stream in (False, True):
                for fault in FAULTS if stream else ("", "status:429"):
                    target, body = make(model, stream)
                    found = []
                    for world in (without, with_):
                        answer = await gate.ask(world, target, body, x_demo_fault=fault)
                        found.append((answer.head.status, answer.body, gate.provider.requests[-1].body))
                    assert found[0] == found[1], (client, model, stream, fault)


# ---- requests


async def test_a_request_keeps_every_byte_that_was_not_changed(gate: Gate) -> None:
    world = gate.world("""
def on_request(request):
    request.body["max_tokens"] = 7
    del request.body["seed"]
    return request
""")
    await gate.ask(
        world, CHAT, chat(more=', "seed":1, "top_p":0.50, "logit_bias":{"9999999999999999999999":1}')
    )
    assert (
        gate.provider.requests[-1].body
        == (
            f'{{ "model":"chat-a", "stream":false, "messages":{USER}, "top_p":0.50, '
            '"logit_bias":{"9999999999999999999999":1},"max_tokens":7 }'
        ).encode()
    )


async def test_what_is_too_deep_to_be_written_stays_where_it_was_not_changed(gate: Gate) -> None:
    world = gate.world("def on_request(request):\n    request.body['n'] = 1\n    return request\n")
    deep = "[" * 400 + "]" * 400
    await gate.ask(world, CHAT, chat(more=f', "metadata":{deep}'))
    assert gate.provider.requests[-1].body.endswith(f'"metadata":{deep},"n":1 }}'.encode())


@pytest.mark.parametrize("client", REQUESTS)
async def test_the_model_of_a_request_can_be_changed_wherever_it_stands(gate: Gate, client: str) -> None:
    world = gate.world("""
from dataclasses import replace
def on_request(request):
    return replace(request, model="messages-b") if request.model == "chat-a" else None
""")
    answer = await gate.ask(world, *REQUESTS[client]("chat-a", False))
    assert answer.head.header(b"x-llmitm-model") == b"messages-b"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("body={**request.body, 'messages': [{'role': 'user', 'content': 'word ' * 2000}]}", 429),
        ("body={**request.body, 'messages': [{'role': 'user', 'content': 'word'}]}", 200),
        ("model='gemini-a'", 403),
    ],
)
async def test_limits_and_permissions_count_what_functions_have_made_of_a_request(
    gate: Gate, change: str, status: int
) -> None:
    source = (
        f"from dataclasses import replace\ndef on_request(request):\n    return replace(request, {change})\n"
    )
    said = "word " * (2000 if status == 200 else 1)
    body = orjson.dumps({"model": "chat-a", "messages": [{"role": "user", "content": said}]}).decode()
    assert (await gate.ask(gate.world(source, tpm=500), CHAT, body)).head.status == status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", REQUESTS)
async def test_an_answer_in_the_models_place_comes_as_the_client_asked_for_it(
    gate: Gate, client: str, stream: bool
) -> None:
    world = gate.world("""
from llmitm.hooks import Reply
def on_request(request):
    return Reply.saying(request, "Closed today.")
""")
    target, body = REQUESTS[client]("chat-a", stream)
    answer = await gate.ask(world, target, body)
    assert answer.head.status == 200
    assert gate.provider.count == 0
    is_events = stream and client != "gemini array"
    call = calls.find(target.removeprefix("/all").encode())
    assert call is not None
    seen = Seen()
    seen.add(answer.body)
    assert (answer.head.header(b"content-type") or b"").startswith(
        b"text/event-stream" if is_events else b"application/json"
    )
    if client == "gemini array" and stream:
        assert answer.json[0]["candidates"][0]["content"]["parts"][0]["text"] == "Closed today."
        return
    reply = read_reply(seen, call.dialect, is_stream=is_events)
    assert reply is not None
    assert [part.text for part in reply.choices[0].parts if isinstance(part, Text)] == ["Closed today."]


# ---- attempts

SEES = """
import json
from pathlib import Path
def on_attempt(attempt):
    with open(Path(__file__).with_name("seen"), "a") as file:
        file.write(json.dumps([attempt.provider, attempt.credential, attempt.model, attempt.number,
            attempt.dialect, dict(attempt.headers), attempt.body]) + "\\n")
"""


@pytest.mark.parametrize(
    ("target", "body", "seen"),
    [
        (CHAT, chat(), ["chat", "first", "chat-a", 1, "openai-chat"]),
        (CHAT, chat("messages-a"), ["messages", None, "messages-a", 1, "anthropic-messages"]),
        ("/fw/v1/chat/completions", chat(), ["chat", "first", None, 1, "openai-chat"]),
        ("/cf/v1/chat/completions", chat("chat/chat-a"), ["chat", "first", "chat/chat-a", 1, "openai-chat"]),
        (
            "/all/v1/embeddings",
            '{"model":"chat-a","input":"x"}',
            ["chat", "first", "chat-a", 1, "openai-chat"],
        ),
        (
            "/all/v1/moderations",
            '{"model":"chat-a","input":"x"}',
            ["chat", "first", "chat-a", 1, "openai-chat"],
        ),
        ("/bare/v1/chat/completions", chat(), None),
    ],
)
async def test_attempts_are_shown_wherever_credentials_are_put_on(
    gate: Gate, tmp_path: Path, target: str, body: str, seen: list[object] | None
) -> None:
    world = gate.world(SEES)
    await gate.ask(world, target, body, authorization="Bearer sk-of-the-client", cookie="a=b")
    path = tmp_path / "seen"
    assert path.exists() is (seen is not None)
    if seen is None:
        return
    found = orjson.loads(path.read_bytes())
    assert [one if seen[at] is not None else None for at, one in enumerate(found[:5])] == seen
    assert found[6]["model"]
    text = path.read_text()
    for secret in (*KEYS, "static-secret-value", "a=b"):
        assert secret not in text


CHANGES = """
from dataclasses import replace
async def on_attempt(attempt):
    return replace(attempt, body={**attempt.body, "user": attempt.credential or "x"},
        headers={**attempt.headers, "x-team": "docs", "authorization": "Bearer evil", "x-api-key": "evil"})
"""


@pytest.mark.parametrize("target", [CHAT, "/fw/v1/chat/completions", "/cf/v1/chat/completions"])
async def test_an_attempt_can_be_changed_but_for_its_key(gate: Gate, target: str) -> None:
    model = "chat/chat-a" if target.startswith("/cf") else "chat-a"
    answer = await gate.ask(gate.world(CHANGES), target, chat(model))
    sent = gate.provider.requests[-1]
    assert answer.head.status == 200
    assert sent.header(b"authorization") == b"Bearer sk-chat-key"
    assert sent.header(b"x-api-key") is None
    assert sent.header(b"x-team") == b"docs"
    assert sent.body.endswith(b',"user":"first" }')
    assert sent.header(b"content-length") == str(len(sent.body)).encode()


SKIPS = """
from llmitm.hooks import Skip
def on_attempt(attempt):
    attempt.notes.setdefault("seen", []).append(attempt.credential)
    if attempt.credential in ({}):
        raise Skip("not today")
def on_reply(reply):
    from dataclasses import replace
    return replace(reply, body={{**reply.body, "seen": reply.notes["seen"]}})
"""


async def test_a_credential_can_be_skipped_and_nothing_rests_for_it(gate: Gate) -> None:
    world = gate.world(SKIPS.format("'first',"))
    for _ in range(3):
        answer = await gate.ask(world, CHAT, chat())
        assert answer.json["seen"][-1] == "second"
        assert gate.provider.requests[-1].header(b"authorization") == b"Bearer sk-other-key"
    assert gate.provider.count == 3


async def test_where_all_are_skipped_the_client_is_told_so(gate: Gate) -> None:
    answer = await gate.ask(gate.world(SKIPS.format("'first', 'second'")), CHAT, chat())
    assert (answer.head.status, answer.json["error"]["code"]) == (503, "skipped_by_hook")
    assert sorted(answer.json["seen"]) == ["first", "second"]
    assert answer.head.header(b"x-should-retry") == b"false"
    assert gate.provider.count == 0


async def test_the_last_true_answer_counts_where_what_is_left_is_skipped(gate: Gate) -> None:
    world = gate.world(SKIPS.format("'second',"))
    answer = await gate.ask(world, CHAT, chat(), x_demo_fault="status:429")
    assert answer.head.status == 429


async def test_an_attempt_can_refuse_the_exchange(gate: Gate) -> None:
    source = """
from llmitm.hooks import Refuse
def on_attempt(attempt):
    raise Refuse(451, "Not to this one.")
"""
    answer = await gate.ask(gate.world(source), *REQUESTS["messages"]("chat-a", True))
    assert (answer.head.status, answer.json["error"]["message"]) == (451, "Not to this one.")
    assert gate.provider.count == 0


# ---- streams

UPPER = """
from dataclasses import replace
from llmitm.hooks import Refuse
def upper(body):
    if isinstance(body, dict):
        return {k: v.upper() if k in ("content", "text", "delta") and isinstance(v, str) else upper(v)
            for k, v in body.items()}
    return [upper(one) for one in body] if isinstance(body, list) else body
def on_delta(delta):
    return replace(delta, body=upper(delta.body))
"""


@pytest.mark.parametrize("model", ["chat-a", "messages-a", "responses-a", "gemini-a"])
@pytest.mark.parametrize("client", REQUESTS)
async def test_each_event_can_be_changed(gate: Gate, client: str, model: str) -> None:
    plain = await gate.ask(gate.world(SILENT), *REQUESTS[client](model, True))
    answer = await gate.ask(gate.world(UPPER), *REQUESTS[client](model, True))
    assert b'demo "' not in answer.body and b'DEMO "' in answer.body
    assert answer.body.lower() == plain.body.lower()  # framing and all else


SPLITS = """
from dataclasses import replace
def on_delta(delta):
    said = delta.body["choices"][0]["delta"].get("content") if delta.body["choices"] else None
    if said == "demo ":
        return []
    if said == "heard ":
        return [delta, replace(delta, body={**delta.body, "again": True})]
"""


@pytest.mark.parametrize("model", ["chat-a", "messages-a"])
async def test_events_can_be_dropped_and_added(gate: Gate, model: str) -> None:
    answer = await gate.ask(gate.world(SPLITS), CHAT, chat(model, stream=True))
    assert answer.text == "The provider heard heard you say: hello  you, 1.50"
    assert answer.body.count(b"\n\n") == answer.body.count(b"data: ")
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("dropped", ["The ", "demo ", None])
async def test_an_array_stays_one_whatever_is_dropped(gate: Gate, dropped: str | None) -> None:
    source = f"""
def on_delta(delta):
    said = delta.body["candidates"][0]["content"]["parts"][0]["text"]
    return [] if {dropped!r} in (None, said) else [delta, delta] if said == "heard " else None
"""
    answer = await gate.ask(gate.world(source), *REQUESTS["gemini array"]("chat-a", True))
    said = [one["candidates"][0]["content"]["parts"][0]["text"] for one in answer.json]
    every = ["The ", "demo ", "provider ", "heard ", "heard ", "you ", "say: ", "hello", ""]
    assert said == ([] if dropped is None else [one for one in every if one != dropped])


async def test_what_a_stream_told_is_shown_once_it_is_over(gate: Gate) -> None:
    source = """
def on_delta(delta):
    delta.notes["events"] = delta.notes.get("events", 0) + 1
def on_reply(reply):
    from pathlib import Path
    told = (reply.is_stream, reply.is_cut, reply.body, reply.notes)
    Path(__file__).with_name("over").write_text(repr(told))
"""
    for client in REQUESTS:
        for model in ("chat-a", "messages-a", "responses-a", "gemini-a"):
            for fault, is_cut in (("", False), ("pace:1 | early-end:4", True)):
                world = gate.world(source)
                answer = await gate.ask(world, *REQUESTS[client](model, True), x_demo_fault=fault)
                told = gate.folder / "over"
                if answer.head.status != 200:
                    assert is_cut  # before anything was told that a reply could be made of
                    continue
                text = told.read_text()
                told.unlink()
                assert text.startswith(f"(True, {is_cut}"), (client, model, fault)
                if not is_cut:
                    assert "The demo provider heard you say: h" in text, (client, model)
                    assert "'events': " in text


async def test_a_stream_that_is_refused_at_once_has_a_status_and_later_an_error_event(gate: Gate) -> None:
    source = """
from llmitm.hooks import Refuse
def on_delta(delta):
    said = delta.body["choices"][0]["delta"].get("content")
    if said == {!r}:
        raise Refuse(403, "Not this word.")
"""
    first = await gate.ask(gate.world(source.format("")), CHAT, chat(stream=True))
    assert (first.head.status, first.json["error"]["message"]) == (403, "Not this word.")
    world = gate.world(source.format("provider "))
    later = await gate.ask(world, CHAT, chat(stream=True), x_demo_fault="pace:1")
    assert later.head.status == 200
    assert b"demo " in later.body and b"heard" not in later.body
    assert b'"message":"Not this word."' in later.body


# ---- replies and errors


async def test_an_error_can_be_told_otherwise(gate: Gate) -> None:
    source = """
from dataclasses import replace
def on_reply(reply):
    if reply.status == 429:
        return replace(reply, status=503, body={"error": {"message": "Ask the platform team."}})
"""
    world = gate.world(source, tpm=300)
    upstream = await gate.ask(world, CHAT, chat("messages-a"), x_demo_fault="status:429")
    ours = await gate.ask(world, CHAT, chat().replace("hello", "hello " * 2000))
    unknown = await gate.ask(world, CHAT, chat("nobody"))
    for answer in (upstream, ours):
        assert (answer.head.status, answer.json) == (503, {"error": {"message": "Ask the platform team."}})
    assert unknown.head.status == 404


async def test_an_answer_that_is_compressed_unasked_is_still_shown(gate: Gate) -> None:
    source = "def on_reply(reply):\n    reply.body['seen'] = 1\n    return reply\n"
    for target in (CHAT, "/fw/v1/chat/completions", "/bare/v1/chat/completions"):
        answer = await gate.ask(gate.world(source), target, chat(), x_demo_fault="gzip")
        assert answer.json["seen"] == 1, target
        assert answer.head.header(b"content-encoding") is None


KEEPS = """
from pathlib import Path
def keep(value):
    with Path(__file__).with_name("shown").open("a") as file:
        file.write(repr(value) + "\\n")
on_request = lambda value: keep(value)
on_attempt = lambda value: keep(value)
on_delta = lambda value: keep(value)
on_reply = lambda value: keep(value)
"""


async def test_functions_are_shown_no_key_of_anybody(gate: Gate) -> None:
    world = gate.world(KEEPS)
    for make in REQUESTS.values():
        for model in ("chat-a", "gemini-a", "messages-a"):
            for fault in ("", "status:401", "status:500"):
                target, body = make(model, True)
                await gate.ask(world, target, body, x_demo_fault=fault, cookie="a=sk-of-the-client")
    given = {"authorization": "Bearer sk-of-the-client", "api_key": "sk-of-the-client"}
    await gate.ask(world, "/fw/v1/chat/completions", chat(), **given)
    await gate.ask(world, "/bare/v1/chat/completions", chat(), **given)
    shown = (gate.folder / "shown").read_text()
    for kind in ("Request", "Attempt", "Delta", "Reply"):
        assert f"{kind}(" in shown
    for secret in (*KEYS, "static-secret-value"):
        assert secret not in shown


# ---- failing

FAILS = """
FAIL = {fail!r}
def {name}(value):
    raise ValueError("sk-chat-key of the client")
"""


@pytest.mark.parametrize("fail", ["closed", "open"])
@pytest.mark.parametrize("name", ["on_request", "on_attempt", "on_delta", "on_reply"])
async def test_a_function_that_raises_closes_or_is_as_if_it_were_not_there(
    gate: Gate, name: str, fail: str
) -> None:
    target, body = REQUESTS["messages"]("chat-a", name == "on_delta")
    plain = await gate.ask(gate.world(SILENT), target, body)
    answer = await gate.ask(gate.world(FAILS.format(name=name, fail=fail)), target, body)
    if fail == "open":
        assert (answer.head.status, answer.body) == (200, plain.body)
        return
    assert (answer.head.status, answer.json["type"]) == (500, "error")
    assert f"{name} in rules0.py" in answer.json["error"]["message"]
    assert b"sk-chat-key" not in answer.body and b"of the client" not in answer.body


@pytest.mark.parametrize(
    "returned", ["replace(value, body=3)", "replace(value, body={1: 2})", "[value, 3]", "7"]
)
@pytest.mark.parametrize("name", ["on_request", "on_attempt", "on_delta", "on_reply"])
async def test_what_cannot_be_sent_is_not_sent(gate: Gate, name: str, returned: str) -> None:
    source = f"FAIL = 'closed'\nfrom dataclasses import replace\ndef {name}(value):\n    return {returned}\n"
    answer = await gate.ask(gate.world(source), CHAT, chat(stream=name == "on_delta"))
    assert (answer.head.status, answer.json["error"]["code"]) == (500, "hook_failed")


async def test_nothing_passes_a_closed_function_that_it_could_not_see(gate: Gate) -> None:
    world = gate.world("FAIL = 'closed'\ndef on_delta(delta): return None\n")
    for fault in ("malformed-sse:2", "truncate:2"):
        answer = await gate.ask(world, "/fw/v1/chat/completions", chat(stream=True), x_demo_fault=fault)
        reader = SseReader()
        events = [*reader.feed(answer.body), *reader.finish()]
        for event in events:
            assert event.data is None or event.data == b"[DONE]" or orjson.loads(event.data)
