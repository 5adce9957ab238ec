from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

# laws are tried without a clock: a busy machine breaks none
_ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _ANY_SPEED, max_examples=30)
settings.register_profile("thorough", _ANY_SPEED, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_xdist_auto_num_workers() -> int | None:
    """One more than there are processors: half of the time is spent waiting for gateways."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is read to find the tests stays to the end: looking through it for garbage, again and again,
    takes as long as reading half of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Who opens the log in this process takes it from the tests that come after: it is put back."""
    logger = logging.getLogger("llmitm")
    before = logger.propagate, logger.level, logger.handlers[:]
    yield
    logger.propagate, level, logger.handlers[:] = before
    logger.setLevel(level)
