"""A running gateway that is asked for its metrics: without a key, and without a trace of it."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from support.backstage import Backstage
from support.gateway import Gateway


def of_endpoint(client: httpx.Client, endpoint: str) -> float:
    text = client.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "llmitm_requests_total" and sample.labels["endpoint"] == endpoint
    )


def test_exchanges_through_the_door_are_counted(
    gateway: Gateway, client: httpx.Client, provider: Backstage
) -> None:
    before = of_endpoint(client, "v1base")
    for _ in range(3):
        assert client.get("/v1base/models").status_code == 200
    assert of_endpoint(client, "v1base") == before + 3


def test_the_formats(client: httpx.Client) -> None:
    for accept, kind, begins in (
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"# HELP llmitm_requests_total "),
        ("application/json", "application/json", b'{"total_requests":'),
        ("application/openmetrics-text", "application/openmetrics-text; ", b"# HELP llmitm_requests "),
    ):
        answer = client.get("/metrics", headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.content.startswith(begins)


def test_who_asks_for_metrics_leaves_no_row(gateway: Gateway, client: httpx.Client) -> None:
    """In the gateway's own log. mitmdump shows what passes through it, this too."""
    client.get("/metrics")
    client.get("/nowhere/after-the-scrape")
    gateway.wait_for('"path":"/nowhere/after-the-scrape"')
    assert '"path":"/metrics"' not in gateway.output()
