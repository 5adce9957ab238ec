"""What a new configuration changes, what it cannot change, and who is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.config.watch import Source
from llmitm.errors import ConfigError
from llmitm.reload import compare, read_change, shown

BASE = """
[server]
port = 8811
[timeouts]
idle_s = 10
[endpoints.dev]
target_base = "https://dev.example.com"
[providers.openai]
api_keys = ["sk-first-secret"]
headers = {"x-team" = "one-secret"}
[[auth_keys]]
name = "laptop"
key = "laptop-secret"
[routing.aliases]
fast = "gpt-4o-mini"
[state]
url = "memory://"
"""

KEYS = ("providers.openai.api_keys", "providers.openai.credentials")
ALIASES = ("routing.aliases.fast (gone)", "routing.aliases.quick (new)")


def read(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, env={})


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("", "", ()),
        ("idle_s = 10", "idle_s = 11", ("timeouts.idle_s",)),
        ("idle_s = 10", "connect_s = 7", ("timeouts.connect_s", "timeouts.idle_s")),
        ("dev.example.com", "prod.example.com", ("endpoints.dev.target_base",)),
        ("[endpoints.dev]", "[endpoints.prod]", ("endpoints.dev (gone)", "endpoints.prod (new)")),
        ('"sk-first-secret"', '"sk-second-secret"', KEYS),
        ("one-secret", "two-secret", ("providers.openai.headers", "providers.openai.credentials")),
        ('"laptop-secret"', '"other-secret"', ("auth_keys.laptop.key",)),
        ('name = "laptop"', 'name = "desk"', ("auth_keys.laptop (gone)", "auth_keys.desk (new)")),
        ("[[auth_keys]]", '[[auth_keys]]\nname = "x"\nkey = "y"\n[[auth_keys]]', ("auth_keys.x (new)",)),
        ('fast = "gpt-4o-mini"', 'quick = "gpt-4o"', ALIASES),
    ],
)
def test_what_changed_is_named_and_its_value_is_not(
    tmp_path: Path, old: str, new: str, named: tuple[str, ...]
) -> None:
    found = compare(read(tmp_path, BASE), read(tmp_path, BASE.replace(old, new)))
    assert sorted(found.changed) == sorted(named)
    assert found.fixed == ()
    assert "secret" not in shown(found.changed)


def test_what_hangs_on_open_things_stays_and_is_named(tmp_path: Path) -> None:
    running = read(tmp_path, BASE)
    text = BASE.replace("8811", '9000\nhost = "::1"').replace("idle_s = 10", "idle_s = 11")
    text = text.replace("memory://", "redis://127.0.0.1")
    text += (
        '[ledger]\nurl = "sqlite:///other.db"\nenabled = false\n[dashboard]\nenabled = true\nport = 9999\n'
    )
    found = compare(running, read(tmp_path, text))
    assert set(found.fixed) == {
        "server.host",
        "server.port",
        "state.url",
        "ledger.enabled",
        "ledger.url",
        "dashboard.enabled",
        "dashboard.port",
    }
    assert found.changed == ("timeouts.idle_s",)
    assert found.config.server == running.server
    assert found.config.state == running.state
    assert (found.config.dashboard, found.config.ledger) == (running.dashboard, running.ledger)


@pytest.mark.parametrize("is_on", [True, False])
def test_tls_is_not_switched_on_or_off(is_on: bool) -> None:
    plain = Config()
    secured = Config.model_validate({"server": {"tls_cert": "c.pem", "tls_key": "k.pem"}})
    running, wanted = (secured, plain) if is_on else (plain, secured)
    found = compare(running, wanted)
    assert found.fixed == ("server.tls_cert", "server.tls_key")
    assert found.config.server == running.server
    other = Config.model_validate({"server": {"tls_cert": "c2.pem", "tls_key": "k2.pem"}})
    assert compare(secured, other).changed == ("server.tls_cert", "server.tls_key")


def test_what_is_open_to_all_is_judged_as_such(tmp_path: Path) -> None:
    """The file may want another address and no keys; the one that is open stays open until a restart."""
    path = tmp_path / "config.toml"
    path.write_text(
        BASE.replace("port = 8811", 'host = "0.0.0.0"').replace("target_base", "provider = 'openai'\n#")
    )
    source = Source(path, env={})
    running = source.read()
    path.write_text(path.read_text().partition("[[auth_keys]]")[0].replace("0.0.0.0", "127.0.0.1"))
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is not a loopback address"):
        read_change(source, running)
    path.write_text(BASE.replace("[timeouts]", "[timeouts]\nconnect_s = 1"))
    found = read_change(source, running)
    assert found.fixed == ("server.host",)
    assert found.config.server.host == "0.0.0.0"
    assert found.config.timeouts.connect_s == 1


def test_the_command_line_wins_over_a_new_file_too(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(BASE)
    source = Source(path, env={}, host="127.0.0.2", port=7)
    running = source.read()
    path.write_text(BASE.replace("8811", "9000"))
    found = read_change(source, running)
    assert (found.fixed, found.changed) == ((), ())
    assert (found.config.server.host, found.config.server.port) == ("127.0.0.2", 7)


def test_a_long_list_of_names_is_cut() -> None:
    assert shown(("a", "b")) == "a, b"
    assert shown(tuple("abcd"), most=2) == "a, b and 2 more"
