"""What is counted equals what was sent, whatever became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.demo.provider import Provider
from llmitm.errors import UpstreamFailed
from llmitm.exchange import Noted, Unwatched, Usage
from llmitm.journey import carry
from llmitm.measured import wants_json
from llmitm.record.entry import Entry
from llmitm.record.ledger.reading import Wanted, reading, sums
from llmitm.world import World
from support.ledgers import entry_of, keep, noted_of, place_of
from support.metering import (
    CONFIG,
    KEYS,
    LAPTOP,
    PAUSED,
    SMALL,
    answer,
    asked,
    chat,
    samples,
    snapshot_of,
    summed,
    text_of,
    world_of,
)

CHAT = "/all/v1/chat/completions"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(keys=KEYS) as running:
        yield running


@pytest.fixture
async def world(provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    made = world_of(provider.url, tmp_path)
    yield made
    await made.close()


async def every_outcome(world: World, provider: Provider) -> None:
    """2 good ones, 1 at the second try, 1 limited, 2 refused, 1 that failed for good, 1 cut, 1 left."""
    await answer(world, asked(CHAT, chat()))
    await answer(world, asked(CHAT, chat(stream=True)))
    await answer(world, asked(CHAT, chat(), key=SMALL))
    await answer(world, asked(CHAT, chat(), key=SMALL))
    await answer(world, asked(CHAT, chat(), key=PAUSED))
    await answer(world, asked("/nowhere/v1/chat/completions", chat()))
    provider.script(["status:409", None])
    await answer(world, asked(CHAT, chat()))
    provider.script(["status:400"])
    await answer(world, asked(CHAT, chat()))
    provider.script(["truncate:3"])
    with pytest.raises(UpstreamFailed):
        await answer(world, asked(CHAT, chat(stream=True)))
    provider.script(["stall-stream:2"])
    leaving = carry(asked(CHAT, chat(stream=True)), world, Unwatched())
    await anext(leaving)
    await leaving.aclose()


async def test_exchanges_are_counted_once_by_how_they_ended(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_requests_total", "outcome") == {
        "ok": 4,
        "refused": 4,
        "truncated": 1,
        "client_gone": 1,
    }
    assert summed(text, "llmitm_request_duration_seconds_count") == {"": 10}
    assert summed(text, "llmitm_requests_total", "endpoint") == {"all": 9, "none": 1}


async def test_attempts_are_what_the_provider_was_asked(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_attempts_total") == {"": provider.count}
    assert summed(text, "llmitm_attempts_total", "status_class") == {"2xx": 6, "4xx": 2}
    assert summed(text, "llmitm_attempts_total", "model") == {"gpt-known": 8}


async def test_why_exchanges_failed_and_attempts_were_made_again(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_errors_total", "error_class") == {
        "rate_limit_exceeded": 1,
        "invalid_api_key": 1,
        "unknown_endpoint": 1,
        "client": 1,
        "truncated": 1,
    }
    assert summed(text, "llmitm_retries_total", "error_class") == {"conflict": 1}
    assert summed(text, "llmitm_attempts_total", "error_class") == {
        "none": 4,
        "conflict": 1,
        "client": 1,
        "truncated": 1,
        "dropped": 1,
    }


async def test_times_are_those_of_the_exchange(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_overhead_seconds_count") == {"": 10}
    assert summed(text, "llmitm_attempt_duration_seconds_count") == {"": provider.count}
    assert summed(text, "llmitm_time_to_first_token_seconds_count") == {"": 1}, "of good streams alone"
    whole_s = summed(text, "llmitm_request_duration_seconds_sum")[""]
    parts = ("llmitm_overhead_seconds_sum", "llmitm_attempt_duration_seconds_sum")
    assert sum(summed(text, part)[""] for part in parts) <= whole_s


async def test_keys_are_told_apart_by_name(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_key_requests_total", "auth_key") == {"laptop": 6, "small": 2}


async def test_cost_is_what_the_tokens_cost(provider: Provider, tmp_path: Path) -> None:
    world = world_of(provider.url, tmp_path, CONFIG + "[model_prices.gpt-known]\ninput = 3\noutput = 15\n")
    for model in ("gpt-known", "gpt-known", "gpt-of-no-price"):
        await answer(world, asked(CHAT, chat(model)))
    text, snapshot = await text_of(world), await snapshot_of(world)
    await world.close()
    kinds = summed(text, "llmitm_tokens_total", "kind", model="gpt-known")
    usd = (kinds["input"] * 3 + kinds["output"] * 15) / 1e6
    assert summed(text, "llmitm_cost_usd_total", "model") == {"gpt-known": pytest.approx(usd)}
    assert summed(text, "llmitm_key_cost_usd_total", "auth_key") == {"laptop": pytest.approx(usd)}
    assert summed(text, "llmitm_unpriced_attempts_total", "reason") == {"no_price": 1}
    assert snapshot["total_cost_usd"] == pytest.approx(usd)
    assert snapshot["cost_by_model"] == {"gpt-known": pytest.approx(usd)}


async def test_sums_are_those_of_the_ledger(provider: Provider, tmp_path: Path) -> None:
    prices = "[model_prices.gpt-known]\ninput = 3\noutput = 15\n[routing]\nhedge_after_ms = 50\n"
    world = world_of(provider.url, tmp_path, CONFIG + prices)
    entries: list[Entry] = []
    world.sinks = (entries.append, world.metrics)
    await every_outcome(world, provider)
    for model, faults in (("gpt-known", ["slow:300", None]), ("gpt-other", [])):
        provider.script(faults)
        for target in (CHAT, "/all/v1/messages", "/all/v1/responses"):
            body = {**chat(model), "max_tokens": 50, "input": "one two three"}
            await answer(world, asked(target, body))
    text, snapshot = await text_of(world), await snapshot_of(world)
    await world.close()
    for number, entry in enumerate(entries, 1):
        entry.id, entry.number = f"id-{number}", number
    await keep(place_of(tmp_path), entries)
    async with reading(place_of(tmp_path)) as connection:
        (total,) = await sums(connection, Wanted(), ())
        outcomes = await sums(connection, Wanted(), ("outcome",))
    counted = summed(text, "llmitm_requests_total", "outcome")
    assert counted == {one["outcome"]: one["requests"] for one in outcomes}
    assert summed(text, "llmitm_attempts_total") == {"": total["attempts"]}
    assert summed(text, "llmitm_tokens_total") == {"": total["input_tokens"] + total["output_tokens"]}
    assert round(summed(text, "llmitm_cost_usd_total")[""] * 1e9) == total["cost_usd_nano"]
    assert summed(text, "llmitm_unpriced_attempts_total", "reason")["no_price"] == total["unpriced"]
    names = ("total_requests", "total_attempts", "total_input_tokens", "total_output_tokens")
    rows = ("requests", "attempts", "input_tokens", "output_tokens")
    assert [snapshot[name] for name in names] == [total[name] for name in rows]


async def test_what_translation_lost(world: World) -> None:
    body = {**chat(), "max_tokens": 9, "top_k": 3}
    head, _ = await answer(world, asked("/all/v1/messages", body))
    assert head.status == 200
    text = await text_of(world)
    lost = summed(text, "llmitm_translation_warnings_total", "warning", to_dialect="openai-chat")
    assert lost["lost:top_k"] == 1
    assert summed(text, "llmitm_requests_total", "dialect") == {"anthropic-messages": 1}


async def test_limits_that_were_hit(world: World, provider: Provider) -> None:
    await every_outcome(world, provider)
    text = await text_of(world)
    assert summed(text, "llmitm_limit_rejections_total", "limit", kind="requests") == {"key:small": 1}


async def test_tokens_are_those_of_the_answers(world: World, provider: Provider) -> None:
    told = []
    for stream in (False, True):
        await answer(world, asked(CHAT, chat(stream=stream)))
    world.sinks = (lambda entry: told.append(entry.usage), world.metrics)
    await answer(world, asked(CHAT, chat()))
    text = await text_of(world)
    assert told[0].input_tokens and told[0].output_tokens
    kinds = summed(text, "llmitm_tokens_total", "kind", model="gpt-known", provider="main")
    assert kinds == {"input": 3 * told[0].input_tokens, "output": 3 * told[0].output_tokens}


async def test_the_snapshot_counts_exchanges_and_never_more_errors_than_these(
    world: World, provider: Provider
) -> None:
    await every_outcome(world, provider)
    snapshot = await snapshot_of(world)
    assert snapshot["total_requests"] == 10
    assert snapshot["total_attempts"] == provider.count
    assert snapshot["total_errors"] == 5, "who left is no error"
    assert snapshot["error_rate"] == 0.5
    assert snapshot["by_model"] == {"gpt-known": 7}
    assert snapshot["by_provider"] == {"main": 7}
    assert snapshot["active_providers"] == 1
    assert snapshot["requests_per_minute"] == 10
    assert sum(snapshot["latency_ms"].values()) == 10
    assert snapshot["latency_percentiles_ms"]["count"] == 10
    assert snapshot["limited_requests"] == 1
    assert snapshot["total_tokens"] == snapshot["total_input_tokens"] + snapshot["total_output_tokens"]


async def test_one_attempt_after_another_is_one_request(world: World, provider: Provider) -> None:
    """The predecessor counted attempts as requests, and each of them again as an error."""
    provider.script(["status:500", "status:500"])
    await answer(world, asked(CHAT, chat()))
    snapshot = await snapshot_of(world)
    assert (snapshot["total_requests"], snapshot["total_errors"], snapshot["total_attempts"]) == (1, 1, 2)
    assert snapshot["error_rate"] == 1


async def test_nothing_has_happened_yet(world: World) -> None:
    snapshot = await snapshot_of(world)
    assert snapshot["error_rate"] == 0
    assert snapshot["avg_latency_ms"] == 0
    assert snapshot["latency_percentiles_ms"] == {"p50": None, "p90": None, "p99": None, "count": 0}
    assert summed(await text_of(world), "llmitm_requests_total") == {}


async def test_asking_for_metrics_is_no_exchange_and_needs_no_key(world: World) -> None:
    for target in ("/metrics", "/metrics?x=1", "/health", "/ready"):
        head, _ = await answer(world, asked(target, key=PAUSED))
        assert head.status == 200
    text = await text_of(world)
    assert summed(text, "llmitm_requests_total") == {}
    assert summed(text, "llmitm_in_flight_requests") == {"": 0}


async def test_what_is_under_way(world: World, provider: Provider) -> None:
    provider.script(["stall-stream:2"])
    running = carry(asked(CHAT, chat(stream=True)), world, Unwatched())
    await anext(running)
    assert summed(await text_of(world), "llmitm_in_flight_requests") == {"": 1}
    assert (await snapshot_of(world))["in_flight"] == 1
    await running.aclose()
    assert summed(await text_of(world), "llmitm_in_flight_requests") == {"": 0}


async def test_many_ask_at_once(world: World) -> None:
    texts = await asyncio.gather(*(text_of(world) for _ in range(20)))
    assert all("llmitm_build_info" in text for text in texts)


@pytest.mark.parametrize(
    ("fault", "state"), [("status:401", "dead"), ("status:402", "exhausted"), ("status:500", "cooling")]
)
async def test_credentials_that_rest(world: World, provider: Provider, fault: str, state: str) -> None:
    provider.script([fault, None])
    await answer(world, asked(CHAT, chat()))
    text = await text_of(world)
    states = "llmitm_credential_state"
    assert summed(text, states, "state") == {
        one: float(one in ("ok", state)) for one in ("ok", "cooling", "exhausted", "dead", "stopped")
    }
    assert summed(text, states, "credential", state=state) in ({"one": 1, "two": 0}, {"one": 0, "two": 1})
    assert summed(text, "llmitm_retry_budget_left") == {"": 49}


async def test_a_credential_that_rests_for_one_model(world: World, provider: Provider) -> None:
    provider.script(["status:429", None])
    await answer(world, asked(CHAT, chat("gpt-not-configured")))
    text = await text_of(world)
    assert summed(text, "llmitm_credential_state", "state", state="ok") == {"ok": 2}
    assert summed(text, "llmitm_credential_resting_models") == {"": 1}


async def test_a_provider_that_is_left_alone(provider: Provider, tmp_path: Path) -> None:
    world = world_of(provider.url, tmp_path, CONFIG + "breaker = {{failures = 1}}\nrest_s = {{server = 0}}\n")
    provider.script(["status:500"] * 4)
    await answer(world, asked(CHAT, chat()))
    states = summed(await text_of(world), "llmitm_provider_state", "state", provider="main")
    await world.close()
    assert states == {"closed": 0, "open": 1, "half-open": 0}


async def test_names_that_clients_make_up_make_no_series(world: World, provider: Provider) -> None:
    """Where none of them is answered well, they all are `other`."""
    provider.script(["status:404"])
    await answer(world, asked(CHAT, chat()))
    before = len(samples(await text_of(world)))
    provider.script(["status:404"] * 100)
    for number in range(100):
        await answer(world, asked(CHAT, chat(f"gpt-made-up-{number}"), key=LAPTOP))
        await answer(world, asked(CHAT, chat(f"nobodys-{number}"), key=f"sk-made-up-{number}"))
        await answer(world, asked(f"/endpoint-{number}/v1/models"))
    text = await text_of(world)
    assert "made-up" not in text and "nobodys" not in text and "endpoint-" not in text
    assert len(samples(text)) < before + 60


async def test_ten_thousand_names_that_were_answered_well_make_few_series(world: World) -> None:
    for number in range(10_000):
        entry = Entry(
            id="",
            method="POST",
            path="/",
            client="",
            at_s=0,
            started_s=1,
            ended_s=2.0,
            endpoint=f"endpoint-{number}",
            auth_key=f"key-{number}",
            status=200,
            is_stream=True,
            first_byte_s=1.5,
            usage=Usage(output_tokens=3),
        )
        entry.attempts.append(
            Noted(
                number=1,
                provider=f"provider-{number % 1_000}",
                credential=None,
                gateway=None,
                model=f"model-{number}",
                status=200,
                ending="answered",
                usage=entry.usage,
                warnings=(f"lost:{number} at x",),
            )
        )
        world.metrics(entry)
    text = await text_of(world)
    assert len(text) < 1_000_000
    shown = samples(text)
    assert sum(one.value for one in shown if one.name == "llmitm_requests_total") == 10_000, "none is lost"
    assert sum(one.value for one in shown if one.name == "llmitm_tokens_total") == 30_000
    assert max(Counter(one.name for one in shown).values()) < 5_000
    for name in ("model", "provider", "endpoint", "auth_key", "warning"):
        assert len({one.labels[name] for one in shown if name in one.labels}) <= 205, name


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/plain, application/json;q=0.5", False),
        ("application/json;q=0", False),
        ("application/json;q=much", False),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            False,
        ),
    ],
)
def test_json_is_for_who_asks_for_it(accept: str, is_json: bool) -> None:
    assert wants_json(accept) is is_json


async def test_records_that_wait_and_that_were_lost(world: World) -> None:
    waiting, lost = [1, 2, 3], [4]
    world.metrics.watch_queue("ledger", lambda: len(waiting), lambda: len(lost))
    waiting.pop()
    text = await text_of(world)
    assert summed(text, "llmitm_record_queue_length", "sink") == {"ledger": 2}
    assert summed(text, "llmitm_records_dropped_total", "sink") == {"ledger": 1}


async def test_a_new_configuration_brings_its_names_and_forgets_no_count(
    world: World, provider: Provider, tmp_path: Path
) -> None:
    await answer(world, asked(CHAT, chat()))
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace("[endpoints.all]", "[endpoints.renamed]"))
    world.follow(load(path, env={}))
    await answer(world, asked("/renamed/v1/chat/completions", chat()))
    assert summed(await text_of(world), "llmitm_requests_total", "endpoint") == {"all": 1, "renamed": 1}


def test_the_pause_in_which_a_client_hears_that_its_answer_broke_off_is_nothing_that_was_added() -> None:
    kept = entry_of(1, started_s=100.0, ended_s=101.0, attempts=[noted_of(started_s=100.1, ended_s=100.5)])
    assert kept.own_s == pytest.approx(0.6)
    kept.is_cut = True
    assert kept.own_s == pytest.approx(0.1)
