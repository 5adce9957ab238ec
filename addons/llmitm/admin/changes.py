"""What the admin API changes in the configuration's document. Pure; names are those of the file.

A value of None takes a key out. Keys are found in either spelling, with underscores or hyphens. What is
written as a mark (a secret that was shown masked) stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from tomlkit.items import AoT, Array, Table

from llmitm.config.cut import cut
from llmitm.config.masked import is_in_place, restored
from llmitm.config.schema import Config
from llmitm.config.write import add_auth_key, below, put, take_out
from llmitm.errors import ConfigError, Problem, Refused

type Fields = Mapping[str, Any]


def spelled(table: Any, name: str) -> str | None:
    """How a key is written there; None: it is not."""
    return next((one for one in (name, name.replace("_", "-")) if one in table), None)


def item(value: Any) -> Any:
    """As it is written on one line."""
    match value:
        case dict():
            made = tomlkit.inline_table()
            for name, one in value.items():
                made[name] = item(one)
            return made
        case list() | tuple():
            array = tomlkit.array()
            for one in value:
                array.append(item(one))
            return array
        case _:
            return value


def assign(document: tomlkit.TOMLDocument, table: Any, fields: Fields) -> None:
    """Sets keys of a table, and takes out those whose value is None."""
    text = tomlkit.dumps(document)
    for name, value in fields.items():
        known = spelled(table, name)
        if known is not None and (value is None or isinstance(table[known], Table | AoT)):
            take_out(table, known)
        if value is not None:
            put(table, known or name, item(_settled(value, name, name, text)))


def _settled(value: Any, key: str, at: str, text: str) -> Any:
    match value:
        case str():
            try:
                if not is_in_place(value, key):
                    raise LookupError(value)  # it would be shown there
                return restored(value, text)
            except LookupError:
                what = "is masked, and what it stood for is not known here; write the value itself"
                raise ConfigError("the change", [Problem(at, what)]) from None
        case dict():
            inside = {name: key if key == "headers" else name for name in value}
            return {name: _settled(one, inside[name], f"{at}.{name}", text) for name, one in value.items()}
        case list() | tuple():
            return [_settled(one, key, at, text) for one in value]
        case _:
            return value


def edit_table(document: tomlkit.TOMLDocument, name: str, fields: Fields) -> None:
    """Changes keys of a table of the top level, such as `routing`; makes it where it is not there."""
    known = spelled(document, name)
    if known is None:
        made = tomlkit.table()
        assign(document, made, fields)
        if len(made):
            document.append(name, made)
        return
    assign(document, document[known], fields)


# -- providers


def add_provider(document: tomlkit.TOMLDocument, name: str, fields: Fields) -> None:
    """Raises Refused where there is one of that name."""
    providers = document.get("providers")
    if providers is not None and name in providers:
        raise Refused(409, "exists", f"There is a provider {name} already.")
    made = tomlkit.table()
    assign(document, made, fields)
    if providers is None:
        document.append("providers", tomlkit.table(is_super_table=True))
        providers = document["providers"]

    def add() -> Any:
        providers[name] = made
        return providers[name]

    below(providers, add)


def edit_provider(document: tomlkit.TOMLDocument, name: str, fields: Fields) -> None:
    """Raises LookupError."""
    assign(document, provider_table(document, name), fields)


def provider_table(document: tomlkit.TOMLDocument, name: str) -> Any:
    providers = document.get("providers")
    if providers is None or name not in providers:
        raise LookupError(f"there is no provider {name}")
    return providers[name]


def delete_provider(text: str, config: Config, name: str) -> str:
    """Raises LookupError; Refused where something names it."""
    if name not in config.providers:
        raise LookupError(f"there is no provider {name}")
    if places := list(_naming(config, name)):
        refused = Refused(
            409, "in_use", f"The provider {name} is still named by {', '.join(places)}: change these first."
        )
        raise refused
    return _cut(text, ("providers", name))


def _naming(config: Config, provider: str) -> Iterator[str]:
    """Places that name a provider, itself or before a model."""
    for name, endpoint in config.endpoints.items():
        if endpoint.provider == provider:
            yield f"endpoints.{name}.provider"
    prefix = f"{provider}/"
    for name, pool in config.routing.aliases.items():
        if any(one.model.startswith(prefix) for one in pool):
            yield f"routing.aliases.{name}"
    for table in ("fallbacks", "context_fallbacks"):
        for name, models in getattr(config.routing, table).items():
            if any(one.startswith(prefix) for one in models):
                yield f"routing.{table}.{name}"


def _cut(text: str, path: tuple[str, ...], at: int | None = None) -> str:
    try:
        return cut(text, path, at)
    except ValueError as error:
        raise ConfigError("the change", [Problem("", str(error))]) from None


# -- credentials


def add_credential(document: tomlkit.TOMLDocument, config: Config, provider: str, fields: Fields) -> None:
    """Raises LookupError; Refused where there is one of that name."""
    table = provider_table(document, provider)
    if any(one.name == fields.get("name") for one in config.providers[provider].credentials):
        raise Refused(409, "exists", f"The provider {provider} has a credential {fields['name']} already.")
    made = tomlkit.table()
    assign(document, made, {name: value for name, value in fields.items() if value is not None})
    _append(table, made)


def _append(table: Any, made: Any) -> None:
    known = spelled(table, "credentials")
    if known is not None and not isinstance(table[known], AoT):
        table[known].append(item(made.unwrap()))
        return

    def add() -> Any:
        if known is None:
            table["credentials"] = tomlkit.aot()
        rows = table[known or "credentials"]
        rows.append(made)
        return rows[-1]

    below(table if known is None else table[known], add)


def edit_credential(
    document: tomlkit.TOMLDocument, config: Config, provider: str, name: str, fields: Fields
) -> None:
    """One of `api_keys` becomes an entry of its own, since only those have options. Raises LookupError."""
    table = provider_table(document, provider)
    listed, at = _place(config, provider, name)
    if not listed:
        known = spelled(table, "credentials")
        assert known is not None, "it was read from there"
        assign(document, table[known][at], fields)
        return
    key = _out_of_list(table, at)
    made = tomlkit.table()
    made["api_key"] = key
    assign(document, made, fields)
    _append(table, made)


def _place(config: Config, provider: str, name: str) -> tuple[bool, int]:
    """Whether a credential stands in `api_keys`, and its number there or among the others."""
    options = config.providers.get(provider)
    found = [one.name for one in options.credentials] if options is not None else []
    if options is None or name not in found:
        raise LookupError(f"there is no credential {name} of a provider {provider}")
    at, count = found.index(name), len(options.api_keys)
    return (True, at) if at < count else (False, at - count)


def _out_of_list(table: Any, at: int) -> str:
    known = spelled(table, "api_keys")
    assert known is not None, "it was read from there"
    keys = table[known]
    key = str(keys[at])
    del keys[at]
    if not len(keys):
        del table[known]
    return key


def delete_credential(text: str, config: Config, provider: str, name: str) -> str:
    """Raises LookupError."""
    listed, at = _place(config, provider, name)
    document = tomlkit.parse(text)
    table = provider_table(document, provider)
    if listed:
        _out_of_list(table, at)
        return tomlkit.dumps(document)
    known = spelled(table, "credentials")
    assert known is not None, "it was read from there"
    return _cut(text, ("providers", provider, known), at)


# -- keys of clients


def new_auth_key(document: tomlkit.TOMLDocument, config: Config, entry: Fields) -> None:
    """Raises Refused where there is one of that name."""
    _free(config, str(entry["name"]))
    add_auth_key(document, {name: item(value) for name, value in entry.items() if value is not None})


def edit_auth_key(document: tomlkit.TOMLDocument, config: Config, name: str, fields: Fields) -> None:
    """Raises LookupError; Refused where it is to have the name of another."""
    at = auth_key_at(config, name)
    if (wanted := fields.get("name", name)) != name:
        _free(config, str(wanted))
    assign(document, _auth_keys(document)[at], fields)


def rotate_auth_key(
    document: tomlkit.TOMLDocument, config: Config, name: str, key_hash: str, old: Fields | None
) -> None:
    """Puts a new key in the place of the old one. `old`: what differs in an entry with the old key, its name
    and end, where it goes on for a while."""
    entry = _auth_keys(document)[auth_key_at(config, name)]
    if old is not None:
        kept = {**entry.unwrap(), **old}
        _free(config, str(kept["name"]))
    for spelling in ("key", "key_hash", "key-hash"):
        if spelling in entry:
            del entry[spelling]
    put(entry, "key_hash", key_hash)
    if old is not None:
        add_auth_key(document, {one: item(value) for one, value in kept.items()})


def delete_auth_key(text: str, config: Config, name: str) -> str:
    """The last one leaves an empty list, which admits nobody. Raises LookupError."""
    at = auth_key_at(config, name)
    document = tomlkit.parse(text)
    known = spelled(document, "auth_keys") or "auth_keys"
    keys = document[known]
    if isinstance(keys, Array):
        del keys[at]
        return tomlkit.dumps(document)
    made = _cut(text, (known,), at)
    return made if len(keys) > 1 else _with_nobody(made, known)


def _with_nobody(text: str, name: str) -> str:
    """The empty list stands before all tables, below what is said of the whole file."""
    lines = text.splitlines(keepends=True)
    end = next((at for at, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    if end < len(lines) and lines[end].strip():
        end = 0  # what is said there is said of what follows
    return "".join([*lines[:end], f"{name} = []\n", *lines[end:]])


def auth_key_at(config: Config, name: str) -> int:
    for at, key in enumerate(config.auth_keys or ()):
        if key.name == name:
            return at
    raise LookupError(f"there is no auth key called {name}")


def _auth_keys(document: tomlkit.TOMLDocument) -> Any:
    known = spelled(document, "auth_keys")
    assert known is not None, "it was read from there"
    return document[known]


def _free(config: Config, name: str) -> None:
    if any(key.name == name for key in config.auth_keys or ()):
        raise Refused(409, "exists", f"There is an auth key {name} already.")


# -- doors


def add_endpoint(document: tomlkit.TOMLDocument, name: str, fields: Fields) -> None:
    """Raises Refused where there is one of that name."""
    known = spelled(document, "endpoints")
    if known is not None and name in document[known]:
        raise Refused(409, "exists", f"There is an endpoint {name} already.")
    made = tomlkit.table()
    assign(document, made, fields)
    if known is None:
        document.append("endpoints", tomlkit.table(is_super_table=True))
    endpoints: Any = document[known or "endpoints"]

    def add() -> Any:
        endpoints[name] = made
        return endpoints[name]

    below(endpoints, add)


def edit_endpoint(document: tomlkit.TOMLDocument, name: str, fields: Fields) -> None:
    """Raises LookupError."""
    known = spelled(document, "endpoints")
    if known is None or name not in document[known]:
        raise _not_written(name)
    assign(document, document[known][name], fields)


def delete_endpoint(text: str, config: Config, name: str) -> str:
    """Raises LookupError; Refused where something names it."""
    document = tomlkit.parse(text)
    known = spelled(document, "endpoints")
    if known is None or name not in document[known]:
        raise _not_written(name)
    named = ["server.default_endpoint"] if config.server.default_endpoint == name else []
    named += [f"the auth key {one.name}" for one in config.auth_keys or () if name in one.allowed_endpoints]
    if named:
        raise Refused(
            409, "in_use", f"The endpoint {name} is still named by {', '.join(named)}: change these first."
        )
    return _cut(text, (known, name))


def _not_written(name: str) -> LookupError:
    return LookupError(
        f"there is no endpoint {name} in the configuration's file; where it is there without being written, "
        "add one of that name to change it"
    )


def add_gateway(document: tomlkit.TOMLDocument, fields: Fields) -> None:
    """One of Cloudflare's. Raises Refused where there is one of that name."""
    known = spelled(document, "gateways")
    rows: Any = document[known] if known is not None else None
    name = (fields["account_id"], fields["gateway_id"])
    if any(_gateway_name(one) == name for one in rows or ()):
        raise Refused(409, "exists", f"There is a gateway {'/'.join(name)} already.")
    made = tomlkit.table()
    assign(document, made, {one: value for one, value in fields.items() if value is not None})
    if rows is not None and not isinstance(rows, AoT):
        rows.append(item(made.unwrap()))
        return

    def add() -> Any:
        if known is None:
            document["gateways"] = tomlkit.aot()
        table: Any = document[known or "gateways"]
        table.append(made)
        return table[-1]

    below(rows if rows is not None else document, add)


def edit_gateway(document: tomlkit.TOMLDocument, account: str, gateway: str, fields: Fields) -> None:
    """Raises LookupError."""
    known, at = _gateway_at(document, account, gateway)
    assign(document, document[known][at], fields)


def delete_gateway(text: str, account: str, gateway: str) -> str:
    """Raises LookupError."""
    document = tomlkit.parse(text)
    known, at = _gateway_at(document, account, gateway)
    rows: Any = document[known]
    if isinstance(rows, Array):
        del rows[at]
        return tomlkit.dumps(document)
    return _cut(text, (known,), at)


def _gateway_at(document: tomlkit.TOMLDocument, account: str, gateway: str) -> tuple[str, int]:
    known = spelled(document, "gateways")
    rows: Any = document[known] if known is not None else ()
    for at, one in enumerate(rows):
        if _gateway_name(one) == (account, gateway):
            return known or "gateways", at
    raise LookupError(f"there is no gateway {account}/{gateway} in the configuration's file")


def _gateway_name(row: Any) -> tuple[str, str]:
    account, gateway = (row.get(spelled(row, name) or name) for name in ("account_id", "gateway_id"))
    return str(account), str(gateway)
