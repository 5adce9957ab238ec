"""A plan as the text of a configuration, with comments that say where each part came from. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any, Final

import tomlkit
from tomlkit.items import Array, InlineTable

from llmitm.imports.found import Note
from llmitm.imports.plan import Account, AuthKey, Cloak, Endpoint, Gateway, Model, Plan, Rule
from llmitm.imports.references import written
from llmitm.secret import Secret

_WIDTH: Final = 108
_BEFORE: Final = ("server",)
_AFTER: Final = (
    "retry",
    "timeouts",
    "streaming",
    "rate_limit",
    "budget",
    "ledger",
    "state",
    "dashboard",
    "log",
)
_OF_A_KEY: Final = ("api_key", "name", "weight")
"""What an account says for itself alone."""
_NOT_WRITTEN: Final = ("source", "cloak")


def text_of(plan: Plan, notes: Sequence[Note], source: str, kind: str) -> str:
    """`source` and `kind` are named in the heading, with what was not taken over."""
    document = tomlkit.document()
    for line in _heading(notes, source, kind):
        document.add(tomlkit.comment(line))
    if plan.passthrough_headers:
        document.add(tomlkit.nl())
        document["passthrough_headers"] = _value(plan.passthrough_headers)
    body = tomlkit.dumps(document)
    parts = [
        *(_settings(plan, name) for name in _BEFORE),
        *(_endpoint(name, one) for name, one in plan.endpoints.items()),
        *(_gateway(one) for one in plan.gateways),
        *(part for name, one in plan.providers.items() for part in _provider(name, one.accounts)),
        *(_auth_key(one) for one in plan.auth_keys),
        _routing(plan),
        *(_settings(plan, name) for name in _AFTER),
        *(_section(("rate_limit", "models", name), limits) for name, limits in plan.model_limits.items()),
        *_payload(plan),
        *(_section(("model_prices", name), prices) for name, prices in plan.model_prices.items()),
    ]
    return "\n".join([body.rstrip() + "\n", *(part for part in parts if part)])


def _heading(notes: Sequence[Note], source: str, kind: str) -> list[str]:
    lines = [f"Made by `llmitm config import` from {source}, a configuration of {kind}."]
    for title, chosen in (("Not taken over:", "lost"), ("Different from what it was:", "changed")):
        told = [one for one in notes if one.kind == chosen]
        if told:
            lines += ["", title]
            for one in told:
                lines += textwrap.wrap(
                    str(one), _WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
                )
    return lines


def _section(
    path: Sequence[str], values: Mapping[str, Any], comment: str | None = None, *, is_array: bool = False
) -> str:
    """One table with its heading; nothing where it says nothing and is no member of an array."""
    said = {
        name: value for name, value in values.items() if value is not None and value != [] and value != {}
    }
    if not said and not is_array and comment is None:
        return ""
    table = tomlkit.table()
    for name, value in said.items():
        table.add(tomlkit.key(name), _value(value))
    heading = ".".join(tomlkit.key(name).as_string() for name in path)
    lines = [f"# {comment}"] if comment else []
    lines.append(f"[[{heading}]]" if is_array else f"[{heading}]")
    return "\n".join(lines) + "\n" + table.as_string()


def _value(value: Any) -> Any:
    match value:
        case Secret():
            return written(value)
        case PurePath():
            return str(value)
        case Model():
            return value.id if value.alias is None else _inline({"id": value.id, "alias": value.alias})
        case dict():
            return _inline(value)
        case list() | tuple():
            return _array([_value(one) for one in value])
        case _:
            return value


def _inline(values: Mapping[str, Any]) -> InlineTable:
    made = tomlkit.inline_table()
    for name, value in values.items():
        made.add(tomlkit.key(name), _value(value))
    return made


def _array(values: Iterable[Any]) -> Array:
    made = tomlkit.array()
    made.extend(values)
    if len(made.as_string()) > _WIDTH - 16:
        made.multiline(True)
    return made


def _said(one: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The fields of a part of the plan that are to be written."""
    names = [field.name for field in fields(one)] if names is None else names
    return {name: getattr(one, name) for name in names if name not in _NOT_WRITTEN}


def _settings(plan: Plan, name: str) -> str:
    return _section((name,), plan.settings.get(name, {}))


def _endpoint(name: str, one: Endpoint) -> str:
    return _section(("endpoints", name), _said(one), one.source)


def _gateway(one: Gateway) -> str:
    return _section(("gateways",), _said(one), one.source, is_array=True)


def _auth_key(one: AuthKey) -> str:
    return _section(("auth_keys",), _said(one), one.source, is_array=True)


def _provider(name: str, accounts: Sequence[Account]) -> list[str]:
    """What all accounts say alike is said once; keys that say nothing else are a list."""
    options = [field.name for field in fields(Account) if field.name not in (*_OF_A_KEY, "source")]
    shared = [
        option
        for option in options
        if all(getattr(one, option) == getattr(accounts[0], option) for one in accounts)
    ]
    own = [option for option in options if option not in shared]
    first = accounts[0]
    table = _said(first, shared)
    path = ("providers", name)
    where = ", ".join(dict.fromkeys(one.source for one in accounts))
    keyed = [one for one in accounts if one.api_key is not None]
    cloak = [_cloak(path, first.cloak)] if "cloak" in shared and first.cloak else []
    if not keyed:
        table["weight"] = first.weight
    if not own and all(one.name is None and one.weight in (None, 1) for one in keyed):
        return [_section(path, {"api_keys": [one.api_key for one in keyed], **table}, where), *cloak]
    made = [_section(path, table, where if len(keyed) < 2 else None) if any(table.values()) else "", *cloak]
    for one in keyed:
        said = _said(one, (*_OF_A_KEY, *own))
        made.append(_section((*path, "credentials"), said, one.source, is_array=True))
        if "cloak" in own and one.cloak:
            made.append(_cloak((*path, "credentials"), one.cloak))
    return made


def _cloak(path: Sequence[str], cloak: Cloak) -> str:
    return _section((*path, "cloak"), _said(cloak))


def _routing(plan: Plan) -> str:
    table: dict[str, Any] = dict(plan.settings.get("routing", {}))
    text = _section(("routing",), table)
    pools = {
        name: members[0][0] if len(members) == 1 else [_member(*one) for one in members]
        for name, members in plan.aliases.items()
    }
    named: dict[str, Mapping[str, Any]] = {
        "aliases": pools,
        "fallbacks": plan.fallbacks,
        "context_fallbacks": plan.context_fallbacks,
    }
    parts = [text, *(_section(("routing", name), values) for name, values in named.items())]
    return "\n".join(part for part in parts if part)


def _member(model: str, weight: int) -> dict[str, Any]:
    return {"model": model} if weight == 1 else {"model": model, "weight": weight}


def _payload(plan: Plan) -> list[str]:
    made = []
    for name in ("default", "override", "filter"):
        rules: list[Rule] = getattr(plan.payload, name)
        made += [_section(("payload", name), _said(one), one.source, is_array=True) for one in rules]
    return made
