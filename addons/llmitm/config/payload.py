"""What is set, overwritten and taken out of requests, as the operator says it: `[payload]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from llmitm.config.formats import FORMATS
from llmitm.config.table import Table
from llmitm.config.values import wrong
from llmitm.secret import Secret
from llmitm.shape import paths, values
from llmitm.shape.payload import Match, Rule, Rules, When
from llmitm.shape.splice import Edit, Kind

if TYPE_CHECKING:
    from llmitm.config.schema import Config

_OURS: Final = {
    "model": "what is asked is decided by routing: use [routing] aliases, or models = [{id, alias}] of a "
    "provider",
    "stream": "the client waits for the answer in the form that it asked for; clients decide this",
}


def _path(text: str) -> str:
    try:
        first = paths.parse(text).segments[0]
    except ValueError as error:
        raise wrong(str(error)) from None
    if first is paths.EVERY:
        raise wrong("a path does not begin with *: it would lead to model and stream too")
    if isinstance(first, paths.Name) and first.text in _OURS:
        raise wrong(f"{first.text} is not for rules: {_OURS[first.text]}")
    return text


def _value(value: Any) -> Any:
    if isinstance(value, Secret):
        raise wrong("references to secrets are not looked up here")
    try:
        values.text_of(value)
    except ValueError as error:
        raise wrong(str(error)) from None
    return value


def _json(text: str) -> str:
    try:
        values.checked_text(text)
    except ValueError as error:
        raise wrong(str(error)) from None
    return text


def _protocol(value: str) -> str:
    if value.lower() not in FORMATS:
        raise wrong(f"one of {', '.join(FORMATS)} is expected")
    return value.lower()


def _matches(value: Any) -> Any:
    if isinstance(value, list):
        return [{"name": one} if isinstance(one, str) else one for one in value]
    return value


def _some[T](value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise wrong("at least one is expected")
    return value


Glob = Annotated[str, Field(min_length=1)]
ParamPath = Annotated[str, AfterValidator(_path)]


class PayloadMatch(Table):
    """Globs, all of which must match."""

    name: Glob = "*"
    """Of the model, as the provider spells it."""
    asked: Glob | None = None
    """Of the model, as the client named it."""
    protocol: Annotated[str, AfterValidator(_protocol)] | None = None
    provider: Glob | None = None
    endpoint: Glob | None = None
    path: Glob | None = None
    """Of the call, without its version; None: calls that ask a model for an answer."""
    headers: Mapping[Glob, Glob] = {}

    def match(self) -> Match:
        return Match(
            name=None if self.name == "*" else self.name,
            asked=self.asked,
            dialect=FORMATS[self.protocol] if self.protocol is not None else None,
            provider=self.provider,
            endpoint=self.endpoint,
            path=self.path,
            headers=tuple(self.headers.items()),
        )


class _Selecting(Table):
    models: Annotated[tuple[PayloadMatch, ...], AfterValidator(_some), BeforeValidator(_matches)] = (
        PayloadMatch(),
    )
    """One of them must match."""
    when: When = "after"
    """Translation: in the client's dialect before it, in the provider's after it."""


class PayloadRule(_Selecting):
    params: Mapping[ParamPath, Annotated[Any, BeforeValidator(_value)]] = {}
    params_json: Mapping[ParamPath, Annotated[str, AfterValidator(_json)]] = {}
    """Values as JSON text, for what TOML cannot say."""

    @model_validator(mode="after")
    def _names_a_field(self) -> PayloadRule:
        if not self.params and not self.params_json:
            raise wrong('names no field: params = {"path.to.field" = value} is expected')
        return self

    def rule(self, kind: Literal["default", "override"], at: int) -> Rule:
        texts = {path: values.text_of(value) for path, value in self.params.items()}
        texts |= {path: values.checked_text(text) for path, text in self.params_json.items()}
        place = _place(kind, at)
        edits = tuple(Edit(kind, paths.parse(path), text, place) for path, text in texts.items())
        return _rule(self, place, edits)


class PayloadFilter(_Selecting):
    params: Annotated[tuple[ParamPath, ...], AfterValidator(_some)]

    def rule(self, at: int) -> Rule:
        place = _place("filter", at)
        edits = tuple(Edit("filter", paths.parse(path), place=place) for path in self.params)
        return _rule(self, place, edits)


def _place(kind: Kind, at: int) -> str:
    return f"payload.{kind}[{at}]"


def _rule(table: _Selecting, place: str, edits: tuple[Edit, ...]) -> Rule:
    return Rule(place, table.when, tuple(one.match() for one in table.models), edits)


class Payload(Table):
    default: tuple[PayloadRule, ...] = ()
    override: tuple[PayloadRule, ...] = ()
    filter: tuple[PayloadFilter, ...] = ()

    @cached_property
    def rules(self) -> Rules | None:
        """Made once for a configuration; None where there are none."""
        found = (
            *(one.rule("default", at) for at, one in enumerate(self.default)),
            *(one.rule("override", at) for at, one in enumerate(self.override)),
            *(one.rule(at) for at, one in enumerate(self.filter)),
        )
        return Rules(found) if found else None


def doubts(config: Config) -> Iterator[str]:
    """What the operator should know of rules although it is possible."""
    payload = config.payload
    placed: list[tuple[str, _Selecting]] = [
        *((_place("default", at), one) for at, one in enumerate(payload.default)),
        *((_place("override", at), one) for at, one in enumerate(payload.override)),
        *((_place("filter", at), one) for at, one in enumerate(payload.filter)),
    ]
    for place, rule in placed:
        yield from _aimed_at_nobody(place, rule, config)
    for at, default in enumerate(payload.default):
        for path in (*default.params, *default.params_json):
            if paths.parse(path).segments[-1] is paths.EVERY:
                yield f"{_place('default', at)}.{path} sets nothing: what * stands for is there already"


def _aimed_at_nobody(place: str, rule: _Selecting, config: Config) -> Iterator[str]:
    # through Cloudflare providers are reached that have no table
    there = {
        "endpoint": list(config.endpoints),
        "provider": [] if config.gateways else list(config.providers),
    }
    for at, match in enumerate(rule.models):
        for what, glob in (("endpoint", match.endpoint), ("provider", match.provider)):
            names = there[what]
            if glob is not None and names and not any(fnmatchcase(name, glob) for name in names):
                yield f"{place}.models[{at}].{what} = {glob!r} names none; there are: {', '.join(names)}"
