"""`just board-proof`: the Grafana board, asked of a real Prometheus that scrapes a gateway with traffic.

Every expression must be one that Prometheus understands; those that have nothing to show are listed, and
some have a reason: nothing was tried again, no budget counts tokens. Where Grafana's own library is installed
(grafana-foundation-sdk) the board is also read and written by it, and what it does not know is listed. Needs
Debian's `prometheus`, on PATH or at $PROMETHEUS; exit status 1 where an expression is refused.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from support.backstage import Backstage
from support.gateway import ROOT, Gateway
from support.pages import free_port

BOARD: Final = ROOT / "dashboards" / "grafana.json"
TRAFFIC_S: Final = 25.0
"""Rates need a few scrapes, one a second."""
VARIABLES: Final = {
    "$__rate_interval": "10s",
    "$instance": ".*",
    "$endpoint": ".*",
    "$provider": ".*",
    "$model": ".*",
}
CONFIG: Final = """
model_prices = {{"gpt" = {{input = 100.0, output = 1000.0}}}}
auth_keys = [{{name = "first", key = "sk-proxy-first", budget_usd = 50.0, rpm = 30}}]
[server]
port = 0
[endpoints.all]
kind = "gateway"
[providers.fine]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-one", "sk-two"]
models = ["gpt", "unpriced"]
[providers.refusing]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-three"]
headers = {{x-demo-fault = "status:401"}}
models = ["refused"]
"""


@contextmanager
def prometheus(program: str, gateway_port: int, folder: Path) -> Iterator[str]:
    """Its address."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "llmitm", "static_configs": [{"targets": [f"127.0.0.1:{gateway_port}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML, too
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "series",
        "web.listen-address": address,
        "log.level": "error",
    }
    process = subprocess.Popen([program, *(f"--{name}={value}" for name, value in options.items())])
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def ask(client: httpx.Client, url: str) -> None:
    """A bit of everything, for a while."""
    until_s = time.monotonic() + TRAFFIC_S
    while time.monotonic() < until_s:
        for model, path in (
            ("gpt", "chat/completions"),
            ("gpt", "messages"),
            ("unpriced", "messages"),
            ("refused", "messages"),
        ):
            body = {
                "model": model,
                "max_tokens": 50,
                "top_k": 3,
                "stream": path != "messages",
                "messages": [{"role": "user", "content": "one two three"}],
            }
            headers = {"authorization": "Bearer sk-proxy-first"}
            client.post(f"{url}/all/v1/{path}", headers=headers, json=body)
        time.sleep(0.4)


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(title of the panel, its expression with every variable as Grafana would fill it in)."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            query: str = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            yield panel["title"], query


def unknown_to_grafana(board: dict[str, Any]) -> list[str] | None:
    """What Grafana's library reads and does not write again; None: it is not here."""
    try:
        models = importlib.import_module("grafana_foundation_sdk.models.dashboard")
        plugins = importlib.import_module("grafana_foundation_sdk.cog.plugins")
        encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    except ImportError:
        return None
    plugins.register_default_plugins()
    made = json.loads(encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(board)))
    return list(_lost(board, made, ""))


def _lost(was: Any, now: Any, path: str) -> Iterator[str]:
    match was:
        case dict():
            for name, one in was.items():
                if not isinstance(now, dict) or (name not in now and one not in (None, [], {}, "", False)):
                    yield f"{path}.{name}"
                elif name in now:
                    yield from _lost(one, now[name], f"{path}.{name}")
        case list():
            for at, one in enumerate(was):
                yield from _lost(
                    one, now[at] if isinstance(now, list) and at < len(now) else None, f"{path}[{at}]"
                )
        case _ if was != now:
            yield f"{path}: {was!r} is {now!r}"


def main() -> int:
    program = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
    if program is None:
        print("there is no prometheus; Debian has it", file=sys.stderr)
        return 2
    board: dict[str, Any] = json.loads(BOARD.read_bytes())
    refused, empty, count = [], [], 0
    with Backstage() as provider, tempfile.TemporaryDirectory() as folder:
        config = CONFIG.format(url=provider.url)
        with (
            Gateway(config, Path(folder), host="serve") as gateway,
            prometheus(program, gateway.port, Path(folder)) as url,
            httpx.Client(trust_env=False, timeout=20) as client,
        ):
            ask(client, gateway.url)
            for title, query in queries(board):
                answer = client.get(f"{url}/api/v1/query", params={"query": query}).json()
                count += 1
                if answer["status"] != "success":
                    refused.append(f"{title}: {answer['error']}")
                elif not answer["data"]["result"]:
                    empty.append(title)
    print(f"{count} expressions, {len(refused)} refused, {len(empty)} with nothing to show")
    print("\n".join([*(f"refused  {one}" for one in refused), *(f"nothing  {one}" for one in empty)]))
    lost = unknown_to_grafana(board)
    print(
        "Grafana's library is not here"
        if lost is None
        else f"unknown to Grafana's library: {lost or 'nothing'}"
    )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
