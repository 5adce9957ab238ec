"""`llmitm top`: one look at a gateway, what is drawn of it, and what is told where nothing is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from llmitm.cli.top import Seen, drawn, look
from llmitm.record.entry import Outcome
from llmitm.record.metrics import Metrics
from llmitm.record.snapshot import snapshot
from support.clocks import HandClock
from support.ledgers import config_of, entry_of, keep, place_of

URL = "http://127.0.0.1:8811"
ENTRIES = (
    entry_of(1, auth_key="laptop"),
    entry_of(2, status=502, outcome=Outcome.UPSTREAM_ERROR, model="[bold]not markup[/bold]"),
)


def told() -> dict[str, Any]:
    metrics = Metrics(config_of(), HandClock(), str)
    for one in ENTRIES:
        metrics(one)
    return snapshot(metrics) | {"in_flight": 3, "version": "9.9"}


def answering(answer: httpx.Response) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))


def text_of(seen: Seen, before: dict[str, Any] | None = None) -> str:
    console = Console(width=160, highlight=False)
    with console.capture() as captured:
        console.print(drawn(URL, seen, before, 2.0))
    return captured.get()


async def test_what_a_gateway_does_is_seen(tmp_path: Path) -> None:
    await keep(place_of(tmp_path), ENTRIES)
    async with answering(httpx.Response(200, json=told())) as client:
        text = text_of(await look(client, URL, place_of(tmp_path)))
    for words in ("llmitm 9.9", "in flight 3", "failed 50.00%", "502 upstream_error", "main/one", "laptop"):
        assert words in text, words
    assert "[bold]not markup[/bold]" in text
    assert text.index("502 upstream_error") < text.index("200 ok"), "the newest first"


async def test_rates_are_of_the_time_between_two_looks() -> None:
    before = told() | {"total_requests": 0, "total_output_tokens": 0}
    text = text_of(Seen(told(), []), before)
    assert "requests/s 1.0" in text and "output tokens/s 5" in text


async def test_what_cannot_be_seen_is_told(tmp_path: Path) -> None:
    async with answering(httpx.Response(503)) as client:
        silent = await look(client, URL, None)
    assert silent.metrics is None and "does not answer" in text_of(silent)
    async with answering(httpx.Response(200, json=told())) as client:
        assert "there is no ledger" in text_of(await look(client, URL, place_of(tmp_path)))
        assert "enabled = false" in text_of(await look(client, URL, None))


async def test_a_narrow_terminal_is_told_less_rather_than_cut(tmp_path: Path) -> None:
    await keep(place_of(tmp_path), ENTRIES)
    async with answering(httpx.Response(200, json=told())) as client:
        seen = await look(client, URL, place_of(tmp_path))
    console = Console(width=80, highlight=False)
    with console.capture() as captured:
        console.print(drawn(URL, seen, None, 2.0, console.width))
    text = captured.get()
    assert all(words in text for words in ("first token p50", "main/one", "502 upstream_error", "$"))
    assert "laptop" not in text and max(map(len, text.splitlines())) <= 80
