from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Who opens the log in this process takes it from the tests that come after: it is put back."""
    logger = logging.getLogger("llmitm")
    before = logger.propagate, logger.level, logger.handlers[:]
    yield
    logger.propagate, level, logger.handlers[:] = before
    logger.setLevel(level)
