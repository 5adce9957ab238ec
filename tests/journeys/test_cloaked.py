"""Words that come back from a provider that hides them: in what a client fetches later, too."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from llmitm.config.load import load
from llmitm.exchange import Attempt, ClientRequest, HeldBody, ResponseHead, Unwatched, UpstreamRequest
from llmitm.journey import carry
from llmitm.shape.cloak.marks import MARK
from llmitm.world import World, build

CONFIG = """
retry = {cooldowns = false}
[endpoints.all]
kind = "gateway"
[endpoints.direct]
provider = "openai"
[providers.openai]
base_url = "http://127.0.0.1:9/v1"
api_keys = ["sk-one"]
models = ["gpt-*"]
cloak = {sensitive_words = ["Acme"], secret = "sixteen-letters-or-more"}
[providers.anthropic]
base_url = "http://127.0.0.1:9"
api_keys = ["sk-ant"]
models = ["claude-*"]
cloak = {sensitive_words = ["Acme"], secret = "sixteen-letters-or-more"}
[providers.gemini]
base_url = "http://127.0.0.1:9"
api_keys = ["AIza"]
models = ["gemini-*"]
cloak = {sensitive_words = ["Acme"], secret = "sixteen-letters-or-more"}
"""
JSON = b"application/json"


class Echo:
    """A sender that answers with what it was last sent, whatever is asked."""

    def __init__(self) -> None:
        self.sent = b""
        self.kind = JSON
        self.status = 200
        self.asked: UpstreamRequest | None = None

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> Echoed:
        self.asked = request
        if request.body.held:
            self.sent = request.body.held
        length = (b"content-length", b"%d" % len(self.sent))
        return Echoed(
            ResponseHead(status=self.status, headers=((b"content-type", self.kind), length)), self.sent
        )

    async def close(self) -> None:
        pass


class Echoed:
    def __init__(self, head: ResponseHead, body: bytes) -> None:
        self.head = head
        self._pieces = [body[:40], body[40:], b""]

    async def read(self) -> bytes | None:
        return self._pieces.pop(0)

    async def close(self) -> None:
        pass


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def world(tmp_path: Path, echo: Echo) -> World:
    (tmp_path / "config.toml").write_text(CONFIG)
    made = build(load(tmp_path / "config.toml", env={}))
    made.sender, made.sinks = echo, ()
    return made


async def ask(world: World, method: str, target: str, body: bytes = b"") -> tuple[ResponseHead, bytes]:
    headers = [(b"host", b"gw")]
    if "messages/" in target:
        headers.append((b"anthropic-version", b"2023-06-01"))
    if body:
        headers += [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    request = ClientRequest(
        id="id-1",
        method=method,
        target=target.encode(),
        headers=tuple(headers),
        body=HeldBody(body),
        client="127.0.0.1",
    )
    head: ResponseHead | None = None
    came = b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            head = step
            came += step.whole or b""
        else:
            came += step
    assert head is not None
    return head, came


BATCH = b'{"requests":[{"custom_id":"a","params":{"model":"claude-a","messages":[{"content":"of Acme"}]}}]}'


@pytest.mark.parametrize(
    ("made_at", "made", "method", "target", "kind"),
    [
        (
            "/all/v1/responses",
            b'{"model":"gpt-a","input":"of Acme"}',
            "GET",
            "/all/v1/responses/resp_1",
            JSON,
        ),
        (
            "/direct/v1/responses",
            b'{"model":"gpt-a","input":"of Acme"}',
            "GET",
            "/direct/v1/responses/resp_1",
            JSON,
        ),
        (
            "/all/v1/responses",
            b'{"model":"gpt-a","input":"of Acme"}',
            "GET",
            "/all/v1/responses/resp_1/input_items",
            JSON,
        ),
        (
            "/all/v1/responses",
            b'{"model":"gpt-a","input":"of Acme"}',
            "POST",
            "/all/v1/responses/resp_1/cancel",
            JSON,
        ),
        (
            "/all/v1/conversations",
            b'{"items":[{"type":"message","role":"user","content":"of Acme"}]}',
            "GET",
            "/all/v1/conversations/conv_1/items",
            JSON,
        ),
        (
            "/all/v1/messages/batches",
            BATCH,
            "GET",
            "/all/v1/messages/batches/msgbatch_1/results",
            b"application/x-jsonl",
        ),
        (
            "/all/v1/messages/batches",
            BATCH,
            "GET",
            "/all/v1/messages/batches/msgbatch_1/results",
            b"application/octet-stream",
        ),
        (
            "/all/v1beta/models/gemini-a:batchGenerateContent",
            b'{"batch":{"input_config":{"requests":{"requests":[{"request":'
            b'{"contents":[{"parts":[{"text":"of Acme"}]}]}}]}}}}',
            "GET",
            "/all/v1beta/batches/1",
            JSON,
        ),
    ],
    ids=["response", "direct", "items", "cancelled", "conversation", "results", "results of bytes", "gemini"],
)
async def test_what_is_fetched_later_has_its_words_again(
    world: World, echo: Echo, made_at: str, made: bytes, method: str, target: str, kind: bytes
) -> None:
    await ask(world, "POST", made_at, made)
    assert b"of zmask_" in echo.sent and b"Acme" not in echo.sent
    echo.kind = kind
    head, came = await ask(world, method, target)
    assert (head.status, b"of Acme" in came, b"zmask_" in came) == (200, True, False)
    assert head.header(b"content-length") in (None, b"%d" % len(came))


async def test_bytes_and_parts_pass_as_they_are(world: World, echo: Echo) -> None:
    await ask(world, "POST", "/all/v1/responses", orjson.dumps({"model": "gpt-a", "input": "Acme"}))
    for echo.status, echo.kind in ((200, b"image/png"), (206, JSON)):
        head, came = await ask(world, "GET", "/all/v1/files/file-1/content")
        assert (came, head.header(b"content-length")) == (echo.sent, b"%d" % len(came))


@pytest.mark.parametrize("endpoint", ["all", "direct"])
async def test_a_response_that_is_followed_later_has_its_words_again(
    world: World, echo: Echo, endpoint: str
) -> None:
    await ask(world, "POST", "/all/v1/responses", b'{"model":"gpt-a","input":"Acme"}')
    mark = MARK.findall(echo.sent)[0].decode()
    events = [
        {"type": "response.output_text.delta", "item_id": "m", "content_index": 0, "delta": one}
        for one in (f"of {mark[:7]}", f"{mark[7:]}.")
    ]
    events.append({"type": "response.completed", "response": {"output": [{"text": f"of {mark}."}]}})
    echo.sent = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in events)
    echo.kind = b"text/event-stream"
    _, came = await ask(world, "GET", f"/{endpoint}/v1/responses/resp_1?stream=true&starting_after=2")
    read = [orjson.loads(one.removeprefix(b"data: ")) for one in came.split(b"\n\n") if one]
    assert "".join(one["delta"] for one in read[:2]) == "of Acme."
    assert read[2] == {"type": "response.completed", "response": {"output": [{"text": "of Acme."}]}}
