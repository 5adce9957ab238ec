"""Limits of models hold whatever a client calls them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from llmitm.config.schema import Config
from llmitm.errors import Limited
from llmitm.exchange import ClientRequest, Dialect, HeldBody, ResponseHead, Unwatched
from llmitm.route.plan import Asked
from llmitm.trip import routed
from llmitm.trip.limited import under_limits
from llmitm.world import World, build
from support.clocks import HandClock
from support.ledgers import entry_of

CONFIG: dict[str, Any] = {
    "endpoints": {
        "all": {"kind": "gateway"},
        "passing": {"provider": "main", "target_base": "http://127.0.0.1:1"},
        "cf": {"kind": "cloudflare"},
    },
    "gateways": [{"account_id": "a", "gateway_id": "g"}],
    "providers": {
        "main": {
            "base_url": "http://127.0.0.1:1",
            "format": "openai-chat",
            "models": [{"id": "vendor/dear-1", "alias": "dear-1"}, {"id": "cheap"}],
            "prefix": "house",
        },
        "any": {"base_url": "http://127.0.0.1:1", "format": "openai-chat"},
    },
    "routing": {"aliases": {"best": "dear-1", "pool": [{"model": "cheap"}, {"model": "dear-1"}]}},
    "rate_limit": {"models": {"dear-*": {"rpm": 1}}},
}


async def answered() -> AsyncGenerator[ResponseHead | bytes]:
    yield ResponseHead(status=200, headers=())


async def ask(world: World, model: str, endpoint: str = "all") -> None:
    body = orjson.dumps({"model": model, "messages": []})
    rest = b"/v1/chat/completions"
    trip = routed.Trip(
        request=ClientRequest(
            id="x", method="POST", target=rest, headers=(), body=HeldBody(body), client="127.0.0.1"
        ),
        asked=Asked(
            id="x",
            endpoint=endpoint,
            rest=rest,
            dialect=Dialect.OPENAI_CHAT,
            drop_headers=frozenset(),
            model=model,
        ),
        endpoint=world.config.endpoints[endpoint],
        config=world.config,
        world=world,
        watch=Unwatched(),
        kept=entry_of(1, auth_key=None, attempts=[]),
    )
    models = () if endpoint == "passing" else (model,)
    assert [one async for one in under_limits(answered(), trip, body, models)]


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        ("dear-1", "all"),
        ("best", "all"),
        ("pool", "all"),
        ("main/dear-1", "all"),
        ("vendor/dear-1", "all"),
        ("any/dear-2", "all"),
        ("Dear-1", "all"),
        ("any/DEAR-1", "all"),
        ("dear-1", "passing"),
        ("openai/dear-3", "cf"),
    ],
)
async def test_no_other_name_gets_round_the_limit_of_a_model(model: str, endpoint: str) -> None:
    world = build(Config.model_validate(CONFIG), clock=HandClock())
    await ask(world, "dear-1")
    with pytest.raises(Limited, match="The models dear-"):
        await ask(world, model, endpoint)
    await ask(world, "cheap")
    await ask(world, "any/other")
