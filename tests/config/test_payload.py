"""`[payload]`: what is refused with path and fix, and which rules a request brings into question."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.cli import route
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import ConfigError
from llmitm.exchange import Dialect
from llmitm.shape.payload import Call


def loaded(text: str, folder: Path) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, env={"NAME": "value"})


@pytest.mark.parametrize(
    ("table", "place", "words"),
    [
        ("default]]\nparams = {model = 'x'}", "default[0].params.model", "aliases"),
        ("override]]\nparams = {stream = true}", "override[0].params.stream", "clients decide this"),
        ("filter]]\nparams = ['stream']", "filter[0].params[0]", "clients decide this"),
        ("filter]]\nparams = ['model.x']", "filter[0].params[0]", "not for rules"),
        ("filter]]\nparams = ['*.x']", "filter[0].params[0]", "does not begin with *"),
        ("override]]\nparams = {'a..b' = 1}", "override[0].params.a..b", "names no field"),
        ("override]]\nparams = {'' = 1}", "override[0].params.", "names no field"),
        ("override]]\nparams = {'a\\' = 1}", "override[0].params.a\\", "ends in a backslash"),
        ("override]]\nparams = {'a\\b' = 1}", "override[0].params.a\\b", "means nothing"),
        ("override]]\nparams = {}", "override[0]", "names no field"),
        ("filter]]\nparams = []", "filter[0].params", "at least one"),
        ("override]]\nparams = {day = 2026-11-21}", "override[0].params.day", "write it as a string"),
        ("override]]\nparams = {a = [{b = 07:30:00}]}", "override[0].params.a", "write it as a string"),
        ("override]]\nparams = {n = nan}", "override[0].params.n", "no JSON value"),
        ("override]]\nparams = {token = 'env:NAME'}", "override[0].params.token", "not looked up"),
        ("override]]\nparams_json = {a = '{'}", "override[0].params_json.a", "not valid JSON"),
        ("override]]\nparams_json = {a = 'NaN'}", "override[0].params_json.a", "no JSON value"),
        ("override]]\nmodels = []\nparams = {a = 1}", "override[0].models", "at least one"),
        ("filter]]\nwhen = 'during'\nparams = ['a']", "filter[0].when", "before"),
        (
            "filter]]\nmodels = [{protocol = 'soap'}]\nparams = ['a']",
            "filter[0].models[0].protocol",
            "openai-chat",
        ),
        (
            "filter]]\nmodels = [{nmae = 'x'}]\nparams = ['a']",
            "filter[0].models[0].nmae",
            "did you mean name?",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place(table: str, place: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(f"[[payload.{table}", tmp_path)
    [problem] = raised.value.problems
    assert problem.path == f"payload.{place}"
    assert words in problem.message


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        ("default]]\nparams = {'tools.*' = 1}", "payload.default[0].tools.* sets nothing"),
        (
            "override]]\nmodels = [{endpoint = 'al'}]\nparams = {a = 1}",
            "payload.override[0].models[0].endpoint = 'al' names none; there are: all",
        ),
        (
            "filter]]\nmodels = ['gpt-*', {provider = 'opnai'}]\nparams = ['a']",
            "payload.filter[0].models[1].provider = 'opnai' names none; there are: openai",
        ),
        ("filter]]\nmodels = [{provider = 'open*', endpoint = '*'}]\nparams = ['a']", None),
    ],
)
def test_a_rule_that_cannot_do_anything_is_a_warning(rule: str, warning: str | None, tmp_path: Path) -> None:
    there = '[endpoints.all]\nkind = "gateway"\n[providers.openai]\napi_keys = ["k"]\n'
    warnings = loaded(f"{there}[[payload.{rule}", tmp_path).warnings
    assert [one.startswith(warning or "") for one in warnings] == ([] if warning is None else [True])


RULES = """
[[payload.filter]]
params = ["all"]
[[payload.override]]
models = ["gpt-*"]
params = {name = 1}
[[payload.override]]
models = [{asked = "fast"}]
params = {asked = 1}
[[payload.override]]
models = [{protocol = "Claude"}]
params = {protocol = 1}
[[payload.override]]
models = [{endpoint = "team-*", provider = "openai"}]
params = {both = 1}
[[payload.override]]
models = ["nothing-like-this", "*mini"]
params = {one-of-them = 1}
[[payload.override]]
models = [{path = "/emb*"}]
params-json = {path = "1"}
[[payload.default]]
when = "before"
params = {early = 1}
"""
CALL = Call(
    when="after",
    dialect=Dialect.OPENAI_CHAT,
    model="gpt-mini",
    asked="gpt-mini",
    provider="openai",
    endpoint="default",
    path="/chat/completions",
    is_answer=True,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["name", "one-of-them", "all"]),
        ({"model": "o3"}, ["all"]),
        ({"model": "o3", "asked": "fast"}, ["asked", "all"]),
        ({"model": "c", "dialect": Dialect.ANTHROPIC_MESSAGES}, ["protocol", "all"]),
        ({"model": "c", "endpoint": "team-a"}, ["both", "all"]),
        ({"model": "c", "endpoint": "team-a", "provider": "azure"}, ["all"]),
        ({"path": "/embeddings", "is_answer": False}, ["path"]),
        ({"path": "/files", "is_answer": False}, []),
        ({"when": "before"}, ["early"]),
    ],
)
def test_rules_are_chosen_by_all_that_they_name(
    changes: dict[str, object], expected: list[str], tmp_path: Path
) -> None:
    rules = loaded(RULES, tmp_path).payload.rules
    assert rules is not None
    names = CALL._asdict() | changes
    edits = rules.chosen(Call(**names)).of(())
    assert [edit.path.text for edit in edits] == expected


def test_route_explain_shows_the_rules_in_the_order_in_which_they_are_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    providers = '[providers.openai]\napi_keys = ["sk-of-nobody"]\n'
    headers = '[[payload.default]]\nmodels = [{headers = {x-team = "gold*"}}]\nparams = {last = "d"}\n'
    loaded(providers + RULES + headers, tmp_path)
    assert route.run(tmp_path / "config.toml", "gpt-mini", None, None) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith("payload.")] == [
        "payload.default[0] early = 1 where there is none (before translation)",
        'payload.default[1] last = "d" where there is none (with x-team: gold*)',
        "payload.override[0] name = 1",
        "payload.override[4] one-of-them = 1",
        "payload.override[5] path = 1 (on /emb*)",
        "payload.filter[0] takes out all",
    ]


WHERE = """
gateways = [{account_id = "acc", gateway_id = "gw"}]
[endpoints.cf]
kind = "cloudflare"
[endpoints.one]
provider = "openai"
[providers.openai]
api_keys = ["sk-of-nobody"]
[[payload.filter]]
models = [{name = "gpt-*", protocol = "openai-chat"}]
params = ["seed"]
[[payload.override]]
models = [{asked = "openai/*"}]
params = {a = 1}
[[payload.override]]
models = [{endpoint = "one"}]
params = {b = 2}
[[payload.default]]
when = "before"
params = {c = 3}
"""


@pytest.mark.parametrize(
    ("endpoint", "model", "expected"),
    [
        (
            "cf",
            "openai/gpt-mini",
            [
                "payload.default[0] c = 3 where there is none (before translation)",
                "payload.override[0] a = 1",
                "payload.filter[0] takes out seed (in openai-chat)",
            ],
        ),
        (
            "one",
            "gpt-mini",
            [
                "payload.default[0] c = 3 where there is none (before translation)",
                "payload.override[1] b = 2",
                "payload.filter[0] takes out seed (in openai-chat)",
            ],
        ),
    ],
)
def test_route_explain_shows_them_on_every_kind_of_endpoint_that_has_credentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], endpoint: str, model: str, expected: list[str]
) -> None:
    loaded(WHERE, tmp_path)
    assert route.run(tmp_path / "config.toml", model, endpoint, None) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith("payload.")] == expected
