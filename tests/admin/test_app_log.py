"""The newest lines of the log: found by level and words, without secrets, and no more than have room."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from llmitm.admin.app_log import AppLog
from llmitm.record.log import open_log
from llmitm.secret import Redactor, Secret
from support.ledgers import entry_of

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def kept() -> Iterator[AppLog]:
    redact = Redactor()
    redact.learn(Secret(KEY))
    made = AppLog(redact, most=4)
    made.hang()
    yield made
    made.take_off()


def test_lines_are_found_the_newest_first(kept: AppLog) -> None:
    log = logging.getLogger("llmitm")
    log.setLevel(logging.INFO)
    for number in range(1, 7):
        log.log(logging.ERROR if number % 2 else logging.INFO, "Line %d", number)
    assert [line.number for line in kept.find()] == [6, 5, 4, 3]
    assert [line.message for line in kept.find(level="warning")] == ["Line 5", "Line 3"]
    assert [line.number for line in kept.find(text="LINE 4")] == [4]
    assert [line.number for line in kept.find(before=5, limit=1)] == [4]
    assert [line.number for line in kept.since(4)] == [5, 6]
    assert [line.number for line in kept.since(0)] == [3, 4, 5, 6] and kept.since(6) == []


def test_no_secret_is_kept_not_even_of_a_traceback(kept: AppLog) -> None:
    log = logging.getLogger("llmitm")
    try:
        raise RuntimeError(f"bad key {KEY}")
    except RuntimeError:
        log.exception("it broke with %s", KEY)
    (line,) = kept.find()
    assert KEY not in line.message and "RuntimeError" in line.message and line.level == "error"


def test_lines_of_requests_stand_in_the_ledger(kept: AppLog) -> None:
    logging.getLogger("llmitm").warning("request", extra={"entry": entry_of(1)})
    assert kept.find() == []


def test_it_hangs_on_after_the_log_was_set_up_anew(kept: AppLog) -> None:
    open_log(str)
    kept.hang()
    kept.hang()
    logging.getLogger("llmitm").error("once")
    assert [line.message for line in kept.find()] == ["once"]
