from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from llmitm.exchange import ClientRequest, HeldBody, Noted
from llmitm.record.entry import Entry, entry
from llmitm.record.log import open_log, request_line
from llmitm.secret import Redactor, Secret


class HandClock:
    def __init__(self) -> None:
        self.moment_s = 100.0

    def now_s(self) -> float:
        return self.moment_s

    def tick_s(self) -> float:
        return self.moment_s

    async def sleep(self, duration_s: float) -> None:
        self.moment_s += duration_s

    def chance(self) -> float:
        return 0.5


REQUEST = ClientRequest(
    id="llmitm-1",
    method="POST",
    target=b"/dev/v1/messages?key=AIzaSecretSecret",
    headers=(),
    body=HeldBody(),
    client="127.0.0.1",
)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    redact = Redactor()
    redact.learn(Secret("a known secret"))
    logger = open_log(redact, form="json", stream=stream)
    yield stream
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)


def one_exchange(clock: HandClock) -> None:
    with entry(REQUEST, clock, (request_line,)) as kept:
        kept.endpoint = "dev"
        kept.status = 200
        kept.attempts.append(Noted(number=1, provider="anthropic", credential=None, gateway=None))
        clock.moment_s += 0.25
        kept.first_byte_s = clock.tick_s()
        clock.moment_s += 0.5
        kept.response_bytes = 1234


def test_one_line_a_request_with_everything_on_it(lines: io.StringIO) -> None:
    one_exchange(HandClock())
    line = orjson.loads(lines.getvalue())
    assert line["id"] == "llmitm-1"
    assert line["endpoint"] == "dev"
    assert line["status"] == 200
    assert line["attempts"] == 1
    assert line["first_byte_ms"] == 250.0
    assert line["total_ms"] == 750.0
    assert line["response_bytes"] == 1234
    assert line["path"] == "/dev/v1/messages"


def test_no_secret_in_any_line(lines: io.StringIO) -> None:
    one_exchange(HandClock())
    log = logging.getLogger("llmitm")
    log.warning("upstream said: a known secret, Bearer sk-abcdefghijklmnop")
    try:
        raise ValueError("a known secret in a traceback")
    except ValueError:
        log.exception("broke")
    text = lines.getvalue()
    assert "Secret" not in text
    assert "known secret" not in text
    assert "abcdefgh" not in text
    assert "ValueError" in text


def test_a_client_that_leaves_is_a_499(lines: io.StringIO) -> None:
    with pytest.raises(GeneratorExit), entry(REQUEST, HandClock(), (request_line,)) as kept:
        kept.status = 200
        raise GeneratorExit
    assert orjson.loads(lines.getvalue())["status"] == 499


def test_a_sink_that_breaks_disturbs_nobody(lines: io.StringIO) -> None:
    written: list[Entry] = []

    def broken(kept: Entry) -> None:
        raise OSError("disk full")

    with entry(REQUEST, HandClock(), (broken, written.append)):
        pass
    assert len(written) == 1
    assert "disk full" in lines.getvalue()


def test_human_lines_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logger = open_log(Redactor(), stream=stream)
    one_exchange(HandClock())
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    text = stream.getvalue()
    assert "200 POST /dev/v1/messages  [dev]  anthropic  1 attempt  first byte 250 ms" in text
    assert "1.2 kB out" in text
