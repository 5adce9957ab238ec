"""The text itself: what Prometheus's own linter asks for, and nothing that nobody may see."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from llmitm.demo.provider import Provider
from llmitm.measured import standing
from llmitm.world import World
from support.metering import KEYS, LAPTOP, PAUSED, SMALL, answer, asked, chat, snapshot_of, text_of, world_of

CHAT = "/all/v1/chat/completions"
DASHBOARD = Path(__file__).resolve().parents[2] / "dashboards" / "grafana.json"
CANARIES = (
    *("sk-ant-api03-canaryofthemodel", "canary-of-the-prompt", "canary-of-the-path", "canary-of-the-query"),
    *("one two three", "127.0.0.1", "id-1", "500 ", LAPTOP, SMALL, PAUSED, *KEYS),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One that has seen a bit of everything."""
    async with Provider(keys=KEYS) as provider:
        world = world_of(provider.url, tmp_path)
        provider.script([None, None, "status:429", None, "status:500:canary-of-the-error"])
        bodies = (
            chat(),
            chat(stream=True),
            chat("gpt-sk-ant-api03-canaryofthemodel"),
            chat('gpt-"quoted"\\\n'),
            chat("gpt-\ud7ff\N{SNOWMAN}"),
            {**chat(), "user": "canary-of-the-prompt"},
        )
        for body in bodies:
            await answer(world, asked(CHAT, body))
        for key in (SMALL, SMALL, PAUSED):
            await answer(world, asked(CHAT, chat(), key=key))
        await answer(world, asked("/canary-of-the-path/v1/models?key=canary-of-the-query"))
        yield world
        await world.close()


async def families(world: World) -> list[Metric]:
    return list(text_string_to_metric_families(await text_of(world)))


async def test_every_metric_is_named_as_prometheus_asks(world: World) -> None:
    for family in await families(world):
        name = family.name
        assert re.fullmatch(r"(llmitm|process)_[a-z0-9_]+", name), name
        assert family.documentation.endswith("."), f"{name}: help is a sentence"
        assert family.type in ("counter", "gauge", "histogram"), name
        words = name.split("_")
        units = {"ms", "milliseconds", "minutes", "kb", "mb", "percent", "us", "nano", "seconds_sum"}
        assert not units & set(words), f"{name}: base units"
        assert "_by_" not in name, f"{name}: no label in a name"
        assert not {"counter", "gauge", "histogram", "metric"} & set(words), f"{name}: no type in a name"
        if family.type == "gauge":
            assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_created")), name
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z_]+", label) for label in sample.labels), sample
            assert all(sample.labels.values()), f"{sample}: an empty label is none"
            if family.type == "counter":
                assert sample.name == f"{name}_total" and sample.value >= 0


async def test_no_series_stands_there_twice(world: World) -> None:
    found = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in await families(world)
        for sample in family.samples
    )
    assert max(found.values()) == 1, found.most_common(3)
    assert max(Counter(family.name for family in await families(world)).values()) == 1


async def test_histograms_add_up(world: World) -> None:
    for family in await families(world):
        if family.type != "histogram":
            continue
        buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        counts = {}
        for sample in family.samples:
            key = tuple(sorted((name, one) for name, one in sample.labels.items() if name != "le"))
            if sample.name.endswith("_bucket"):
                buckets.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                counts[key] = sample.value
        for key, cells in buckets.items():
            assert cells == sorted(cells), "bounds and counts both ascend"
            assert [count for _, count in cells] == sorted(count for _, count in cells)
            assert cells[-1] == (float("inf"), counts[key])


async def test_openmetrics_for_who_asks_for_it(world: World) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    head, body = await answer(world, asked("/metrics", accept=accept))
    assert (head.header(b"content-type") or b"").startswith(b"application/openmetrics-text")
    names = {family.name for family in openmetrics.text_string_to_metric_families(body.decode())}
    assert names == {family.name for family in await families(world)}


async def test_an_accept_header_that_makes_no_sense_gets_text(world: World) -> None:
    for accept in (
        "text/plain;version=x.y",
        "application/openmetrics-text;version=;escaping=no",
        ";;,,=",
        "\xff",
    ):
        head, body = await answer(world, asked("/metrics", accept=accept))
        assert head.status == 200 and b"llmitm_build_info" in body


async def test_nothing_that_nobody_may_see(world: World) -> None:
    text = await text_of(world)
    snapshot = orjson.dumps(await snapshot_of(world)).decode()
    for canary in (*CANARIES, "canary"):
        assert canary not in text
        assert canary not in snapshot


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(DASHBOARD.read_bytes())["panels"]
    return found


def queries() -> list[str]:
    board = orjson.loads(DASHBOARD.read_bytes())
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return asked + [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]


def test_the_dashboard_imports_cleanly() -> None:
    """An import makes a new board, and a variable says where Prometheus is."""
    board = orjson.loads(DASHBOARD.read_bytes())
    assert board["id"] is None and board["uid"] and board["title"] == "llmitm"
    assert board["schemaVersion"] >= 36
    variables = {one["name"]: one["type"] for one in board["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["targets"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    used = set(re.findall(r"\$([a-z]+)", " ".join(queries())))
    assert used <= set(variables), "every variable that is used is there"


def test_no_panel_lies_upon_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


async def test_the_dashboard_asks_for_what_there_is(world: World) -> None:
    there = {
        family.name + ending: {*family.labels, "instance", "le"}
        for family in [*world.metrics.read(), *await standing(world)]
        for ending in {"counter": ("_total",), "gauge": ("",)}.get(family.kind, ("_bucket",))
    }
    for query in queries():
        for name, chosen in re.findall(r"\b(llmitm_\w+)(?:\{(.*?)\})?", query):
            assert name in there, query
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", chosen)) <= there[name], query
            by = {one.strip() for group in re.findall(r"by \((.*?)\)", query) for one in group.split(",")}
            assert by <= there[name], query
