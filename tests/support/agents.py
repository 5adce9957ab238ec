"""Coding agents as clients: each writes a file and reads it again, through a running gateway.

As a program it prints what came of each agent that is installed, over each upstream: `just agents`. The
models are the embedded provider's, which a script in the prompt tells what to call of the agent's own tools.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from llmitm.demo.answers import SEAL
from llmitm.demo.provider import Provider
from llmitm.demo.received import Received
from llmitm.translate.fit.seals import SKIP_SIGNATURE
from support.gateway import Gateway

TEXT: Final = "written by an agent"
DONE: Final = "The agent is done."
KEY: Final = "sk-proxy-your-key"
TIMEOUT_S: Final = 120.0

_SEALED: Final = ("signature", "encrypted_content", "thoughtSignature")

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One provider; `model` is what it is asked for."""

    table: str
    model: str

    def config(self, url: str, asked: str) -> str:
        """`asked`: the model's name that the agent asks for."""
        provider = self.table.format(url=url)
        alias = f'[routing.aliases]\n"{asked}" = "{self.model}"\n' if asked != self.model else ""
        return alias + (
            f'[server]\nport = 0\n[log]\nformat = "json"\n'
            f'[[auth_keys]]\nname = "agent"\nkey = "{KEY}"\n'
            f'[providers.{provider}\napi_keys = ["sk-demo"]\n'
        )


UPSTREAMS: Final[Mapping[str, Upstream]] = {
    "anthropic": Upstream(table='anthropic]\nbase_url = "{url}"', model="claude-sonnet-4-6"),
    "responses": Upstream(table='openai]\nbase_url = "{url}/v1"\nwire_api = "responses"', model="gpt-5.1"),
    "chat": Upstream(table='openai]\nbase_url = "{url}/v1"', model="gpt-4.1"),
    "gemini": Upstream(table='gemini]\nbase_url = "{url}"', model="gemini-3-pro-preview"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What an agent is told: where the gateway is, what model to ask for, and the folder it works in."""

    url: str
    model: str
    home: Path
    work: Path
    program: str

    @property
    def file(self) -> Path:
        return self.work / "note.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A coding agent."""

    name: str
    program: str
    native: str
    """The upstream that speaks its own dialect."""
    command: Callable[[Turn], Sequence[str]]
    """Its arguments, without the prompt, which comes last unless it is read from standard input."""
    script: Callable[[Turn], list[Any]]
    """What the provider does with the agent's tools: the file is written, and read."""
    env: Callable[[Turn], dict[str, str]] = lambda turn: {}
    files: Callable[[Turn], dict[str, str]] = lambda turn: {}
    """Files below its home, by name."""
    reads_prompt: bool = False
    """From standard input."""
    model: str | None = None
    """That it asks for, whoever answers; None: the upstream's."""
    faults: Sequence[str | None] = ()
    """What the provider does wrong, one a request."""


def _calls(write: Json, read: Json) -> list[Any]:
    """Two of the calls are made at once."""
    return [write, [read, read], {"say": DONE}]


def _claude(turn: Turn) -> list[Any]:
    path = str(turn.file)
    return _calls(
        {"call": "Write", "arguments": {"file_path": path, "content": TEXT}},
        {"call": "Read", "arguments": {"file_path": path}},
    )


def _codex(turn: Turn) -> list[Any]:
    return _calls(
        {"call": "exec_command", "arguments": {"cmd": f"echo {TEXT} > note.txt"}},
        {"call": "exec_command", "arguments": {"cmd": "cat note.txt"}},
    )


def _codex_in_code(turn: Turn) -> list[Any]:
    """To models that it knows it offers one tool, which runs a script that calls the others."""
    write, read = (
        {
            "call": "functions__exec",
            "arguments": f"text(await tools.exec_command({json.dumps({'cmd': cmd})}))",
        }
        for cmd in (f"echo {TEXT} > note.txt", "cat note.txt")
    )
    return _calls(write, read)


def _codex_config(turn: Turn) -> str:
    return f"""\
model = "{turn.model}"
model_provider = "llmitm"
[model_providers.llmitm]
name = "llmitm"
base_url = "{turn.url}/v1"
env_key = "LLMITM_KEY"
wire_api = "responses"
"""


def _gemini(turn: Turn) -> list[Any]:
    path = str(turn.file)
    return _calls(
        {"call": "write_file", "arguments": {"file_path": path, "content": TEXT}},
        {"call": "read_file", "arguments": {"file_path": path}},
    )


_GEMINI_SETTINGS: Final = json.dumps(
    {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
    }
)


def _opencode(turn: Turn) -> list[Any]:
    return _calls(
        {"call": "bash", "arguments": {"command": f"echo {TEXT} > note.txt", "description": "Writes it"}},
        {"call": "read", "arguments": {"filePath": str(turn.file)}},
    )


def _opencode_in_trouble(turn: Turn) -> list[Any]:
    """Eight turns; what is done twice does no harm, since some are asked for again."""
    look = {"call": "read", "arguments": {"filePath": str(turn.file)}}
    write, *_ = _opencode(turn)
    return [write, *[look] * 6, {"say": DONE}]


def _opencode_config(turn: Turn, package: str, path: str) -> dict[str, str]:
    provider = {
        "npm": f"@ai-sdk/{package}",
        "name": "llmitm",
        "options": {"baseURL": turn.url + path, "apiKey": KEY},
        "models": {turn.model: {}},
    }
    return {".config/opencode/opencode.json": json.dumps({"provider": {"llmitm": provider}})}


def _opencode_with(
    name: str,
    native: str,
    package: str,
    path: str = "/v1",
    *,
    script: Callable[[Turn], list[Any]] = _opencode,
    faults: Sequence[str | None] = (),
) -> Agent:
    return Agent(
        name=name,
        program="opencode",
        native=native,
        command=lambda turn: ["run", "-m", f"llmitm/{turn.model}", "--auto"],
        script=script,
        faults=faults,
        files=lambda turn: _opencode_config(turn, package, path),
        reads_prompt=True,  # it puts quotes about arguments
    )


def _aider(turn: Turn) -> list[Any]:
    block = f"note.txt\n```\n<<<<<<< SEARCH\n=======\n{TEXT}\n>>>>>>> REPLACE\n```\n"
    return [{"say": f"{block}\n{DONE}"}]


def _codex_with(name: str, script: Callable[[Turn], list[Any]], model: str | None = None) -> Agent:
    return Agent(
        name=name,
        program="codex",
        native="responses",
        command=lambda turn: ["exec", "--skip-git-repo-check", "-s", "danger-full-access"],
        script=script,
        env=lambda turn: {"LLMITM_KEY": KEY},
        files=lambda turn: {".codex/config.toml": _codex_config(turn)},
        model=model,
    )


def _aider_with(name: str, native: str, prefix: str, env: str, path: str, model: str | None = None) -> Agent:
    return Agent(
        name=name,
        program="aider",
        native=native,
        command=lambda turn: [
            *("--model", f"{prefix}/{turn.model}", "--no-git", "--yes-always", "--edit-format", "diff"),
            *("--no-show-release-notes", "--no-show-model-warnings", "--no-check-update", "--no-analytics"),
            *("note.txt", "--message"),
        ],
        script=_aider,
        env=lambda turn: {f"{env}_API_BASE": turn.url + path, f"{env}_API_KEY": KEY},
        model=model,
    )


AGENTS: Final[Mapping[str, Agent]] = {
    one.name: one
    for one in (
        Agent(
            name="claude-code",
            program="claude",
            native="anthropic",
            command=lambda turn: ["--allowedTools", "Write,Read", "-p"],
            script=_claude,
            env=lambda turn: {
                "ANTHROPIC_BASE_URL": turn.url,
                "ANTHROPIC_AUTH_TOKEN": KEY,
                "ANTHROPIC_MODEL": turn.model,
                "ANTHROPIC_SMALL_FAST_MODEL": turn.model,
            },
        ),
        _codex_with("codex", _codex),
        _codex_with("codex-in-code", _codex_in_code, model="gpt-6.1-sol"),
        Agent(
            name="gemini-cli",
            program="gemini",
            native="gemini",
            command=lambda turn: ["--skip-trust", "--yolo", "-m", turn.model, "-p"],
            script=_gemini,
            env=lambda turn: {"GOOGLE_GEMINI_BASE_URL": turn.url, "GEMINI_API_KEY": KEY},
            files=lambda turn: {".gemini/settings.json": _GEMINI_SETTINGS},
        ),
        _aider_with("aider", "chat", "openai", "OPENAI", "/v1"),
        # LiteLLM takes what it knows as OpenAI's models to OpenAI, whatever prefix it is given
        _aider_with("aider-anthropic", "anthropic", "anthropic", "ANTHROPIC", "", "claude-sonnet-4-6"),
        _opencode_with("opencode", "chat", "openai-compatible"),
        _opencode_with("opencode-openai", "responses", "openai"),
        _opencode_with("opencode-anthropic", "anthropic", "anthropic"),
        _opencode_with("opencode-google", "gemini", "google", "/v1beta"),
        _opencode_with(
            *("opencode-in-trouble", "anthropic", "anthropic"),
            script=_opencode_in_trouble,
            faults=[*[None] * 2, "status:529", None, "status:429;retry-after=1", None, "truncate:3"],
        ),
    )
}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one agent over one upstream."""

    agent: str
    upstream: str
    wrong: list[str] = field(default_factory=list)
    lines: list[Json] = field(default_factory=list)
    """What the gateway logged of its requests."""
    warnings: dict[str, int] = field(default_factory=dict)
    """What was adjusted or lost in translation, and how often."""
    sent: list[Received] = field(default_factory=list)
    printed: str = ""
    seconds: float = 0.0

    @property
    def failures(self) -> Counter[str]:
        return Counter(
            f"{line.get('method')} {str(line.get('path')).partition('?')[0]} {line['status']}"
            for line in self.lines
            if line.get("status", 0) >= 400 or not line.get("status")
        )


async def turn(agent: Agent, name: str, program: str, folder: Path) -> Outcome:
    """One agent's turn over the upstream of this name, by a gateway of its own."""
    upstream = UPSTREAMS[name]
    home, work = folder / "home", folder / "work"
    for path in (home, work):
        path.mkdir(parents=True)
    outcome = Outcome(agent=agent.name, upstream=name)
    async with Provider() as provider:
        provider.script(agent.faults)
        model = agent.model or upstream.model
        gateway = Gateway(upstream.config(provider.url, model), folder, host="serve")
        try:
            await asyncio.to_thread(gateway.start, 60.0)  # machines that try agents are busy
            told = Turn(url=gateway.url, model=model, home=home, work=work, program=program)
            began_s = asyncio.get_running_loop().time()
            prompt = f"Write a note and read it. demo-script: {json.dumps(agent.script(told))}"
            await _run(agent, told, prompt, outcome)
            outcome.seconds = asyncio.get_running_loop().time() - began_s
            outcome.warnings = await asyncio.to_thread(_warnings, gateway.url)
        finally:
            await asyncio.to_thread(gateway.stop)
        outcome.lines = list(_requests(gateway.output().splitlines()))
        outcome.sent = list(provider.requests)
    _judge(outcome, told, prompt)
    return outcome


async def _run(agent: Agent, told: Turn, prompt: str, outcome: Outcome) -> None:
    for name, text in agent.files(told).items():
        path = told.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        told.program,
        *agent.command(told),
        *(() if agent.reads_prompt else (prompt,)),
        cwd=told.work,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(told.home),
            "TMPDIR": str(told.home),
            "LANG": "C.UTF-8",
            **agent.env(told),
        },
        stdin=asyncio.subprocess.PIPE if agent.reads_prompt else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate(prompt.encode() if agent.reads_prompt else None)
        outcome.printed = output.decode("utf-8", "replace")
        if process.returncode:
            outcome.wrong.append(f"exit status {process.returncode}")
    except TimeoutError:
        outcome.wrong.append(f"not done after {TIMEOUT_S:.0f} s")
    finally:
        if process.returncode is None:  # many are a script that starts the program itself
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _requests(lines: Iterable[str]) -> Iterable[Json]:
    for line in lines:
        if line.startswith("{"):
            entry = orjson.loads(line)
            if entry.get("event") == "request":
                yield entry


def _warnings(url: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in httpx.get(f"{url}/metrics", trust_env=False, timeout=30.0).text.splitlines():
        if line.startswith("llmitm_translation_warnings_total{"):
            what = line.partition('warning="')[2].partition('"')[0]
            found[what] = found.get(what, 0) + int(float(line.rpartition(" ")[2]))
    return found


def _judge(outcome: Outcome, told: Turn, prompt: str) -> None:
    written = told.file.read_text().strip() if told.file.exists() else None
    if written != TEXT:
        outcome.wrong.append(f"the file holds {written!r}")
    if DONE not in outcome.printed.replace(prompt, ""):
        outcome.wrong.append("its last words are not printed")
    foreign = sum(1 for one in outcome.sent for seal in _seals(_json(one.body)) if not _is_ours(seal))
    if foreign:
        outcome.wrong.append(f"{foreign} seals that the provider did not make")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _seals(value: Any) -> Iterable[str]:
    """Signatures and encrypted reasoning, wherever they stand."""
    if isinstance(value, list):
        for one in value:
            yield from _seals(one)
    elif isinstance(value, dict):
        yield from (value[name] for name in _SEALED if isinstance(value.get(name), str))
        for one in value.values():
            yield from _seals(one)


def _is_ours(seal: str) -> bool:
    if seal == SKIP_SIGNATURE:  # stands where there is none
        return True
    try:
        return base64.b64decode(seal).decode().startswith(SEAL)
    except ValueError:
        return False


def installed(agent: Agent, folders: Sequence[Path]) -> str | None:
    """Where its program is: in one of the folders, or on the path."""
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    return shutil.which(agent.program, path=path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="just agents", description="Coding agents through the gateway.")
    parser.add_argument("--agent", action="append", choices=list(AGENTS))
    parser.add_argument("--upstream", action="append", choices=list(UPSTREAMS))
    parser.add_argument("--path", action="append", type=Path, default=[], help="folders of their programs")
    parser.add_argument("--keep", type=Path, help="a folder for what was sent and printed")
    options = parser.parse_args()
    wrong = 0
    for name in options.agent or AGENTS:
        agent = AGENTS[name]
        program = installed(agent, options.path)
        if program is None:
            print(f"{name:12} is not installed ({agent.program}): skipped")
            continue
        for upstream in options.upstream or UPSTREAMS:
            with tempfile.TemporaryDirectory(prefix="llmitm-agents-") as folder:
                outcome = asyncio.run(turn(agent, upstream, program, Path(folder)))
            wrong += bool(outcome.wrong)
            _print(outcome, is_native=upstream == agent.native)
            if options.keep:
                _keep(outcome, options.keep / f"{name}-{upstream}")
    return 1 if wrong else 0


def _print(outcome: Outcome, *, is_native: bool) -> None:
    said = "; ".join(outcome.wrong) or "ok"
    way = "native" if is_native else "translated"
    print(f"{outcome.agent:12} {outcome.upstream:10} {way:10} {outcome.seconds:5.1f} s  {said}", flush=True)
    for what, counted in (("warned", outcome.warnings), ("failed", outcome.failures)):
        if counted:
            print(f"{'':12} {what}: " + ", ".join(f"{one} x{n}" for one, n in counted.items()), flush=True)


def _keep(outcome: Outcome, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "printed.txt").write_text(outcome.printed)
    (folder / "log.json").write_bytes(orjson.dumps(outcome.lines, option=orjson.OPT_INDENT_2))
    for number, one in enumerate(outcome.sent):
        head = {key.decode("latin-1"): value.decode("latin-1") for key, value in one.headers}
        told = {"request": f"{one.method} {one.target}", "headers": head, "body": _json(one.body)}
        (folder / f"{number:02}.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    sys.exit(main())
