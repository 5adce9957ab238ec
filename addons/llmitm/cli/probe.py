"""`llmitm test`: real requests through the running path, and who truly answered.

Through an endpoint of kind cloudflare, else through one that routes by model.

Starts the gateway with the user's own configuration on a free port of loopback, sends chat completions
through it, and reads gateway and key from the answer's debug headers, not from what was expected.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from llmitm.config.load import load
from llmitm.config.path import find
from llmitm.config.schema import Config
from llmitm.errors import ConfigError
from llmitm.secret import Redactor

PROMPT: Final = "Reply with just: OK"
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request of the test, and who answered it."""

    asked: str
    status: int | None
    gateway: str
    credential: str
    text: str
    is_fine: bool


def run(path: Path | None, what: str, name: str | None) -> int:
    """Where clients need a key, it is the first that the file holds, else LLMITM_KEY.

    Returns the exit status: 0 where all passed, 1 where one failed, 2 where nothing could be asked.
    """
    try:
        file = find(path, os.environ)
        config = load(file, env=os.environ, host="127.0.0.1", port=0)
        return asyncio.run(_run(config, file, what, name))
    except ConfigError as error:
        print(f"llmitm: {error}", file=sys.stderr)
        return 2


async def _run(config: Config, file: Path, what: str, name: str | None) -> int:
    asked = _requests(config, what, name)
    if isinstance(asked, str):
        print(f"llmitm: {asked}", file=sys.stderr)
        return 2
    redact = Redactor()
    redact.learn(*config.secrets())
    key = next((one.key.reveal() for one in config.auth_keys or () if one.key and not one.disabled), None)
    key = key or os.environ.get("LLMITM_KEY")
    if config.auth_keys is not None and not key:
        print("llmitm: clients need a key, and the file has hashes alone: set LLMITM_KEY", file=sys.stderr)
        return 2
    seen: list[Seen] = []
    async with _Gateway(file) as url:
        headers = {"x-debug": "true"} | ({"x-llmitm-key": key} if key else {})
        verify: Any = str(config.server.tls_cert) if config.server.tls_cert else True
        async with httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, headers=headers, verify=_context(verify)
        ) as client:
            for model in asked:
                seen.append(await _ask(client, _endpoint(config) or "", model, redact))
    _print(seen)
    return 0 if all(one.is_fine for one in seen) else 1


def _context(verify: Any) -> Any:
    import ssl

    if verify is True:
        return True
    context = ssl.create_default_context(cafile=verify)
    context.check_hostname = False  # the certificate names the public host, the test dials loopback
    return context


def _endpoint(config: Config) -> str | None:
    """One of kind cloudflare, else one that routes by model."""
    kinds = {one.kind: name for name, one in reversed(list(config.endpoints.items()))}
    return kinds.get("cloudflare") or kinds.get("gateway")


def _requests(config: Config, what: str, name: str | None) -> list[str] | str:
    """The models to ask, one a request; or what is missing."""
    endpoint = _endpoint(config)
    if endpoint is None or (what == "gateway" and not config.gateways):
        needed = "[[gateways]]" if what == "gateway" else "[providers] or [[gateways]]"
        return f"the test needs {needed} in the configuration"
    is_named = config.endpoints[endpoint].kind == "cloudflare"
    tested = {
        provider_name: model if is_named else f"{provider_name}/{model.removeprefix(f'{provider_name}/')}"
        for provider_name, provider in config.providers.items()
        if provider.credentials and (model := provider.test_model)
    }
    if what == "provider":
        if name not in config.providers:
            return f"there is no provider {name}; possible are {', '.join(config.providers) or 'none'}"
        if name not in tested:
            return f"provider {name} needs api_keys and a test_model"
        return [tested[name]] * len(config.providers[name].credentials)
    if not tested:
        return "no provider has api_keys and a test_model"
    if what == "gateway":
        rounds = 2 * sum(gateway.weight for gateway in config.gateways)
        return [next(iter(tested.values()))] * rounds
    return list(tested.values())


async def _ask(client: httpx.AsyncClient, endpoint: str, model: str, redact: Redactor) -> Seen:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    status: int | None = None
    gateway = credential = ""
    try:
        answer = await client.post(f"/{endpoint}/v1/chat/completions", json=body)
        status = answer.status_code
        gateway = answer.headers.get("x-debug-gateway", "")
        credential = answer.headers.get("x-debug-credential", "")
        told = answer.json()
        if status == 200:
            text = str(told["choices"][0]["message"]["content"])
        else:
            text = str(told.get("error", {}).get("message", told) if isinstance(told, dict) else told)
    except httpx.HTTPError as error:
        text = f"no answer: {str(error) or type(error).__name__}"
    except (ValueError, LookupError, TypeError):
        text = "the answer is no chat completion"
        status = None if status == 200 else status
    return Seen(
        asked=model,
        status=status,
        gateway=gateway,
        credential=credential,
        text=redact(" ".join(text.split()))[:120],
        is_fine=status == 200,
    )


def _print(seen: list[Seen]) -> None:
    table = Table(header_style="bold", pad_edge=False)
    for title in ("", "model", "status", "gateway", "key", "answer"):
        table.add_column(title, overflow="fold")
    for one in seen:
        account, _, gateway = one.gateway.partition("/")
        table.add_row(
            "ok" if one.is_fine else "FAILED",
            one.asked,
            str(one.status or "-"),
            f"{account[:4]}.../{gateway}" if gateway else "-",
            one.credential or ("client's own" if one.status else "-"),
            one.text,
            style=None if one.is_fine else "red",
        )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    passed = sum(one.is_fine for one in seen)
    print(f"{len(seen)} requests, {passed} passed, {len(seen) - passed} failed")


class _Gateway:
    """`llmitm serve` with the user's configuration, on a free port."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        environment = {**os.environ, "LLMITM_LOG": "info"}
        environment.pop("PORT", None)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llmitm", "serve", "--config", str(self._file)),
            *("--host", "127.0.0.1", "--port", "0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        assert self._process.stdout is not None
        said = ""
        while line := (await self._process.stdout.readline()).decode("utf-8", "replace"):
            said += line
            if "listening on " in line:
                self._reader = asyncio.create_task(self._swallow())
                return line.split("listening on ")[1].split(",")[0].strip()
        raise ConfigError(str(self._file), [_did_not_start(said)])

    async def _swallow(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while await self._process.stdout.readline():
            pass

    async def __aexit__(self, *failure: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        if self._reader is not None:
            await self._reader


def _did_not_start(said: str) -> Any:
    from llmitm.errors import Problem

    return Problem("", f"the gateway did not start: {said.strip()}")


__all__ = ["Seen", "run"]
