"""Changes of the configuration's document: what is not meant stays, comments and references too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

from llmitm.admin import changes
from llmitm.config.cut import cut
from llmitm.config.load import load
from llmitm.config.masked import mark
from llmitm.config.schema import Config
from llmitm.config.write import edited
from llmitm.errors import ConfigError, Refused

HASH = f"sha256:{'ab' * 32}"
FULL = """# mine
[server]
port = 0

# who is asked
[providers.a]
format = "openai"   # plain
api_keys = ["env:A_KEY", "second-key"]

[providers.a.headers]
x-team = "lighthouse"

# at night
[providers."b.c"]
format = "openai"
[[providers."b.c".credentials]]
name = "one"
api_key = "key-one"

# spare
[[providers."b.c".credentials]]
name = "two"
api_key = "key-two"

# people
[[auth_keys]]
name = "laptop"
key_hash = "{hash}"

# the log
[log]
level = "info"
""".replace("{hash}", HASH)


def config_of(text: str) -> Config:
    return load(Path("config.toml"), env={"A_KEY": "first-key"}, text=text.encode())


def after(text: str, change: Callable[..., None], *told: Any) -> str:
    return edited(text.encode(), lambda document: change(document, *told), "config.toml").decode()


@pytest.mark.parametrize(
    ("path", "at", "gone"),
    [
        (("providers", "a"), None, FULL[FULL.index("[providers.a]") : FULL.index("# at night")]),
        (("providers", "b.c", "credentials"), 0, FULL[FULL.index("[[providers") : FULL.index("# spare")]),
        (("auth_keys",), 0, FULL[FULL.index("[[auth_keys]]") : FULL.index("# the log")]),
        (("log",), None, FULL[FULL.index("[log]") :]),
    ],
)
def test_a_table_is_cut_out_and_every_other_line_stays(
    path: tuple[str, ...], at: int | None, gone: str
) -> None:
    assert cut(FULL, path, at) == FULL.replace(gone, "")


def test_lines_that_only_look_like_tables_are_none() -> None:
    text = '[a]\nx = """\n[b]\ny = 1\n"""\n[b]\nz = 1\n'
    assert tomli.loads(cut(text, ("b",))) == {"a": {"x": "[b]\ny = 1\n"}}
    assert tomli.loads(cut(text, ("a",))) == {"b": {"z": 1}}


@pytest.mark.parametrize("table", ["", "[endpoints]\n"])
def test_the_last_of_its_table_is_cut_out_too(table: str) -> None:
    text = f'[server]\nport = 1\n{table}[endpoints.a]\nkind = "gateway"\n'
    assert cut(text, ("endpoints", "a")) == f"[server]\nport = 1\n{table}"
    with pytest.raises(LookupError):
        cut(text, ("endpoints", "b"))


def test_an_endpoint_that_is_implied_is_changed_by_adding_it() -> None:
    text = FULL[: FULL.index("# people")]
    assert "default" in config_of(text).endpoints
    with pytest.raises(LookupError, match="add one of that name"):
        after(text, changes.edit_endpoint, "default", {"strict": True})
    with pytest.raises(LookupError, match="add one of that name"):
        changes.delete_endpoint(text, config_of(text), "default")
    made = after(text, changes.add_endpoint, "default", {"kind": "gateway", "strict": True})
    assert config_of(made).endpoints["default"].strict


def test_a_new_provider_stands_below_the_others_and_above_the_next_heading() -> None:
    made = after(FULL, changes.add_provider, "new", {"format": "openai", "api_keys": ["k"]})
    block = '[providers.new]\nformat = "openai"\napi_keys = ["k"]\n'
    assert made == FULL.replace("# people", f"{block}\n# people")


def test_none_takes_a_field_out_and_the_rest_stays() -> None:
    made = after(FULL, changes.edit_provider, "a", {"headers": None, "format": None, "weight": 2})
    assert tomli.loads(made)["providers"]["a"] == {"api_keys": ["env:A_KEY", "second-key"], "weight": 2}
    assert "# at night" in made


def test_the_mark_of_a_shown_secret_leaves_it_and_an_unknown_mark_is_refused() -> None:
    shown = mark("lighthouse")
    made = after(FULL, changes.edit_provider, "a", {"headers": {"x-team": shown, "x-new": "1"}})
    assert tomli.loads(made)["providers"]["a"]["headers"] == {"x-team": "lighthouse", "x-new": "1"}
    with pytest.raises(ConfigError, match="x-team"):
        after(FULL, changes.edit_provider, "a", {"headers": {"x-team": "***00000000***"}})
    with pytest.raises(ConfigError, match="prefix"):  # it would be shown there
        after(FULL, changes.edit_provider, "a", {"prefix": shown})


def test_a_listed_key_becomes_a_credential_and_keeps_its_name() -> None:
    before = config_of(FULL).providers["a"].credentials
    made = after(FULL, changes.edit_credential, config_of(FULL), "a", before[0].name, {"weight": 5})
    provider = tomli.loads(made)["providers"]["a"]
    assert provider["credentials"] == [{"api_key": "env:A_KEY", "weight": 5}]
    assert provider["api_keys"] == ["second-key"]
    now = config_of(made).providers["a"].credentials
    assert {one.name for one in now} == {one.name for one in before}


def test_a_provider_that_is_named_stays_and_the_places_are_told() -> None:
    text = FULL + '[endpoints.x]\nkind = "gateway"\nprovider = "a"\n[routing.fallbacks]\nm = ["a/n"]\n'
    with pytest.raises(Refused, match=r"endpoints\.x\.provider, routing\.fallbacks\.m"):
        changes.delete_provider(text, config_of(text), "a")


@pytest.mark.parametrize("text", [FULL, f'auth_keys = [{{name = "laptop", key_hash = "{HASH}"}}]\n'])
def test_the_last_key_leaves_an_empty_list_that_admits_nobody(text: str) -> None:
    made = changes.delete_auth_key(text, config_of(text), "laptop")
    assert tomli.loads(made)["auth_keys"] == []
    assert config_of(made).auth_keys == ()


def test_a_rotated_key_keeps_its_limits_and_the_old_one_may_go_on() -> None:
    text = FULL.replace(f'key_hash = "{HASH}"', 'key = "env:A_KEY"\nrpm = 3')
    other = f"sha256:{'cd' * 32}"
    old = {"name": "laptop until noon"}
    made = after(text, changes.rotate_auth_key, config_of(text), "laptop", other, old)
    assert tomli.loads(made)["auth_keys"] == [
        {"name": "laptop", "rpm": 3, "key_hash": other},
        {"name": "laptop until noon", "key": "env:A_KEY", "rpm": 3},
    ]


def test_endpoints_are_added_edited_and_deleted() -> None:
    made = after(FULL, changes.add_endpoint, "dev", {"target_base": "http://127.0.0.1:9", "kind": None})
    assert made.startswith(FULL) and tomli.loads(made)["endpoints"] == {
        "dev": {"target_base": "http://127.0.0.1:9"}
    }
    with pytest.raises(Refused, match="already"):
        after(made, changes.add_endpoint, "dev", {})
    made = after(made, changes.add_endpoint, "all", {"kind": "gateway"})
    made = after(made, changes.edit_endpoint, "all", {"allowed_models": ["gpt-*"], "strict": True})
    assert config_of(made).endpoints["all"].allowed_models == ("gpt-*",)
    made = changes.delete_endpoint(made, config_of(made), "dev")
    assert list(tomli.loads(made)["endpoints"]) == ["all"] and "# at night" in made
    for gone in ("dev", "default"):  # the second one is implied, and stands in no file
        with pytest.raises(LookupError):
            changes.delete_endpoint(made, config_of(made), gone)
        with pytest.raises(LookupError):
            after(made, changes.edit_endpoint, gone, {"strict": True})


def test_an_endpoint_that_is_named_stays_and_the_places_are_told() -> None:
    text = FULL.replace("port = 0", 'port = 0\ndefault_endpoint = "all"')
    text = text.replace('name = "laptop"', 'name = "laptop"\nallowed_endpoints = ["all"]')
    text += '[endpoints.all]\nkind = "gateway"\n'
    with pytest.raises(Refused, match=r"server\.default_endpoint, the auth key laptop"):
        changes.delete_endpoint(text, config_of(text), "all")


GATEWAY = {"account_id": "one", "gateway_id": "main"}
GATEWAYS = (FULL, f"{FULL}[[gateways]]\naccount_id = 'a'\ngateway_id = 'b'\ntoken = 'env:A_KEY'\n")


@pytest.mark.parametrize("text", GATEWAYS, ids=("the first", "a further one"))
def test_gateways_are_known_by_account_and_name(text: str) -> None:
    made = after(text, changes.add_gateway, {**GATEWAY, "token": "env:A_KEY", "form": None})
    with pytest.raises(Refused, match="already"):
        after(made, changes.add_gateway, GATEWAY)
    made = after(made, changes.edit_gateway, "one", "main", {"weight": 3, "token": None})
    (gateway,) = [one for one in tomli.loads(made)["gateways"] if one["account_id"] == "one"]
    assert gateway == {**GATEWAY, "weight": 3}
    assert tomli.loads(changes.delete_gateway(made, "one", "main")) == tomli.loads(text)
    with pytest.raises(LookupError):
        changes.delete_gateway(made, "one", "other")
