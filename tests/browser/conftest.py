"""A real browser for the tests of a file: no longer, for async tests cannot run beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from support.browsing import CHROMIUM, NO_CHROMIUM, chromium
from support.postgres_server import BINARY, NO_BINARY, PostgresServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    if BINARY is None:
        pytest.skip(NO_BINARY)
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
