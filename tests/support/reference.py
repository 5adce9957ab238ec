"""Makes docs/configuration.md: every key of the configuration, what it takes, its default and its meaning.

What keys there are, what they take and their defaults come from the schema; what they mean, from `meanings`;
which of them are not used yet, from config.toml.example.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from llmitm.config.schema import Config
from llmitm.config.table import Table
from llmitm.secret import Secret
from llmitm.translate.target import Model
from support.meanings import CAPABILITIES, MEANINGS

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "configuration.md"
NOT_KEYS: Final = frozenset({"source", "warnings"})
"""Fields of the whole configuration that no file has."""

_INTRODUCTION: Final = """\
<!-- made by `just reference`; do not edit -->

# Every key of the configuration

A TOML file: `--config`, else `CONFIG_PATH`, else `config.toml`. [config.toml.example](../config.toml.example)
shows the same keys as they are written. `llmitm config check` tells every problem at once; unknown keys are
errors.

- Where *secret* stands, `"env:NAME"` (an environment variable, or a line of `.env` beside the file) and
  `"file:PATH"` do, too, and stay so when the file is written anew.
- Globs are `*`, `?` and `[abc]`. Relative paths begin at the file's folder. Hyphens in keys are read as
  underscores.
- Names end in their unit: `_s` seconds, `_ms` milliseconds, `_mb` MiB, `_usd` US dollars.
- A running gateway takes a change of the file by itself, whole or not at all. Host and port of `[server]`,
  TLS on or off, and where `[state]`, `[ledger]` and `[dashboard]` are wait for a restart.

| variable | what it does |
|---|---|
| `CONFIG_PATH` | names the file |
| `PORT` | goes before `[server] port` |
| `LLMITM_LOG` | goes before `[log] level` |
| `DASHBOARD_JWT_SECRET` | stands in for `[dashboard] jwt_secret` |
| `OTEL_*` | stand in for what `[telemetry]` leaves out |
| `ACCOUNT_ID`, `GATEWAY_ID`, `CF_AIG_TOKEN`, `HOST_PORT` | one Cloudflare gateway, where there is no file |
"""

_UNITS: Final = (("_secs", "s"), ("_ms", "ms"), ("_s", "s"), ("_mb", "MiB"), ("_days", "days"))
_PLAIN: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "text",
    int: "whole number",
    float: "number",
    Decimal: "number",
    Path: "path",
    Secret: "secret",
    datetime: "date or time",
    Any: "any value",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the file, and how it is written, as a whole, wherever it may stand."""

    paths: list[str]
    table: type[Table]
    inside: type[Table] | None
    """The table it stands in."""

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """Its own keys, then those of its bases, without what the table around it has from the same base."""
        shared = self.shared
        every = {
            name: field
            for base in self.table.__mro__
            if issubclass(base, Table)
            for name, field in self.table.model_fields.items()
            if name in base.__annotations__
        }
        return {
            name: field
            for name, field in every.items()
            if name not in NOT_KEYS and not any(name in base.model_fields for base in shared)
        }

    @property
    def shared(self) -> list[type[Table]]:
        if self.inside is None or self.table in self.inside.__mro__:
            return []
        around = self.inside
        return [
            base
            for base in self.table.__mro__[1:]
            if base in around.__mro__ and issubclass(base, Table) and base is not Table
        ]


def meaning(table: type[Table], key: str) -> str:
    """Raises LookupError where there is none."""
    for base in table.__mro__:
        if isinstance(base, type) and issubclass(base, Table) and key in MEANINGS.get(base, {}):
            return MEANINGS[base][key]
    raise LookupError(f"support/meanings.py says nothing of {table.__name__}.{key}")


def sections() -> list[Section]:
    """Each table once, the outer before what stands in it."""
    found = {Config: Section([], Config, None)}
    _inside("", found[Config], found)
    return list(found.values())


def _inside(path: str, section: Section, found: dict[Any, Section]) -> None:
    for name, field in section.fields.items():
        for kind, form in _tables(field.annotation, "{}"):
            place = form.format(f"{path}.{name}" if path else name)
            if kind in found:
                found[kind].paths.append(place)
                continue
            found[kind] = Section([place], kind, section.table)
            _inside(place.strip("[]"), found[kind], found)


def _tables(kind: Any, form: str) -> Iterator[tuple[type[Table], str]]:
    kind = _bare(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Table):
        yield kind, form if form.startswith("[") else f"[{form}]"
    elif origin is tuple:
        yield from _tables(inner[0], f"[[{form}]]")
    elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _tables(inner[1], form.replace("{}", "{}.NAME"))
    elif origin in (Union, types.UnionType):
        for one in inner:
            yield from _tables(one, form)


def _bare(kind: Any) -> Any:
    while isinstance(kind, TypeAliasType):
        kind = kind.__value__
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _metadata(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is not Annotated:
        return ()
    found: list[Any] = []
    for one in get_args(kind)[1:]:
        found += one.metadata if isinstance(one, FieldInfo) else [one]
    return tuple(found)


def takes(kind: Any, metadata: tuple[Any, ...] = ()) -> str:
    """What may stand there, in words."""
    metadata = (*metadata, *_metadata(kind))
    kind = _bare(kind)
    if kind in _PLAIN:
        return _PLAIN[kind] + _bounds(metadata)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (Union, types.UnionType):
        return ", or ".join(takes(one, metadata) for one in inner if one is not type(None))
    if origin is tuple:
        word = takes(inner[0])
        return "list of tables" if word == "table" else f"list: {word}"
    if isinstance(kind, type) and issubclass(kind, Table):
        return "table"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        word = takes(inner[1])
        return "tables by name" if word == "table" else f"table: name to {word}"
    raise TypeError(f"there are no words for {kind}")


def _bounds(metadata: tuple[Any, ...]) -> str:
    least: str | None = None
    most: str | None = None
    for one in metadata:
        match one:
            case Ge():
                least = f"from {one.ge}"
            case Gt():
                least = f"above {one.gt}"
            case Le() if isinstance(one.le, int) and one.le < 10**9:
                most = f"to {one.le:,}"
    return "".join(f" {word}" for word in (least, most) if word)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    match field.default:
        case bool() as one:
            return f"`{str(one).lower()}`"
        case None | () | Table():
            return ""
        case Mapping() as one if not one:
            return ""
        case Secret() as one:
            return f'`"{one.reveal()}"`'
        case str() as one:
            return f'`"{one}"`'
        case int() | float() as one:
            return f"`{one:g}`" if isinstance(one, float) else f"`{one}`"
        case _:
            return ""


def _unused(example: str) -> set[str]:
    """Keys that the example says are for later."""
    return set(re.findall(r"^#? ?(\w+) = .*# \[later\]", example, re.MULTILINE))


def page(example: str) -> str:
    """The whole page. `example` is the text of config.toml.example."""
    unused = _unused(example)
    told = [_INTRODUCTION]
    for section in sections():
        heading = ", ".join(f"`{path}`" for path in section.paths)
        told.append(f"## {heading or 'Before the first table'}")
        told.append("")
        if section.shared:
            told += [f"Every key of the table that it stands in, over that one's, and {_own(section)}", ""]
        told += ["| key | takes | default | |", "|---|---|---|---|"]
        for key, field in section.fields.items():
            if section.table is Config and key not in MEANINGS[Config] and _has_a_section(key, field):
                continue
            words = takes(field.annotation, tuple(field.metadata))
            unit = next((f", {unit}" for end, unit in _UNITS if key.endswith(end) and "number" in words), "")
            text = meaning(section.table, key) + (" **Not used yet.**" if key in unused else "")
            told.append(_row(f"`{key}`", words + unit, default(field), text))
        told.append("")
    return "\n".join([*told, *_capabilities()])


def _has_a_section(key: str, field: FieldInfo) -> bool:
    return key == "model_capabilities" or any(_tables(field.annotation, "{}"))


def _own(section: Section) -> str:
    return "these:" if len(section.fields) > 1 else "this:"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _capabilities() -> list[str]:
    told = [
        '## `[model_capabilities."GLOB"]`',
        "",
        "What translation may count on, over what is known of the models that the glob matches.",
        "",
        "| cell | takes | where nothing is known | |",
        "|---|---|---|---|",
    ]
    kinds = get_type_hints(Model)
    for cell in dataclasses.fields(Model):
        if cell.name != "family":
            shown = {True: "`true`", False: "`false`", None: "", (): ""}.get(
                cell.default, f"`{cell.default}`"
            )
            told.append(_row(f"`{cell.name}`", takes(kinds[cell.name]), shown, CAPABILITIES[cell.name]))
    return [*told, ""]


def main() -> None:
    PAGE.write_text(page((ROOT / "config.toml.example").read_text("utf-8")), "utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {inspect.cleandoc(PAGE.read_text('utf-8')).count('| `')} rows")


if __name__ == "__main__":
    main()
