"""Keys of providers as ai-proxy and CLIProxyAPI write them alike, an entry each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmitm.exchange import Dialect
from llmitm.imports import addresses, references, weights
from llmitm.imports.plan import Account, Cloak, Model, Plan
from llmitm.imports.table import Table
from llmitm.secret import Secret

_DIRECT: Final = ("direct", "none")


@dataclass(frozen=True, slots=True)
class Section:
    """A list of entries in the source."""

    key: str
    provider: str | None
    """None: each is named by its address."""
    dialect: Dialect


def account(table: Table, model_key: str) -> Account:
    """What an entry says, its key aside. `model_key` is what it calls a model's own name; the entry's cloak
    is taken over where it holds words, since nobody is imitated here."""
    made = Account(
        source=table.path,
        api_key=table.secret("api-key"),
        name=table.text("name"),
        base_url=table.text("base-url"),
        models=models(table, model_key),
        excluded_models=table.texts("excluded-models"),
        prefix=prefix(table),
        headers=headers(table),
        proxy_url=proxy(table),
        weight=weight(table),
        disabled=table.flag("disabled") or None,
    )
    made.cloak = cloak(table.table("cloak"))
    return made


def place(plan: Plan, made: Account, section: Section) -> None:
    """Puts an account under its provider's name, with its address and dialect as we write them."""
    base = made.base_url
    name = section.provider
    if name is None:
        assert base is not None, "entries without an address are left out"
        name = addresses.named(base, section.dialect) or addresses.name_of(base)
    made.base_url = addresses.own(name, base, section.dialect)
    made.format = addresses.format_of(name, made.base_url, section.dialect)
    plan.add(name, made)


def models(table: Table, key: str) -> list[Model]:
    found = []
    for one in table.tables("models"):
        name = one.text(key) or one.text("id") or one.text("name")
        alias = one.text("alias")
        one.lose(_OF_MODELS)
        one.done()
        if name is None:
            one.found.wrong(one.path, f"{key} is expected")
        else:
            found.append(Model(id=name, alias=alias if alias != name else None))
    return found


def prefix(table: Table) -> str | None:
    text = table.text("prefix")
    return f"{text.rstrip('/')}/" if text else None


def headers(table: Table) -> dict[str, Secret]:
    inner = table.table("headers")
    made: dict[str, Secret] = {}
    for name in inner.values:
        text = inner.text(name) if not isinstance(inner.values[name], str) else str(inner.take(name))
        if not text:
            continue
        if text.startswith("$") and references.variable(text) is None:
            inner.found.lost(inner.at(name), "was copied from the client's request; headers here are fixed")
        elif references.refers_inside(text):
            inner.found.lost(inner.at(name), "only a whole value may be a reference")
        else:
            made[name] = references.secret(text)
    return made


def proxy(table: Table) -> Secret | None:
    """An empty one is said, and is a direct connection."""
    value = table.values.get("proxy-url")
    if value == "" or (isinstance(value, str) and value.lower() in _DIRECT):
        table.take("proxy-url")
        return Secret("")
    return table.secret("proxy-url")


def weight(table: Table) -> int | None:
    value = table.count("weight")
    if value is None:
        return None
    if value > weights.MOST:
        table.changed("weight", f"is {weights.MOST} here, which is the most")
    return min(max(value, 1), weights.MOST)


def cloak(table: Table) -> Cloak | None:
    mode = table.text("mode")
    words, caches = table.texts("sensitive-words"), table.flag("cache-user-id")
    table.lose(_OF_CLOAKS)
    table.done()
    if not table.values or mode == "never" or (mode is None and not words and not caches):
        return None
    table.found.changed(
        table.path,
        "nobody is imitated here: the system text and the user ids of another client are not sent. Sensitive "
        "words are masked, and turned back in the answer",
    )
    if not words and not caches:
        return None
    return Cloak(sensitive_words=list(dict.fromkeys(words)), cache_user_id=caches or None)


_OF_CLOAKS: Final[Mapping[str, str]] = {
    "strict-mode": "there is no system text of another client that could replace yours",
    "relaxed-system-prompt": "there is no system text of another client",
}
_OF_MODELS: Final[Mapping[str, str]] = {
    "display-name": "models are listed by the names that clients ask for",
    "max-context-length": "is told to nobody here; [model_capabilities] holds what translation needs",
    "force-mapping": "answers tell the model as the provider spells it",
    "is-compat": "thinking is passed on as it is",
    "thinking": "what a model can do is known here, or is said in [model_capabilities]",
    "image": "images are passed on to providers that speak their API",
    "input-modalities": "what a model can do is known here, or is said in [model_capabilities]",
    "output-modalities": "what a model can do is known here, or is said in [model_capabilities]",
}


def usable(table: Table, made: Account) -> bool:
    if made.api_key is None:
        table.found.lost(table.path, "has no api-key and was left out")
    return made.api_key is not None
