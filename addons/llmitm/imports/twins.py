"""Accounts of one provider told apart: keys that stand twice, and names that do. Pure."""

from __future__ import annotations

from dataclasses import replace

from llmitm.imports.found import Found
from llmitm.imports.plan import Account, Plan
from llmitm.imports.references import written


def tell_apart(plan: Plan, found: Found) -> None:
    """Leaves out what says nothing new, and names accounts that would be called alike: without a name of its
    own an account is called by its key."""
    for provider in plan.providers.values():
        kept: list[Account] = []
        for one in provider.accounts:
            first = next((other for other in kept if replace(one, source=other.source) == other), None)
            if first is None:
                kept.append(one)
            elif one.source != first.source:
                found.changed(one.source, f"says what {first.source} says, and was left out")
        _name(kept)
        provider.accounts = kept


def _name(accounts: list[Account]) -> None:
    keys: set[str] = set()
    names: set[str] = set()
    for one in accounts:
        if one.api_key is None:
            continue
        key = written(one.api_key)
        if (one.name is None and key in keys) or one.name in names:
            one.name = _free(one.name or _hint(one), names)
        if one.name is None:
            keys.add(key)
        else:
            names.add(one.name)


def _hint(account: Account) -> str:
    """What sets it apart from another account of its key."""
    if account.models:
        return (account.models[0].alias or account.models[0].id).strip("*?/-") or "any"
    return (account.prefix or "").strip("/") or "second"


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
