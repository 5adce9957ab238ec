"""A gateway's journeys asked for its metrics, read by Prometheus's own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from llmitm.config.load import load
from llmitm.exchange import ClientRequest, HeldBody, ResponseHead, Unwatched
from llmitm.journey import carry
from llmitm.world import World, build

LAPTOP, SMALL, PAUSED = ("sk-proxy-of-the-laptop", "sk-proxy-of-the-small-one", "sk-proxy-of-nobody")
KEYS = {"sk-one-key", "sk-two-key"}
CONFIG = """
[endpoints.all]
kind = "gateway"
[providers.main]
base_url = "{url}/v1"
models = ["gpt-known", "gpt-*"]
[[providers.main.credentials]]
name = "one"
api_key = "sk-one-key"
[[providers.main.credentials]]
name = "two"
api_key = "sk-two-key"
[budget]
usd = 1000000
tokens = {{daily = 1000000000}}
[[auth_keys]]
name = "laptop"
key = "{laptop}"
[[auth_keys]]
name = "small"
key = "{small}"
rpm = 1
[retry]
base_ms = 1
"""


def world_of(url: str, folder: Path, config: str = CONFIG) -> World:
    path = folder / "config.toml"
    path.write_text(config.format(url=url, laptop=LAPTOP, small=SMALL))
    world = build(load(path, env={}))
    world.sinks = (world.metrics,)
    return world


def asked(target: str, body: Any = None, *, key: str = LAPTOP, accept: str = "") -> ClientRequest:
    headers = [(b"authorization", b"Bearer " + key.encode())]
    if accept:
        headers.append((b"accept", accept.encode()))
    return ClientRequest(
        id="id-1",
        method="GET" if body is None else "POST",
        target=target.encode(),
        headers=tuple(headers),
        body=HeldBody(b"" if body is None else orjson.dumps(body)),
        client="127.0.0.1:50000",
    )


def chat(model: str = "gpt-known", *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three"}]}


async def answer(world: World, request: ClientRequest) -> tuple[ResponseHead, bytes]:
    head, body = None, b""
    async for step in carry(request, world, Unwatched()):
        if isinstance(step, ResponseHead):
            head = step
            body += step.whole or b""
        else:
            body += step
    assert head is not None
    return head, body


async def text_of(world: World) -> str:
    head, body = await answer(world, asked("/metrics"))
    assert head.status == 200
    return body.decode()


async def snapshot_of(world: World) -> dict[str, Any]:
    head, body = await answer(world, asked("/metrics", accept="application/json"))
    assert head.header(b"content-type") == b"application/json"
    found: dict[str, Any] = orjson.loads(body)
    return found


def samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def summed(text: str, name: str, label: str = "", /, **labels: str) -> dict[str, float]:
    """The values of `name`, where its labels are these, added up by one of its labels (or all together)."""
    found: dict[str, float] = {}
    for sample in samples(text):
        if sample.name == name and labels.items() <= sample.labels.items():
            key = sample.labels[label] if label else ""
            found[key] = found.get(key, 0) + sample.value
    return found
