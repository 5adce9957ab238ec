"""`llmitm ledger verify`: printing only."""

from __future__ import annotations

import asyncio
from pathlib import Path

from llmitm.cli.logs import place_of, say, unreadable
from llmitm.errors import ConfigError
from llmitm.record.ledger.place import Place
from llmitm.record.ledger.verify import verify


def check(config: Path | None) -> int:
    """Returns the exit status: 0 where nothing is missing, 1 where something is or it cannot be read, 2 for a
    wrong configuration."""
    try:
        place = place_of(config)
    except (ConfigError, ValueError) as error:
        return say(str(error), 2)
    try:
        return asyncio.run(_told(place))
    except Exception as error:
        return say(unreadable(place, error), 1)


async def _told(place: Place) -> int:
    print(place.name)
    is_wrong = False
    async for finding in verify(place):
        is_wrong = is_wrong or finding.is_wrong
        print(f"{'!!' if finding.is_wrong else 'ok'}  {finding.text}")
    return int(is_wrong)
