"""What breaks inside the gateway, with everything that it knows in its words, tells nobody a secret."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from llmitm import journey, world
from llmitm.config.schema import Config
from llmitm.exchange import Attempt, ClientRequest, HeldBody, ResponseHead, Unwatched, UpstreamRequest
from llmitm.record.entry import Entry
from llmitm.record.ledger.columns import EXCHANGES
from llmitm.record.ledger.rows import Writing
from llmitm.record.log import open_log
from support.canaries import canary, found_in
from support.clocks import HandClock

PLANTED: Final = {
    **{name: canary(name, has_shape=False) for name in ("provider key", "auth key", "header", "cookie")},
    **{name: canary(name, has_shape=True) for name in ("prompt", "bearer")},
}
CONFIG: Final = {
    "endpoints": {"all": {"kind": "gateway"}, "dev": {"target_base": "http://127.0.0.1:9"}},
    "providers": {
        "up": {
            "base_url": "http://127.0.0.1:9/v1",
            "format": "openai-chat",
            "api_keys": [PLANTED["provider key"]],
            "headers": {"x-team": PLANTED["header"]},
        }
    },
    "auth_keys": [{"name": "one", "key": PLANTED["auth key"]}],
}


class Talkative:
    """A sender that breaks, and says all that it was given."""

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> Any:
        revealed = [(name, secret.reveal()) for name, secret in attempt.credential_headers]
        raise RuntimeError(f"{request.url} {request.headers!r} {revealed!r} {request.body.held!r}")

    async def close(self) -> None: ...


@pytest.fixture(params=["human", "json"])
def lines(request: pytest.FixtureRequest) -> Iterator[tuple[io.StringIO, str]]:
    logger = logging.getLogger("llmitm")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers = []
    yield io.StringIO(), request.param
    logger.handlers, logger.level, logger.propagate = before


@pytest.mark.parametrize("endpoint", ["all", "dev"])
async def test_an_exception_that_holds_everything(
    endpoint: str, lines: tuple[io.StringIO, str], tmp_path: Path
) -> None:
    stream, form = lines
    entries: list[Entry] = []
    made = world.build(Config.model_validate(CONFIG), clock=HandClock())
    await made.sender.close()
    made.sender = Talkative()  # type: ignore[assignment]
    made.sinks = (*made.sinks, entries.append)
    open_log(made.redact, level="debug", form=form, stream=stream)
    said = (
        f'{{"model": "gpt-x", "messages": [{{"role": "user", "content": "{PLANTED["prompt"]}"}}]}}'.encode()
    )
    request = ClientRequest(
        id="llmitm-1",
        method="POST",
        target=f"/{endpoint}/v1/chat/completions".encode(),
        headers=(
            (b"x-llmitm-key", PLANTED["auth key"].encode()),
            (b"authorization", f"Bearer {PLANTED['bearer']}".encode()),
            (b"cookie", f"session={PLANTED['cookie']}".encode()),
            (b"content-length", str(len(said)).encode()),
        ),
        body=HeldBody(said),
        client="127.0.0.1",
        scheme="http",
        http_version="HTTP/1.1",
    )
    answer = [step async for step in journey.carry(request, made, Unwatched())]
    assert isinstance(answer[0], ResponseHead) and answer[0].status == 500
    assert "Traceback" in stream.getvalue() and "RuntimeError" in stream.getvalue()
    row = Writing("run", made.redact).exchange(entries[0])
    assert "RuntimeError" in str(row[EXCHANGES.names.index("error")])
    for sink in (stream.getvalue(), repr(row), repr(answer)):
        assert not found_in(sink.encode(), PLANTED), sink
    await made.close()
