"""`llmitm route explain`: printing only."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from llmitm.clock import SystemClock
from llmitm.config.auth_keys import AuthKey
from llmitm.config.load import load
from llmitm.config.path import find
from llmitm.config.schema import Config
from llmitm.errors import ConfigError
from llmitm.exchange import Dialect
from llmitm.route.explain import Explained, Stage, Told, explain, told
from llmitm.route.health import Health
from llmitm.shape.payload import Call
from llmitm.shape.splice import Edit
from llmitm.state import open_store

_MOST_SHOWN: Final = 60
"""Characters of a value."""


def run(path: Path | None, model: str, endpoint: str | None, key: str | None) -> int:
    """Returns the exit status: 0 where somebody would be asked, 1 where nobody would, 2 for a wrong
    configuration or argument."""
    try:
        config = load(find(path, os.environ), env=os.environ)
    except ConfigError as error:
        return _wrong(str(error))
    name = endpoint or config.default_endpoint
    if name is None or name not in config.endpoints:
        there = ", ".join(config.endpoints) or "none"
        return _wrong(f"there is no endpoint {name or 'by default'}; there are: {there}")
    if config.endpoints[name].kind == "forward" and config.endpoints[name].provider is None:
        return _wrong(
            f"/{name} passes all on as it is, to {config.target_of(name)}: nothing is chosen, no rule applies"
        )
    keys = {one.name: one for one in config.auth_keys or ()}
    if key is not None and key not in keys:
        return _wrong(f"there is no key {key}; there are: {', '.join(keys) or 'none'}")
    made = asyncio.run(_explained(config, model, name, keys.get(key or "")))
    _print(made, model, key, config)
    return 0 if any(stage.able for stage in made.stages) else 1


def _wrong(message: str) -> int:
    print(f"llmitm: {message}", file=sys.stderr)
    return 2


async def _explained(config: Config, model: str, endpoint: str, key: AuthKey | None) -> Explained:
    clock = SystemClock()
    store = open_store(config.state.url, clock)
    try:
        return await explain(model, endpoint, key, config, Health(config, clock, store), store)
    finally:
        await store.close()


def _print(made: Explained, model: str, key: str | None, config: Config) -> None:
    console = Console(highlight=False, soft_wrap=True)
    who = f" with the key {key}" if key else ""
    console.print(f"[bold]{escape(model)}[/] on /{made.endpoint}{who}, strategy {made.strategy}")
    if made.problem:
        console.print(f"  [red]nothing is sent: {escape(made.problem)}[/]")
    for number, stage in enumerate(made.stages, 1):
        console.print(f"\n{number}. {escape(stage.model)}")
        _print_stage(console, stage, partial(_rules, made.endpoint, model, config))


def _print_stage(console: Console, stage: Stage, rules: Callable[[Told], list[str]]) -> None:
    if stage.refused:
        console.print(f"   [red]{escape(stage.refused)}[/]")
    for at, choice in enumerate(stage.able, 1):
        name = escape(_name(choice.provider, choice.credential))
        what = told(choice, stage.model)
        spoken = "".join(f"  {escape(one)}" for one in _words(what))
        console.print(f"   {at}. [green]{name}[/]  as {escape(what.model)}{spoken}  weight {choice.weight}")
        for line in rules(what):
            console.print(f"        [dim]{escape(line)}[/]")
    for choice, rest in stage.resting:
        left = "until it is revived" if rest.left_s is None else f"for {rest.left_s:.0f} s"
        name = escape(_name(choice.provider, choice.credential))
        console.print(f"   -  [yellow]{name}[/]  rests {left}: {rest.why.name.lower()}")
    for passed in stage.passed:
        name = _name(passed.provider, passed.credential)
        console.print(f"   -  [dim]{escape(name)}  {escape(passed.why)}[/]")


def _words(told: Told) -> list[str]:
    if told.gateway is not None:
        words = [f"through {told.gateway.account_id}/{told.gateway.gateway_id}, form {told.gateway.form}"]
        return words if told.is_with_key else [*words, "with the client's own key"]
    if told.base is not None:
        return [", ".join(told.dialects), told.base]
    return ["in the client's dialect"]


def _rules(endpoint: str, asked: str, config: Config, told: Told) -> list[str]:
    """What the operator's rules change of a request that goes there, in order."""
    rules = config.payload.rules
    if rules is None:
        return []
    dialects = told.dialects or tuple(Dialect)
    call = Call(
        when="after",
        dialect=dialects[0],
        model=told.model.removeprefix("models/"),
        asked=asked,
        provider=told.provider,
        endpoint=endpoint,
        path="",
        is_answer=True,
    )
    lines: list[str] = []
    for rule, condition in rules.explained(call, {"before": tuple(Dialect), "after": dialects}):
        when = [condition] if condition else []
        when += ["before translation"] if rule.when == "before" else []
        behind = f"  ({', '.join(when)})" if when else ""
        lines += [f"{rule.place}  {_edit(edit)}{behind}" for edit in rule.edits]
    return lines


def _edit(edit: Edit) -> str:
    text = edit.text.decode()
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    match edit.kind:
        case "filter":
            return f"takes out {edit.path.text}"
        case "default":
            return f"{edit.path.text} = {shown} where there is none"
        case _:
            return f"{edit.path.text} = {shown}"


def _name(provider: str, credential: str | None) -> str:
    """Credentials without a name of their own begin with their provider's."""
    if credential is None or credential.startswith(f"{provider}-"):
        return credential or provider
    return f"{provider}/{credential}"
