"""A running gateway that is asked for its metrics: without a key, and without a trace of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.backstage import Backstage
from support.gateway import Gateway
from support.metering import CONFIG, KEYS, LAPTOP, PAUSED, SMALL, chat, summed


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


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[tuple[httpx.Client, Backstage]]:
    """A gateway that routes, of its own, so that its counts begin at nothing."""
    with Backstage(keys=KEYS) as provider:
        config = CONFIG.format(url=provider.url, laptop=LAPTOP, small=SMALL)
        with (
            Gateway(f"[server]\nport = 0\n{config}", tmp_path, host="serve") as gateway,
            httpx.Client(base_url=gateway.url, timeout=10) as client,
        ):
            yield client, provider


def test_all_that_can_become_of_an_exchange(asking: tuple[httpx.Client, Backstage]) -> None:
    client, provider = asking
    sent = 0

    def ask(*, key: str = LAPTOP, stream: bool = False, target: str = "/all") -> int:
        nonlocal sent
        sent += 1
        headers = {"authorization": f"Bearer {key}"}
        url = f"{target}/v1/chat/completions"
        return client.post(url, json=chat(stream=stream), headers=headers).status_code

    assert [ask(), ask(stream=True), ask(key=SMALL)] == [200, 200, 200]
    assert [ask(key=SMALL), ask(key=PAUSED), ask(target="/nowhere")] == [429, 401, 404]
    provider.script(["status:409", None, "status:400", "truncate:3"])
    assert [ask(), ask()] == [200, 400]
    with pytest.raises(httpx.RemoteProtocolError):
        ask(stream=True)
    provider.script(["stall-stream:2"])
    sent += 1
    with client.stream(
        "POST",
        "/all/v1/chat/completions",
        json=chat(stream=True),
        headers={"authorization": f"Bearer {LAPTOP}"},
    ) as leaving:
        pieces = leaving.iter_raw()  # the connection is closed with it
        next(pieces)
        assert summed(client.get("/metrics").text, "llmitm_in_flight_requests") == {"": 1}
    while summed(text := client.get("/metrics").text, "llmitm_in_flight_requests") != {"": 0}:
        pass  # it has left, which the gateway is about to see
    outcomes = summed(text, "llmitm_requests_total", "outcome")
    assert outcomes == {"ok": 4, "refused": 4, "truncated": 1, "client_gone": 1}
    assert sum(outcomes.values()) == sent
    assert summed(text, "llmitm_attempts_total") == {"": provider.new}
    assert summed(text, "llmitm_retries_total") == {"": 1}
    assert summed(text, "llmitm_limit_rejections_total") == {"": 1}
    snapshot = client.get("/metrics", headers={"accept": "application/json"}).json()
    assert (snapshot["total_requests"], snapshot["total_errors"]) == (sent, 5)
