"""The proxies of the environment: which variable counts for which target, and what is asked directly."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.config.describe import describe
from llmitm.config.environment import read
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.doctor import network
from llmitm.errors import ConfigError, Problem
from llmitm.exchange import Dialect
from llmitm.route import plan

HTTPS, HTTP, ALL = "http://one.test:1", "http://two.test:2", "socks5h://three.test:3"
BASE = '[endpoints.open]\ntarget_base = "https://api.test/v1"\n'


def through(url: str, **env: str) -> str | None:
    problems: list[Problem] = []
    found = read(env, problems).proxy_to(url)
    assert not problems
    return found.reveal() if found is not None else None


@pytest.mark.parametrize(
    ("url", "env", "proxy"),
    [
        ("https://api.test/v1", {}, None),
        ("https://api.test/v1", {"HTTPS_PROXY": HTTPS, "HTTP_PROXY": HTTP, "ALL_PROXY": ALL}, HTTPS),
        ("http://api.test/v1", {"HTTPS_PROXY": HTTPS, "HTTP_PROXY": HTTP, "ALL_PROXY": ALL}, HTTP),
        ("https://api.test/v1", {"HTTP_PROXY": HTTP}, None),
        ("http://api.test/v1", {"HTTPS_PROXY": HTTPS}, None),
        ("http://api.test/v1", {"HTTPS_PROXY": HTTPS, "ALL_PROXY": ALL}, ALL),
        ("https://api.test/v1", {"HTTPS_PROXY": HTTPS, "https_proxy": HTTP}, HTTP),
        ("https://api.test/v1", {"HTTPS_PROXY": HTTPS, "https_proxy": ""}, None),
        ("https://api.test/v1", {"https_proxy": "", "all_proxy": ALL}, ALL),
        ("https://api.test/v1", {"HTTPS_PROXY": " proxy.test:3128 "}, "http://proxy.test:3128"),
        ("https://api.test/v1", {"HTTPS_PROXY": "https://u:p@proxy.test"}, "https://u:p@proxy.test"),
    ],
)
def test_which_variable_counts(url: str, env: dict[str, str], proxy: str | None) -> None:
    assert through(url, **env) == proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        ("https://api.test", "*", True),
        ("https://api.test", "other.test, *", True),
        ("https://api.test", "api.test", True),
        ("https://API.test.", "api.TEST", True),
        ("https://a.api.test", "api.test", True),
        ("https://a.api.test", ".api.test", True),
        ("https://api.test", ".api.test", True),
        ("https://a.api.test", "*.api.test", True),
        ("https://myapi.test", "api.test", False),
        ("https://api.test.evil", "api.test", False),
        ("https://api.test", "a.api.test", False),
        ("https://api.test", "other.test,api.test", True),
        ("https://api.test", "other.test api.test", True),
        ("https://api.test", "api.test:443", True),
        ("https://api.test:8443", "api.test:443", False),
        ("https://api.test:8443", "api.test:8443", True),
        ("http://api.test", "api.test:80", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3:8000", "10.1.2.3", True),
        ("https://10.1.2.3:8000", "10.1.2.3:9000", False),
        ("https://10.1.2.3", "2.3", False),
        ("https://[::1]:8000", "::1", True),
        ("https://[::1]:8000", "[::1]:8000", True),
        ("https://[::1]:8000", "[::1]", True),
        ("https://[fd00::5]", "fd00::/8", True),
        ("https://[::ffff:10.0.0.1]", "10.0.0.0/8", True),
        ("https://10.name.test", "10.0.0.0/8", False),
        ("https://localhost:8000", "localhost,127.0.0.1", True),
        ("https://127.0.0.1:8000", "", False),  # as curl: who means it says it
        ("https://api.test", " , ,", False),
        ("https://api.test", "..", False),
    ],
)
def test_what_is_asked_directly(url: str, no_proxy: str, is_direct: bool) -> None:
    assert through(url, ALL_PROXY=ALL, NO_PROXY=no_proxy) == (None if is_direct else ALL)
    assert through(url, ALL_PROXY=ALL, no_proxy=no_proxy, NO_PROXY="*") == (None if is_direct else ALL)


@pytest.mark.parametrize(
    "value", ["socks4://a.test:1", "http://", "ftp://a.test", "http://a b", "http://a:x"]
)
def test_what_is_no_proxy_is_told_without_its_value(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, BASE, HTTPS_PROXY=value)
    assert "HTTPS_PROXY: a proxy URL is expected" in str(caught.value) and value not in str(caught.value)
    assert loaded(tmp_path, BASE, is_on=False, HTTPS_PROXY=value).server.environment is None


def loaded(folder: Path, text: str, *, is_on: bool = True, more: str = "", **env: str) -> Config:
    file = folder / "config.toml"
    file.write_text(f"[server]\nproxy_env = {str(is_on).lower()}\n{more}\n{text}")
    return load(file, env=env)


def asked(config: Config, endpoint: str = "open") -> str | None:
    made = plan.Asked(
        id="1", endpoint=endpoint, rest=b"/v1/models", dialect=Dialect.OPENAI_CHAT, drop_headers=frozenset()
    )
    found = plan.forward(made, None, config).attempt.proxy_url
    return found.reveal() if found is not None else None


def test_attempts_go_through_it_unless_the_configuration_names_another(tmp_path: Path) -> None:
    assert asked(loaded(tmp_path, BASE, HTTPS_PROXY=HTTPS)) == HTTPS
    assert asked(loaded(tmp_path, BASE, HTTPS_PROXY=HTTPS, NO_PROXY="api.test")) is None
    assert asked(loaded(tmp_path, BASE, is_on=False, HTTPS_PROXY=HTTPS)) is None
    assert asked(loaded(tmp_path, BASE + f'proxy_url = "{ALL}"\n', HTTPS_PROXY=HTTPS)) == ALL
    assert asked(loaded(tmp_path, BASE + 'proxy_url = ""\n', HTTPS_PROXY=HTTPS)) is None
    assert asked(loaded(tmp_path, BASE, more=f'proxy_url = "{ALL}"', HTTPS_PROXY=HTTPS)) == ALL
    assert asked(loaded(tmp_path, BASE, more='proxy_url = ""', HTTPS_PROXY=HTTPS)) is None


def test_its_password_is_known_as_a_secret_and_not_shown(tmp_path: Path) -> None:
    config = loaded(tmp_path, BASE, HTTPS_PROXY="http://me:canary%20word@proxy.test:1", NO_PROXY="a.test")
    assert {"canary word", "canary%20word"} <= {one.reveal() for one in config.secrets()}
    text = describe(config)
    assert "http://***@proxy.test:1 (HTTPS_PROXY), not for what NO_PROXY names" in text
    assert "through http://***@proxy.test:1" in text and "canary" not in text


def test_the_doctor_looks_at_those_ways(tmp_path: Path) -> None:
    text = BASE + '[providers.openai]\napi_keys = ["sk-1"]\n[endpoints.all]\nkind = "gateway"\n'
    config = loaded(tmp_path, text, HTTPS_PROXY=HTTPS, NO_PROXY="api.test")
    found = {way.host: way.proxy.reveal() if way.proxy else None for way in network.ways(config)}
    assert found == {"api.test": None, "api.openai.com": HTTPS}


def test_doubts(tmp_path: Path) -> None:
    assert "names no proxy" in " ".join(loaded(tmp_path, BASE).warnings)
    both = loaded(tmp_path, BASE, more=f'proxy_url = "{ALL}"', HTTPS_PROXY=HTTPS)
    assert "are not used" in " ".join(both.warnings)
    here = '[providers.local]\nbase_url = "http://127.0.0.1:8000/v1"\n'
    assert "provider local is here" in " ".join(loaded(tmp_path, here, ALL_PROXY=ALL).warnings)
    assert not loaded(tmp_path, here, ALL_PROXY=ALL, NO_PROXY="127.0.0.0/8").warnings
    assert not loaded(tmp_path, BASE, HTTPS_PROXY=HTTPS).warnings
