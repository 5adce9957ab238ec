"""A running provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from llmitm.demo.provider import Provider


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running
