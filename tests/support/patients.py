"""Gateways to be examined, in a world that is handed to them: names, answers, packages, a clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmitm.clock import Clock
from llmitm.config.load import load
from llmitm.doctor.finding import Finding, Level, Notes
from llmitm.doctor.patient import Packages, Patient, Running
from llmitm.errors import ConfigError, UpstreamFailed
from llmitm.exchange import Attempt, ResponseHead, UpstreamReply, UpstreamRequest
from llmitm.secret import Redactor
from support.clocks import HandClock

type Check = Callable[[Patient, Notes], Awaitable[None]]


class Reply:
    """An `UpstreamReply` that is here whole."""

    def __init__(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.head = ResponseHead(status=status, headers=tuple(headers), whole=body)

    async def read(self) -> bytes | None:
        return b""

    async def close(self) -> None:
        pass


type Answer = tuple[int, bytes] | UpstreamFailed


@dataclass
class Answers:
    """A `Sender` that answers by method and URL; who is not listed is answered 200."""

    known: Mapping[str, Answer] = field(default_factory=dict)
    """By `METHOD URL`."""
    date: str | None = None
    asked: list[tuple[Attempt, UpstreamRequest]] = field(default_factory=list)

    async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
        self.asked.append((attempt, request))
        answer = self.known.get(f"{request.method} {request.url}", (200, b"{}"))
        if isinstance(answer, UpstreamFailed):
            raise answer
        headers = [(b"date", self.date.encode())] if self.date else []
        return Reply(*answer, headers)

    async def close(self) -> None:
        pass

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.url}" for _, request in self.asked]


async def every_name(host: str) -> Sequence[str]:
    return ["192.0.2.1"]


def patient(folder: Path, text: str = "", **more: Any) -> Patient:
    """With this configuration, in a file. `more` are fields of a `Patient`."""
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    env: Mapping[str, str] = more.pop("env", {})
    try:
        config, problems = load(path, env=env), ()
    except ConfigError as error:
        config, problems = None, error.problems  # type: ignore[assignment]
    clock: Clock = HandClock()
    fields = {
        "config": config,
        "problems": problems,
        "path": path,
        "env": env,
        "clock": clock,
        "sender": Answers(),
        "resolve": every_name,
        "packages": Packages(version=lambda _: None, required=[]),
    }
    return Patient(**{**fields, **more})


async def findings(check: Check, examined: Patient) -> list[Finding]:
    redact = Redactor()
    if examined.config is not None:
        redact.learn(*examined.config.secrets())
    notes = Notes("check", redact=redact)
    await check(examined, notes)
    return notes.found


def of_level(found: Sequence[Finding], level: Level) -> list[str]:
    """Their texts."""
    return [one.text for one in found if one.level is level]


__all__ = ["Answers", "Running", "findings", "of_level", "patient"]
