"""Rules for the fields of requests, as ai-proxy and CLIProxyAPI write them alike: `payload`."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from llmitm.imports.found import Value
from llmitm.imports.plan import Payload, Rule
from llmitm.imports.table import Table
from llmitm.shape import paths, values

PROTOCOLS: Final = {
    "openai": "openai-chat",
    "openai-compat": "openai-chat",
    "openai-response": "openai-responses",
    "responses": "openai-responses",
    "codex": "openai-responses",
    "claude": "anthropic-messages",
    "gemini": "gemini",
}
_OURS: Final = {
    "model": "which model is asked is decided by routing: use [routing] aliases",
    "stream": "clients decide whether their answer is a stream",
}
_CONDITIONS: Final = ("match", "not-match", "exist", "not-exist", "from-protocol")


def read(table: Table) -> Payload:
    payload = Payload()
    for name, rules in (("default", payload.default), ("override", payload.override)):
        for one in table.tables(name):
            _add(rules, _values(one, is_json=False))
        for one in table.tables(f"{name}-raw"):
            _add(rules, _values(one, is_json=True))
    for one in table.tables("filter"):
        _add(payload.filter, _filter(one))
    table.done()
    return payload


def _add(rules: list[Rule], rule: Rule | None) -> None:
    if rule is not None:
        rules.append(rule)


def _values(table: Table, *, is_json: bool) -> Rule | None:
    models = _models(table)
    rule = Rule(source=table.path, models=models or [], params={})
    params = table.table("params")
    for name in params.values:
        value = params.take(name)
        place = _place(name, params)
        if place is None:
            continue
        if is_json:
            text = value if isinstance(value, str) else json.dumps(value)
            if not _is_json(text):
                params.found.wrong(params.at(name), "JSON is expected")
                continue
            rule.params_json[place] = text
        else:
            put(rule, place, value)
    table.done()
    return rule if models is not None and (rule.params or rule.params_json) else None


def put(rule: Rule, place: str, value: Value) -> None:
    """Has a rule set a field; what TOML cannot say stands there as JSON."""
    assert isinstance(rule.params, dict), "filters set nothing"
    if _is_toml(value):
        rule.params[place] = value
    else:
        rule.params_json[place] = json.dumps(value, ensure_ascii=False)


def _filter(table: Table) -> Rule | None:
    models = _models(table)
    places = [_place(name, table) for name in table.texts("params")]
    table.done()
    found = [one for one in places if one is not None]
    return Rule(source=table.path, models=models, params=found) if models is not None and found else None


def _models(table: Table) -> list[dict[str, Any]] | None:
    """What one of must match; None where it cannot be said, and the rule would reach further than it did."""
    tables = table.tables("models")
    made: list[dict[str, Any]] = []
    for one in tables:
        said: dict[str, Any] = {"name": one.text("name") or "*"}
        protocol = one.text("protocol")
        headers = {name: str(value) for name, value in one.table("headers").values.items()}
        conditions = [name for name in _CONDITIONS if one.has(name)]
        for name in conditions:
            one.take(name)
        one.done()
        if conditions:
            one.found.lost(one.path, f"rules cannot ask for {', '.join(conditions)}; it was left out")
            continue
        if protocol is not None and protocol.lower() not in PROTOCOLS:
            one.found.lost(one.path, "is for a protocol that does not exist here; it was left out")
            continue
        said |= {"protocol": PROTOCOLS[protocol.lower()]} if protocol else {}
        made.append(said | ({"headers": headers} if headers else {}))
    if tables and not made:
        table.found.lost(table.path, "was left out: nothing is left that it could be for")
        return None
    return [] if made == [{"name": "*"}] else made


def _place(name: str, table: Table) -> str | None:
    """A path as we write it; None where it cannot be said."""
    first = name.partition(".")[0]
    if first in _OURS:
        table.found.lost(table.at(name), _OURS[first])
        return None
    if re.search(r"#\(|[|@!{\[]", name):
        table.found.lost(table.at(name), "paths with queries or modifiers cannot be said")
        return None
    segments = ["*" if one == "#" else _escaped(one) for one in name.split(".")]
    place = ".".join(segments)
    try:
        if paths.parse(place).segments[0] is paths.EVERY:
            raise ValueError("a path does not begin with *")
    except ValueError as error:
        table.found.lost(table.at(name), str(error))
        return None
    return place


def _escaped(segment: str) -> str:
    return segment.replace("\\", "\\\\") if segment != "*" else "\\*"


def _is_toml(value: Value) -> bool:
    """Whether TOML can say it: it knows no null."""
    match value:
        case None:
            return False
        case dict():
            return all(_is_toml(one) for one in value.values())
        case list():
            return all(_is_toml(one) for one in value)
        case _:
            return True


def _is_json(text: str) -> bool:
    try:
        values.checked_text(text)
    except ValueError:
        return False
    return True
