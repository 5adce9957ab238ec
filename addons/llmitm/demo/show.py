"""`llmitm demo`: the embedded provider, the gateway in front of it, and streamed requests of each dialect.

Everything is real but the models: two HTTP servers on loopback, the gateway in a process of its own, and
the answers shown as they arrive.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from llmitm.demo.provider import Provider

PROMPT: Final = "Say something that shows that streams arrive as they are made."

CONFIG: Final = """\
[server]
port = {port}
[log]
format = "json"
[endpoints.openai]
target_base = "{url}/v1"
[endpoints.anthropic]
target_base = "{url}"
[endpoints.gemini]
target_base = "{url}"
[endpoints.router]
kind = "gateway"
[endpoints.cloudflare]
kind = "cloudflare"
[endpoints.cloudflare_simulated]
kind = "cloudflare"
simulate_stream = true
[[gateways]]
account_id = "account"
gateway_id = "one"
token = "cf-demo-token-one"
[[gateways]]
account_id = "account"
gateway_id = "two"
token = "cf-demo-token-two"
[cloudflare]
base_url = "{url}"
[providers.openai]
api_keys = ["sk-demo-key-one", "sk-demo-key-two"]
[providers.anthropic]
base_url = "{url}"
api_keys = ["sk-ant-demo-key"]
[providers.gemini]
base_url = "{url}"
api_keys = ["AIza-demo-key"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request of the demonstration."""

    title: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    text_of: Callable[[Any], str]
    """The text in one event of the stream, or nothing."""


def _chat_text(event: Any) -> str:
    return "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))


def _responses_text(event: Any) -> str:
    return str(event["delta"]) if event.get("type") == "response.output_text.delta" else ""


def _messages_text(event: Any) -> str:
    return str(event["delta"].get("text", "")) if event.get("type") == "content_block_delta" else ""


def _gemini_text(event: Any) -> str:
    return "".join(
        part.get("text", "")
        for candidate in event.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    )


def _chat(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": PROMPT}]}


_BEARER: Final = {"authorization": "Bearer sk-demo-of-the-client"}

CASES: Final = (
    Case(
        title="OpenAI Chat Completions",
        path="/openai/v1/chat/completions",
        body=_chat("gpt-demo"),
        headers=_BEARER,
        text_of=_chat_text,
    ),
    Case(
        title="OpenAI Responses",
        path="/openai/v1/responses",
        body={"model": "gpt-demo", "stream": True, "input": PROMPT},
        headers=_BEARER,
        text_of=_responses_text,
    ),
    Case(
        title="Anthropic Messages",
        path="/anthropic/v1/messages",
        body={**_chat("claude-demo"), "max_tokens": 100},
        headers={"x-api-key": "sk-ant-demo-of-the-client", "anthropic-version": "2023-06-01"},
        text_of=_messages_text,
    ),
    Case(
        title="Gemini",
        path="/gemini/v1beta/models/gemini-demo:streamGenerateContent?alt=sse",
        body={"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
        headers={"x-goog-api-key": "AIza-demo-of-the-client"},
        text_of=_gemini_text,
    ),
    Case(
        title="A client of OpenAI's, answered by an Anthropic model",
        path="/router/v1/chat/completions",
        body=_chat("claude-demo"),
        headers={},
        text_of=_chat_text,
    ),
    Case(
        title="A client of Anthropic's, answered by a Gemini model",
        path="/router/v1/messages",
        body={**_chat("gemini-demo"), "max_tokens": 100},
        headers={"anthropic-version": "2023-06-01"},
        text_of=_messages_text,
    ),
    Case(
        title="Cloudflare AI Gateway, real stream",
        path="/cloudflare/v1/chat/completions",
        body=_chat("openai/gpt-demo"),
        headers={},
        text_of=_chat_text,
    ),
    Case(
        title="Cloudflare AI Gateway, simulated stream",
        path="/cloudflare_simulated/v1/chat/completions",
        body=_chat("openai/gpt-demo"),
        headers={},
        text_of=_chat_text,
    ),
)


@dataclass(slots=True, kw_only=True)
class Leg:
    """What the client saw of one request."""

    title: str
    status: int
    first_ms: float
    total_ms: float
    pieces: int


class Gateway:
    """The gateway in a process of its own, and the lines it logs."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self._more = asyncio.Event()

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                sys.stderr.write(line.decode("utf-8", "replace"))
                continue
            if entry.get("event") == "request":
                self.requests.append(entry)
                self._more.set()

    async def requests_up_to(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(5):
            while len(self.requests) < count:
                self._more.clear()
                await self._more.wait()
        return self.requests[:count]


@asynccontextmanager
async def gateway(config: str) -> AsyncIterator[Gateway]:
    """Starts `llmitm serve` with this configuration and waits until it listens."""
    with tempfile.TemporaryDirectory(prefix="llmitm-demo-") as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llmitm", "serve", "--config", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in ("PORT", "CONFIG_PATH")},
        )
        assert process.stderr is not None
        said: list[str] = []
        url = ""
        while not url and (line := await process.stderr.readline()):
            said.append(line.decode("utf-8", "replace"))
            if line.startswith(b"{"):
                event = str(orjson.loads(line).get("event", ""))
                if event.startswith("listening on "):
                    url = event.removeprefix("listening on ").split(",")[0]
        if not url:
            await process.wait()
            raise RuntimeError("the gateway did not start:\n" + "".join(said))
        running = Gateway(process, url)
        reader = asyncio.create_task(running.read_log())
        try:
            yield running
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
            await reader


async def _ask(client: httpx.AsyncClient, case: Case, console: Console) -> Leg:
    console.print(f"\n[bold]{case.title}[/bold]  [dim]POST {case.path.partition('?')[0]}[/dim]")
    started_s = time.perf_counter()
    first_s: float | None = None
    pieces = 0
    async with client.stream("POST", case.path, json=case.body, headers=case.headers) as answer:
        if answer.status_code != 200:
            text = (await answer.aread()).decode("utf-8", "replace")
            raise RuntimeError(f"{case.title}: status {answer.status_code}: {text}")
        async for line in answer.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            text = case.text_of(orjson.loads(line.removeprefix("data: ")))
            if text:
                first_s = first_s or time.perf_counter()
                pieces += 1
                console.print(text, end="", style="green", markup=False, highlight=False, soft_wrap=True)
        status = answer.status_code
    ended_s = time.perf_counter()
    console.print()
    return Leg(
        title=case.title,
        status=status,
        first_ms=((first_s or ended_s) - started_s) * 1000,
        total_ms=(ended_s - started_s) * 1000,
        pieces=pieces,
    )


def _table(legs: list[Leg], requests: list[dict[str, Any]], provider: Provider) -> Table:
    table = Table(title="The legs of each request", title_style="bold", header_style="bold", pad_edge=False)
    table.add_column("leg")
    table.add_column("request", overflow="fold")
    table.add_column("status", justify="right")
    table.add_column("first", justify="right")
    table.add_column("total", justify="right")
    table.add_column("pieces", justify="right")
    for leg, request, received in zip(legs, requests, provider.requests, strict=False):
        table.add_row(
            "client",
            f"{request['method']} {request['path']}",
            str(leg.status),
            f"{leg.first_ms:.0f} ms",
            f"{leg.total_ms:.0f} ms",
            str(leg.pieces),
        )
        key = f", key {request['credential']}" if request.get("credential") else ", the client's own key"
        via = f", gateway {request['gateway'][-3:]}" if request.get("gateway") else ""
        table.add_row(
            " └ upstream 1",
            f"{received.method} {received.target.partition('?')[0]}[dim]{via}{key}[/dim]",
            str(request["status"]),
            "",
            "",
            "",
            end_section=True,
        )
    return table


def _curl_lines(url: str) -> str:
    lines = []
    for case in CASES[:7]:
        headers = "".join(f" \\\n  -H '{name}: {value}'" for name, value in case.headers.items())
        body = orjson.dumps(case.body).decode().replace("'", "'\\''")
        lines.append(
            f"# {case.title}\ncurl -sN '{url}{case.path}' \\\n"
            f"  -H 'content-type: application/json'{headers} \\\n  -d '{body}'\n"
        )
    return "\n".join(lines)


async def _show(*, keep: bool, port: int) -> int:
    console = Console(highlight=False)
    async with Provider(pace_s=0.03) as provider:
        try:
            async with gateway(CONFIG.format(port=port, url=provider.url)) as running:
                console.print(
                    f"provider  {provider.url}  [dim](embedded: four dialects, no key, no network)[/dim]"
                )
                console.print(f"gateway   {running.url}  [dim](llmitm serve, in front of it)[/dim]")
                async with httpx.AsyncClient(base_url=running.url, timeout=30, trust_env=False) as client:
                    legs = [await _ask(client, case, console) for case in CASES]
                requests = await running.requests_up_to(len(CASES))
                console.print()
                console.print(_table(legs, requests, provider))
                if keep:
                    console.print("\nLeft running; Ctrl-C ends it. Try:\n")
                    console.print(_curl_lines(running.url), markup=False, soft_wrap=True)
                    await _until_stopped()
                else:
                    console.print(
                        "\nEvery leg is a mitmproxy flow: `mitmweb -s addons/gateway.py` shows, pauses, "
                        "edits and replays them.\n`llmitm demo --keep` leaves this running and prints "
                        "curl lines."
                    )
        except (RuntimeError, httpx.HTTPError, TimeoutError) as error:
            print(f"llmitm: the demonstration failed: {error}", file=sys.stderr)
            return 1
    return 0


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def run(*, keep: bool, port: int) -> int:
    """Runs the demonstration; returns the exit status."""
    return asyncio.run(_show(keep=keep, port=port))
