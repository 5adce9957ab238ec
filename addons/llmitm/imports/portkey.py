"""Portkey's config objects: targets and how they are chosen, in JSON.

Such an object stood over every request, whatever model it asked for. Here requests are routed by model, so
that targets which name models become one name, `portkey`, and targets which do not become providers of the
models that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from llmitm.imports import portkey_targets
from llmitm.imports.plan import Endpoint, Model, Plan
from llmitm.imports.portkey_targets import Leaf
from llmitm.imports.serving import listens
from llmitm.imports.table import Table
from llmitm.imports.weights import whole

NAME: Final = "portkey"
_ANY_MODEL: Final = "?*"
"""As a glob, so that several providers stand alike for every model."""
_LOST: Final = {
    "cache": "answers are not kept and given again; providers' own prompt caches are used",
    "metadata": "requests are told apart by the keys of clients",
    "strict_open_ai_compliance": "answers are those of the client's dialect; what it cannot say is left out",
    "id": "is a name in Portkey's own service",
    "slug": "is a name in Portkey's own service",
    "version": "is a name in Portkey's own service",
    **dict.fromkeys(
        (
            *("input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks"),
            *("default_input_guardrails", "default_output_guardrails"),
        ),
        "a hook can look at requests and replies, and refuse them (docs/hooks.md)",
    ),
}

type Stage = list[tuple[Leaf, float]]
"""Leaves that take turns, with their weights."""


@dataclass(slots=True)
class Tree:
    """A part of the object: a leaf, or a choice between others."""

    mode: str = "single"
    leaf: Leaf | None = None
    children: list[Tree] = field(default_factory=list)
    weight: float = 1
    default: str | None = None
    name: str | None = None
    attempts: int | None = None
    """After the first."""

    def stages(self) -> list[Stage]:
        """One after the other, as they are asked."""
        if self.leaf is not None:
            return [[(self.leaf, 1)]]
        inner = [one.stages() for one in self.children]
        if self.mode == "loadbalance":
            firsts = [
                (leaf, weight * child.weight)
                for child, stages in zip(self.children, inner, strict=True)
                if stages and child.weight > 0
                for leaf, weight in stages[0]
            ]
            return [firsts, *(stage for stages in inner for stage in stages[1:])]
        if self.mode == "conditional":
            chosen = [at for at, one in enumerate(self.children) if one.name == self.default] or [0]
            return inner[chosen[0]] if inner else []
        return [stage for stages in inner for stage in stages]

    def retries(self) -> list[int]:
        """From the top down."""
        own = [self.attempts] if self.attempts is not None else []
        return own + [one for child in self.children for one in child.retries()]

    def leaves(self) -> list[Leaf]:
        own = [self.leaf] if self.leaf is not None else []
        return own + [leaf for child in self.children for leaf in child.leaves()]


def read(table: Table) -> Plan:
    plan = Plan()
    table = portkey_targets.unwrapped(table)
    tree = _tree(table, plan, is_top=True)
    table.done()
    leaves = tree.leaves()
    if not leaves:
        table.found.none_left(
            table.path,
            "no target is left that could be asked: provider or targets are expected",
            table.at("targets"),
        )
        return plan
    _place(tree, plan, table)
    if (retries := tree.retries()) and len([stage for stage in tree.stages() if stage]) == 1:
        plan.put("retry.max_attempts", retries[0] + 1)
    listens(plan, table, "0.0.0.0", 8787)
    plan.endpoints["default"] = Endpoint(source="every path, by model", kind="gateway")
    return plan


def _tree(table: Table, plan: Plan, *, is_top: bool = False) -> Tree:
    attempts = _settings(table, plan, is_top=is_top)
    weight = table.number("weight")
    made = Tree(weight=1 if weight is None else weight, name=table.text("name"), attempts=attempts)
    strategy = table.table("strategy")
    made.mode = strategy.text("mode") or table.text("mode") or "single"
    made.default = strategy.text("default")
    _conditions(strategy, made.mode, plan)
    children = [*table.tables("targets"), *table.tables("options")]
    if made.mode not in ("single", "loadbalance", "fallback", "conditional"):
        table.found.changed(strategy.at("mode"), "is not known here; targets are asked one after the other")
    for child in children:
        inner = portkey_targets.inheriting(portkey_targets.spelled(child), table)
        made.children.append(_tree(inner, plan))
        inner.done()
    if children:
        for name in portkey_targets.INHERITED:
            table.take(name)
    else:
        made.leaf = portkey_targets.read(table, plan)
    made.children = [one for one in made.children if one.leaves()]
    return made


def _conditions(strategy: Table, mode: str, plan: Plan) -> None:
    if strategy.has("conditions"):
        strategy.take("conditions")
        strategy.found.lost(
            strategy.at("conditions"),
            "requests are not routed by metadata; targets that name a model can be asked for by their names",
        )
    if strategy.has("on_status_codes"):
        strategy.changed("on_status_codes", "what is tried again is known by what went wrong: [retry]")
        strategy.take("on_status_codes")
    strategy.lost("sticky", '[routing] strategy = "sticky" keeps a conversation with one key')
    breaker = portkey_targets.spelled(strategy.table("cb_config"))
    failures, open_ms = breaker.count("failure_threshold"), breaker.number("cooldown_interval")
    for name in ("failure_threshold_percentage", "minimum_requests", "failure_status_codes"):
        breaker.lost(name, "[retry] breaker counts failures, of any kind, that left a provider no key")
    breaker.done()
    made = {"failures": failures or None, "open_s": open_ms / 1000 if open_ms else None}
    plan.put("retry.breaker", {name: value for name, value in made.items() if value is not None} or None)
    strategy.done()


def _settings(table: Table, plan: Plan, *, is_top: bool) -> int | None:
    """Returns how often it is tried again."""
    retry = portkey_targets.spelled(table.table("retry"))
    attempts = retry.count("attempts")
    if attempts:
        retry.changed("attempts", "each target is asked once: it takes another one to try again")
    if retry.has("on_status_codes"):
        retry.changed("on_status_codes", "what is tried again is known by what went wrong: [retry]")
    for name in ("on_status_codes", "use_retry_after_header", "use_retry_after_headers"):
        retry.take(name)  # the wait that a provider asks for is always kept
    retry.done()
    wait_ms = table.number("request_timeout")
    if wait_ms and is_top:
        plan.put("timeouts.first_byte_s", wait_ms / 1000)
    elif wait_ms:
        table.found.lost(table.at("request_timeout"), "[timeouts] are those of all targets")
    portkey_targets.passing(table, plan)
    table.lose(_LOST)
    return attempts


def _place(tree: Tree, plan: Plan, table: Table) -> None:
    leaves = tree.leaves()
    stages = [stage for stage in tree.stages() if stage]
    named = [leaf for leaf in leaves if leaf.model is not None]
    if len(named) == len(leaves):
        _by_name(tree, stages, plan, table)
    elif not named:
        _by_provider(tree, stages, leaves, plan, table)
    else:
        for leaf in leaves:
            plan.add(leaf.provider, leaf.account)
        routes = ", ".join(f'"{leaf.route}"' for leaf in named)
        table.found.lost(
            table.at("targets"),
            "some targets name a model and others take any: fallbacks are by name here. Say for each "
            "model that "
            f"clients ask for: [routing] fallbacks = {{MODEL = [{routes}]}}",
        )


def _by_name(tree: Tree, stages: Sequence[Stage], plan: Plan, table: Table) -> None:
    """Each stage is a pool; the first is asked for by name, and the others when it fails."""
    models: dict[int, str] = {}
    for leaf in tree.leaves():
        leaf.account.models = [Model(id=leaf.model or "")]
        _merge(leaf, plan)
        models[id(leaf)] = leaf.route
    pools = [_pool(stage) for stage in stages]
    plan.aliases[NAME] = pools[0]
    others: list[str] = []
    for at, pool in enumerate(pools[1:], 2):
        if len(pool) > 1:
            plan.aliases[f"{NAME}-{at}"] = pool
        others.append(pool[0][0] if len(pool) == 1 else f"{NAME}-{at}")
    if others:
        plan.fallbacks[NAME] = list(dict.fromkeys(others))
    for leaf in tree.leaves():
        if leaf.name is not None and leaf.name not in plan.aliases:
            plan.aliases[leaf.name] = [(leaf.route, 1)]
    table.found.changed(
        "",
        f"targets replaced whatever model was asked for; here clients ask for the model {NAME}, or for "
        "one of the "
        "targets' own",
    )


def _merge(leaf: Leaf, plan: Plan) -> None:
    """The same key of the same provider is one account."""
    for name, known in plan.accounts():
        if name == leaf.provider and portkey_targets.same(known, leaf.account):
            known.models += [model for model in leaf.account.models if model not in known.models]
            return
    plan.add(leaf.provider, leaf.account)


def _pool(stage: Stage) -> list[tuple[str, int]]:
    weights: dict[str, float] = {}
    for leaf, weight in stage:
        weights[leaf.route] = weights.get(leaf.route, 0) + weight
    return list(zip(weights, whole(list(weights.values())), strict=True))


def _by_provider(
    tree: Tree, stages: Sequence[Stage], leaves: Sequence[Leaf], plan: Plan, table: Table
) -> None:
    """Targets take whatever model is asked for."""
    weights: dict[int, Any] = {}
    for stage in stages:
        turns = whole([weight for _, weight in stage])
        weights |= {id(leaf): turn for (leaf, _), turn in zip(stage, turns, strict=True)}
    several = len({leaf.provider for leaf in leaves}) > 1
    for leaf in leaves:
        turn = weights.get(id(leaf), 1)
        leaf.account.weight = turn if turn != 1 else None
        if id(leaf) not in weights:
            leaf.account.disabled = True  # a weight of 0
        if several:
            leaf.account.models = [Model(id=_ANY_MODEL)]
        plan.add(leaf.provider, leaf.account)
    if len(stages) > 1:
        plan.put("routing.strategy", "fill-first")
        table.found.changed(
            table.at("strategy"), "targets are asked in the order of this file: strategy fill-first"
        )
    if several:
        table.found.changed(
            table.at("targets"), "each takes any model, as there: say which in `models` of each provider"
        )
