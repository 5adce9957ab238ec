"""What is wrong is told whole, at its place, once, and without guesses that follow from another mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmitm.cli.certs import write_pair
from llmitm.config.describe import describe
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.errors import ConfigError

FORWARD = '[endpoints.dev]\ntarget_base = "https://api.example.com"\n'
GATEWAY = '[[gateways]]\naccount_id = "0123456789"\ngateway_id = "g"\n'


def loaded(folder: Path, text: str, env: dict[str, str] | None = None, port: int | None = None) -> Config:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, env=env or {}, port=port)


def problems(
    folder: Path, text: str, env: dict[str, str] | None = None, port: int | None = None
) -> dict[str, str]:
    """Path and message of each problem. A path that is told twice fails."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, env, port)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems), caught.value
    return found


@pytest.mark.parametrize(
    ("text", "path"),
    [
        # keys that begin like the branches of a union do
        ("[routing]\nstrategy = 'x'", "routing.strategy"),
        ("[streaming]\npace_ms = -1", "streaming.pace_ms"),
        ("[endpoints.strange]\nkind = 'x'", "endpoints.strange.kind"),
        ("[endpoints.dev]\ntarget_base = 'http://x'\nallowed_paths = ['/v1/x*']", "endpoints.dev"),
        ("[endpoints.all]\nkind = 'gateway'\nallowed_paths = ['x*']", "endpoints.all.allowed_paths[0]"),
        ("[endpoints.dev]\nstrict = 3\ntarget_base = 'http://x'", "endpoints.dev.strict"),
        ("[routing.aliases]\nfast = 5", "routing.aliases.fast"),
        ("[routing.aliases]\nfast = [{model = 'm', wight = 2}]", "routing.aliases.fast[0].wight"),
        ("[routing.aliases]\nfast = ''", "routing.aliases.fast[0].model"),
        ("[providers.openai.cloak]\nmod = 'x'", "providers.openai.cloak.mod"),
        (
            "[[providers.openai.credentials]]\napi_key = 'k'\nwieght = 1",
            "providers.openai.credentials[0].wieght",
        ),
        (
            "[[providers.openai.credentials]]\napi_key = 'k'\nweight = 0",
            "providers.openai.credentials[0].weight",
        ),
        ("[[gateways]]\naccount_id = 'a'\ngateway_id = 'g'\nweight = 0", "gateways[0].weight"),
        ("[providers.openai]\napi_keys = ['k ']", "providers.openai.api_keys[0]"),
        ('[providers.openai]\napi_keys = ["k\\r\\nx: y"]', "providers.openai.api_keys[0]"),
        ("[server]\nproxy_url = 'http://a b:1'", "server.proxy_url"),
        ("[server]\nproxy_url = 'socks4://a:1'", "server.proxy_url"),
        ("[server]\ntarget_base = 'https://x#'", "server.target_base"),
        ("[server]\ntarget_base = 'https://x?'", "server.target_base"),
        ("[server]\ntarget_base = '//x'", "server.target_base"),
        ("[endpoints.v1beta]\ntarget_base = 'http://x'", "endpoints.v1beta"),
        ("[endpoints.'..']\ntarget_base = 'http://x'", "endpoints..."),
        ("[[auth_keys]]\nname = 'a'\nkey_hash = 'sha256:xyz'", "auth_keys[0].key_hash"),
        ("[[auth_keys]]\nname = 'a'\nkey = 'k'\nkey_hash = 'sha256:" + "0" * 64 + "'", "auth_keys[0]"),
        ("[[auth_keys]]\nname = 'a'\nkey = 'k'\nexpires_at = 2027-01-01T00:00:00", "auth_keys[0].expires_at"),
        (
            "[[auth_keys]]\nname = 'a'\nkey = 'k'\nallowed_endpoints = ['']",
            "auth_keys[0].allowed_endpoints[0]",
        ),
        ("[providers.vertex-ai]\napi_keys = ['k']", "providers.vertex-ai"),
        ("[providers.openai]\nmap_hosted = ['mcp']", "providers.openai.map_hosted[0]"),
        ("[model_capabilities.'my-*']\nbudget_min = 'x'", "model_capabilities.my-*.budget_min"),
        ("[model_capabilities.'my-*']\nnothing = 1", "model_capabilities.my-*.nothing"),
        ("[rate_limit.models.'gpt-4*']\nrpm = 0", "rate_limit.models.gpt-4*.rpm"),
        ("[rate_limit.models.'gpt-4*']\nper_key_rpm = 1", "rate_limit.models.gpt-4*.per_key_rpm"),
        ("[providers.mine]\nformat = 'bedrock'", "providers.mine.format"),
        ("server = 1", "server"),
        ("endpoints = 3", "endpoints"),
        ("auth_keys = 3", "auth_keys"),
        ("[endpoints]\ndev = 3", "endpoints.dev"),
        ("host_port = 'abc'", "host_port"),
        ("https_server = 1", "https_server"),
        ("https_server = true\nhttps_port = 70000\ntls_cert_path = 'c'", "https_port"),
        ("https_server = true\ntls_cert_path = 'c'", "tls_cert_path"),
        ("[state]\nurl = 'postgresql://x'", "state.url"),
        ("[state]\nurl = 'redis://'", "state.url"),
        ("[state]\nurl = 'rediss://x?ssl_ca_certs=nowhere.pem'", "state.url"),
    ],
)
def test_a_problem_stands_at_its_place(tmp_path: Path, text: str, path: str) -> None:
    assert path in problems(tmp_path, text)


def test_every_bad_name_is_told_beside_what_is_wrong_in_its_table(tmp_path: Path) -> None:
    text = "[endpoints.v1]\ntarget_base='http://x'\n[endpoints.ws]\ntarget_base='bad'\n[endpoints.'a/b']\n"
    found = problems(tmp_path, text)
    assert {"endpoints.v1", "endpoints.ws", "endpoints.ws.target_base", "endpoints.a/b"} <= set(found)


def test_two_spellings_of_one_key_are_a_problem(tmp_path: Path) -> None:
    found = problems(tmp_path, "[server]\ntarget-base = 'http://x'\ntarget_base = 'http://y'\n")
    assert "twice" in found["server.target_base"]


def test_wrong_shapes_do_not_hide_what_tables_ask_of_one_another(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [server]
        prot = 1
        default_endpoint = "nope"
        [streaming]
        pace_ms = "x"
        [endpoints.a]
        [endpoints.b]
        kind = "cloudflare"
        [endpoints.c]
        provider = "opnai"
        [providers.openai]
        api_keys = ["env:NOPE"]
        """,
    )
    assert set(found) == {
        "server.prot",
        "server.default_endpoint",
        "streaming.pace_ms",
        "endpoints.a.target_base",
        "endpoints.b",
        "endpoints.c.provider",
        "providers.openai.api_keys[0]",
    }


def test_a_wrong_key_hides_nothing_that_has_nothing_to_do_with_it(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [[auth_keys]]
        name = "without a key"
        [state]
        url = "redi://x"
        [ledger]
        url = "mysql://x"
        [hooks]
        modules = ["nope.py"]
        [log]
        rotate = "daily"
        """,
    )
    assert {"auth_keys[0]", "state.url", "ledger.url", "hooks.modules[0]"} <= set(found)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "[x" + ".a" * 5_000 + "]", "a = " + "{a=" * 50_000])
def test_a_file_that_is_nested_too_deep_is_refused(tmp_path: Path, text: str) -> None:
    assert "too deep" in " ".join(problems(tmp_path, text).values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # the kind is what decides whether a target is needed
        ("[endpoints.a]\nkind = 'cloudflre'", {"endpoints.a.kind"}),
        ("[endpoints.a]\ntarget_base = 'x'", {"endpoints.a.target_base"}),
        ("[server]\ntarget_base = 'x'\n[endpoints.a]", {"server.target_base"}),
        ("[endpoints.a]\nkind = 'cloudflare'\n[[gateways]]\naccount_id = 'a'", {"gateways[0].gateway_id"}),
        ("[endpoints.a]\nprovider = 'x'\n[providers]\nx = 3", {"providers.x"}),
        ("[server]\ndefault_endpoint = 'v1'\n[endpoints.v1]\ntarget_base = 'http://x'", {"endpoints.v1"}),
        (f"auth_keys = 3\n[server]\nhost = '0.0.0.0'\n{GATEWAY}", {"auth_keys"}),
        ("[server]\nproxy_url = 'env:NOPE'", {"server.proxy_url"}),
        (
            "[providers.x]\napi_keys = ['env:A', 'env:B']",
            {"providers.x.api_keys[0]", "providers.x.api_keys[1]"},
        ),
        ("[[auth_keys]]\nname = 'a'\nkey = 'file:nope'", {"auth_keys[0].key"}),
    ],
)
def test_no_second_problem_is_guessed_from_the_first(tmp_path: Path, text: str, told: set[str]) -> None:
    assert set(problems(tmp_path, text)) == told


def test_no_problem_prints_a_secret(tmp_path: Path) -> None:
    text = """
        [server]
        proxy_url = "ftp://me:canary-one@p"
        [[gateways]]
        account_id = "a"
        gateway_id = "g"
        token = " canary-two"
        [providers.openai]
        api_keys = ["canary-three\\u0007", "canary-four", "canary-four"]
        [[auth_keys]]
        name = "a"
        key = "canary-five"
        key_hash = "canary-six"
        [[auth_keys]]
        name = "b"
        key = ["canary-seven"]
    """
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert "canary" not in str(caught.value) + repr(caught.value)


def test_one_key_under_two_names_is_a_problem(tmp_path: Path) -> None:
    text = "[[auth_keys]]\nname='a'\nkey='same'\n[[auth_keys]]\nname='b'\nkey='same'\n"
    assert problems(tmp_path, text) == {"auth_keys[1]": "has the same key as a"}


def test_a_port_from_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    assert set(problems(tmp_path, "host_port = 3000", port=70_000)) == {"server.port"}


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ({"ACCOUNT_ID": "a"}, "GATEWAY_ID"),
        ({"GATEWAY_ID": "g"}, "ACCOUNT_ID"),
        ({"ACCOUNT_ID": "a", "GATEWAY_ID": "g", "HOST_PORT": "x"}, "HOST_PORT"),
        ({"ACCOUNT_ID": "a/b", "GATEWAY_ID": "g"}, "ACCOUNT_ID"),
    ],
)
def test_a_problem_of_the_environment_names_its_variable(
    tmp_path: Path, env: dict[str, str], path: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.toml", env=env)
    assert path in [problem.path for problem in caught.value.problems]


def test_a_file_wins_over_the_cloudflare_proxys_environment(tmp_path: Path) -> None:
    config = loaded(tmp_path, FORWARD, {"ACCOUNT_ID": "a", "GATEWAY_ID": "g"})
    assert config.gateways == () and set(config.endpoints) == {"dev"}


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, env={})


def test_the_implied_endpoint_may_be_named_as_the_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"[server]\ndefault_endpoint = 'default'\n{GATEWAY}")
    assert config.default_endpoint == "default" and config.endpoints["default"].kind == "cloudflare"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (GATEWAY + "[providers.openai]\napi_keys = ['k']", "cloudflare"),
        ("[providers.openai]\napi_keys = ['k']", "gateway"),
        (GATEWAY + "[endpoints.default]\ntarget_base = 'http://x'", "forward"),
        (GATEWAY + "[server]\ndefault_endpoint = 'dev'\n" + FORWARD, None),
        ("[server]\ntarget_base = 'http://x'", None),
    ],
)
def test_what_is_implied(tmp_path: Path, text: str, kind: str | None) -> None:
    endpoints = loaded(tmp_path, text).endpoints
    assert (endpoints["default"].kind if "default" in endpoints else None) == kind


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ("target_base = 'http://own'", "http://own"),
        ("", "http://provider/v1"),
        ("provider = 'openai'", "https://api.openai.com/v1"),
        ("provider = 'unheard-of'", "http://server"),
    ],
)
def test_the_target_is_the_endpoints_own_then_its_providers_then_the_servers(
    tmp_path: Path, more: str, target: str
) -> None:
    provider = "" if "provider" in more else "provider = 'mine'"
    config = loaded(
        tmp_path,
        f"""
        [server]
        target_base = "http://server"
        [endpoints.dev]
        {more}
        {provider}
        [providers.mine]
        base_url = "http://provider/v1"
        [providers.openai]
        [providers.unheard-of]
        """,
    )
    assert config.target_of("dev") == target


@pytest.mark.parametrize(
    ("provider", "warned"),
    [("", True), ("api_keys=['k']\ndisabled=true", True), ("api_keys=['k']", False)],
)
def test_an_endpoint_whose_provider_has_nothing_to_send_is_warned_of(
    tmp_path: Path, provider: str, warned: bool
) -> None:
    config = loaded(tmp_path, f"[endpoints.dev]\nprovider = 'openai'\n[providers.openai]\n{provider}")
    assert any("no credential in use" in warning for warning in config.warnings) is warned


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_auth_keys(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, f"[server]\nhost = '{host}'\n{GATEWAY}").warnings == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "gateway.example"])
def test_other_addresses_do(tmp_path: Path, host: str) -> None:
    assert "server.host" in problems(tmp_path, f"[server]\nhost = '{host}'\n{GATEWAY}")
    loaded(tmp_path, f"auth_keys = []\n[server]\nhost = '{host}'\n{GATEWAY}")


def test_files_of_tls_are_read(tmp_path: Path) -> None:
    write_pair(tmp_path, ("localhost",), 3, force=False)
    (tmp_path / "text").write_text("no PEM")
    tls = "[server]\ntls_cert = '{}'\ntls_key = '{}'\n"
    loaded(tmp_path, tls.format("cert.pem", "key.pem"))
    assert set(problems(tmp_path, tls.format("text", "text"))) == {"server.tls_cert", "server.tls_key"}
    assert set(problems(tmp_path, tls.format("nope", "key.pem"))) == {"server.tls_cert"}
    assert set(problems(tmp_path, "[server]\ntls_key = 'key.pem'\n")) == {"server.tls_cert"}


def test_the_filter_knows_a_password_as_it_is_written_and_as_it_is_meant(tmp_path: Path) -> None:
    config = loaded(tmp_path, "[server]\nproxy_url = 'http://me:p%40ssword@p:1'\n")
    assert {"p%40ssword", "p@ssword"} <= {secret.reveal() for secret in config.secrets()}


def test_headers_of_a_cloak_may_refer_to_the_environment(tmp_path: Path) -> None:
    text = "[providers.openai.cloak]\nheaders = {x-team = 'env:TEAM'}\n"
    cloak = loaded(tmp_path, text, {"TEAM": "research"}).providers["openai"].cloak
    assert cloak is not None and cloak.headers["x-team"].reveal() == "research"


def test_an_alias_of_one_model_is_a_pool_of_one(tmp_path: Path) -> None:
    text = "[routing.aliases]\none = 'm'\ntwo = [{model = 'a', weight = 3}, {model = 'b'}]\n"
    aliases = loaded(tmp_path, text).routing.aliases
    assert [(one.model, one.weight) for one in aliases["one"]] == [("m", 1)]
    assert [(one.model, one.weight) for one in aliases["two"]] == [("a", 3), ("b", 1)]


@pytest.mark.parametrize("written", ["2027-01-02", "'2027-01-02'", "2027-01-02T00:00:00Z"])
def test_a_date_alone_is_its_first_moment_in_utc(tmp_path: Path, written: str) -> None:
    text = f"[[auth_keys]]\nname = 'a'\nkey = 'k'\nexpires_at = {written}\n"
    keys = loaded(tmp_path, text).auth_keys
    assert keys and keys[0].expires_at and keys[0].expires_at.isoformat() == "2027-01-02T00:00:00+00:00"


def test_the_description_says_which_proxy_each_part_goes_through(tmp_path: Path) -> None:
    told = describe(
        loaded(
            tmp_path,
            """
            [server]
            proxy_url = "http://server-proxy:1"
            [endpoints.a]
            target_base = "https://a.example"
            [endpoints.b]
            target_base = "https://b.example"
            proxy_url = ""
            [endpoints.c]
            target_base = "https://c.example"
            proxy_url = "socks5://me:hunter22@own-proxy:2"
            [providers.openai]
            api_keys = ["canary-key"]
            proxy_url = "http://me:hunter22@vendor-proxy:3"
            """,
        )
    )
    lines = {line.split()[0]: line for line in told.splitlines() if line.strip()}
    assert lines["/a"].endswith("https://a.example through http://server-proxy:1")
    assert lines["/b"].endswith("https://b.example directly")
    assert lines["/c"].endswith("through socks5://***@own-proxy:2")
    assert "through http://***@vendor-proxy:3" in lines["openai"]
    assert "hunter22" not in told and "canary" not in told
