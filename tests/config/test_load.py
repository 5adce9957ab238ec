"""From files and the environment to a configuration, or to every problem at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmitm.cli.certs import write_pair
from llmitm.config.describe import describe
from llmitm.config.load import load, load_to_look
from llmitm.config.path import find
from llmitm.config.raw import dotenv
from llmitm.config.schema import Config
from llmitm.errors import ConfigError
from llmitm.exchange import Dialect

SNAKE = """
host_port = 3100
https_server = false
tls_cert_path = "cert.pem"
tls_key_path = "key.pem"
[[gateways]]
account_id = "your-cloudflare-account-id-1"
gateway_id = "your-gateway-id"
token = "your-gateway-token-1"
[[gateways]]
account_id = "your-cloudflare-account-id-2"
gateway_id = "your-gateway-id"
token = "your-gateway-token-2"
[providers.openai]
api_keys = ["sk-proj-one", "sk-proj-two"]
test_model = "openai/gpt-4o-mini"
"""

FORWARD = '[endpoints.dev]\ntarget_base = "https://api.example.com"\n'


def loaded(tmp_path: Path, text: str, env: dict[str, str] | None = None, **options: object) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load(path, env=env or {}, **options)  # type: ignore[arg-type]


def problems(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, env)
    return [str(problem) for problem in caught.value.problems]


def test_a_configuration_of_snake_keeps_its_meaning(tmp_path: Path) -> None:
    config = loaded(tmp_path, SNAKE)
    assert (config.server.host, config.server.port) == ("127.0.0.1", 3100)
    assert config.server.tls_cert is None
    assert config.endpoints["default"].kind == "cloudflare"
    assert config.default_endpoint == "default"
    assert [credential.api_key.reveal() for credential in config.providers["openai"].credentials] == [
        "sk-proj-one",
        "sk-proj-two",
    ]


def test_snakes_https_server_uses_its_https_port(tmp_path: Path) -> None:
    write_pair(tmp_path, ("localhost",), 3, force=False)
    config = loaded(tmp_path, SNAKE.replace("https_server = false", "https_server = true"))
    assert config.server.port == 443
    assert config.server.tls_cert == tmp_path / "cert.pem"


def test_a_configuration_of_llm_api_proxy_keeps_its_meaning(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        [server]
        target_base = "https://api.anthropic.com"
        [endpoints.a]
        proxy_url = "http://localhost:8080"
        [endpoints.b]
        target_base = "https://api.openai.com/v1"
        """,
    )
    assert config.server.port == 8811
    assert config.target_of("a") == "https://api.anthropic.com"
    assert config.target_of("b") == "https://api.openai.com/v1"
    assert config.default_endpoint is None


def test_the_cloudflare_proxys_environment_alone_makes_an_endpoint(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('ACCOUNT_ID="acc"\nexport GATEWAY_ID=gate # mine\nHOST_PORT=4000\n')
    config = load(tmp_path / "config.toml", env={})
    assert config.server.port == 4000
    assert (config.gateways[0].account_id, config.gateways[0].gateway_id) == ("acc", "gate")
    assert config.endpoints["default"].kind == "cloudflare"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ACCOUNT_ID=acc", "acc"),
        ("  export ACCOUNT_ID = acc  # mine", "acc"),
        ("ACCOUNT_ID='acc'  # mine", "acc"),
        ('ACCOUNT_ID="a # c"', "a # c"),
        ("ACCOUNT_ID=a#c", "a#c"),
        ("ACCOUNT_ID=\"a'c\" # it's mine", "a'c"),
    ],
)
def test_values_of_an_environment_file_lose_quotes_and_comments(
    tmp_path: Path, line: str, value: str
) -> None:
    (tmp_path / ".env").write_text(line + "\nGATEWAY_ID=gate\n")
    found = dotenv(tmp_path / ".env")
    assert found == {"ACCOUNT_ID": value, "GATEWAY_ID": "gate"}


def test_the_log_lies_beside_the_configuration_in_a_folder_that_is_there(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[log]\nfile = "llmitm.log"').log.file == tmp_path / "llmitm.log"
    assert problems(tmp_path, '[log]\nfile = "logs/llmitm.log"') == [
        f"log.file: there is no folder {tmp_path / 'logs'}"
    ]


def test_everything_wrong_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        [servr]
        [server]
        target_bas = "x"
        port = "abc"
        proxy_url = "ftp://user:hunter2@x"
        [endpoints.a]
        target-base = "nope"
        kind = "forwrd"
        [providers.openai]
        api_keys = ["env:NOPE", ""]
        [[gateways]]
        account_id = "a/b"
        """,
    )
    text = "\n".join(found)
    for words in (
        "servr: unknown key; did you mean server?",
        "server.target_bas: unknown key; did you mean target_base?",
        "server.port: a whole number is expected",
        "server.proxy_url: a proxy URL is expected",
        "endpoints.a.target_base: an absolute URL is expected",
        "endpoints.a.kind:",
        "providers.openai.api_keys[0]: the environment variable NOPE is not set",
        "providers.openai.api_keys[1]: must not be empty",
        "gateways[0].account_id:",
        "gateways[0].gateway_id: is missing",
    ):
        assert words in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server\n", "line 1, column"),
        (b"a = '\xff'".decode("latin-1"), "unknown key"),
        ("[endpoints.v1]\ntarget_base='http://x'", "reserved"),
        ("[endpoints.'a/b']\ntarget_base='http://x'", "path segment"),
        ("[endpoints.a]", "endpoints.a.target_base: is missing"),
        ("[endpoints.a]\ntarget_base='http://u:p@x'", "user information"),
        ("[endpoints.a]\ntarget_base='http://x?y=1'", "query"),
        ("[endpoints.a]\nkind='cloudflare'", "needs at least one [[gateways]]"),
        ("[endpoints.a]\nprovider='opnai'\n[providers.openai]\napi_keys=['k']", "did you mean openai?"),
        ("[server]\ndefault_endpoint='x'", "there is no [endpoints.x]"),
        ("[server]\ntls_cert='x.pem'", "server.tls_key: is missing"),
        ("[providers.vertex]\napi_keys=['k']", "signed requests"),
        ("[providers.x]\nformat='opnai'", "is expected"),
        ("[providers.x]\napi_keys=['same','same']", "two credentials are called"),
        ("[[auth_keys]]\nname='a'", "exactly one of key and key_hash"),
        ("[[auth_keys]]\nname='a'\nkey='k'\nexpires_at='soon'", "date"),
        ("[timeouts]\nidle_s=0", "greater than 0"),
        ("[server]\nport=70000", "less than or equal to 65535"),
    ],
)
def test_problems(tmp_path: Path, text: str, words: str) -> None:
    assert words in "\n".join(problems(tmp_path, text))


def test_invalid_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(ConfigError, match="line 2: not valid UTF-8"):
        load(path, env={})


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ("", True),
        ("allow_anonymous = true", False),
        ("\n[[auth_keys]]\nname='a'\nkey='secret-key'", False),
    ],
)
def test_credentials_are_not_offered_to_a_network_without_keys(
    tmp_path: Path, more: str, refused: bool
) -> None:
    text = f"[[gateways]]\naccount_id='a'\ngateway_id='g'\ntoken='t'\n[server]\nhost='0.0.0.0'\n{more}"
    if refused:
        assert "open to everyone" in "\n".join(problems(tmp_path, text))
    else:
        assert loaded(tmp_path, text).server.host == "0.0.0.0"


def test_a_forward_endpoint_without_credentials_may_be_public_with_a_warning(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"[server]\nhost='0.0.0.0'\n{FORWARD}")
    assert "anyone who reaches" in config.warnings[0]


def test_no_auth_keys_and_an_empty_list_are_not_the_same(tmp_path: Path) -> None:
    assert loaded(tmp_path, FORWARD).auth_keys is None
    assert loaded(tmp_path, f"auth_keys = []\n{FORWARD}").auth_keys == ()


def test_what_wins_for_the_port(tmp_path: Path) -> None:
    text = f"[server]\nport = 1111\n{FORWARD}"
    assert loaded(tmp_path, text).server.port == 1111
    assert loaded(tmp_path, text, {"PORT": "2222"}).server.port == 2222
    assert loaded(tmp_path, text, {"PORT": "2222"}, port=3333).server.port == 3333
    assert "PORT: a port is expected" in "\n".join(problems(tmp_path, text, {"PORT": "x"}))
    assert find(None, {"CONFIG_PATH": "a.toml"}) == Path("a.toml")
    assert find(Path("b.toml"), {"CONFIG_PATH": "a.toml"}) == Path("b.toml")


def test_secrets_keep_their_reference_and_are_known_to_the_filter(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    config = loaded(
        tmp_path,
        """
        [server]
        proxy_url = "http://user:proxy-password@p:1"
        [providers.openai]
        api_keys = ["env:K", "file:key"]
        """,
        {"K": "from-the-environment"},
    )
    keys = [credential.api_key for credential in config.providers["openai"].credentials]
    assert [key.reveal() for key in keys] == ["from-the-environment", "from-a-file"]
    assert [key.reference for key in keys] == ["env:K", "file:key"]
    known = {secret.reveal() for secret in config.secrets()}
    assert {"from-the-environment", "from-a-file", "proxy-password"} <= known
    assert "from-" not in repr(config)


def test_hyphens_are_underscores_in_keys_but_not_in_names(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        [server]
        body-limit-mb = 5
        [endpoints.my-dev]
        target-base = "http://x"
        [providers.my-own]
        base-url = "http://y"
        api-keys = ["k"]
        headers = {"X-Own-Header" = "v"}
        [routing.aliases]
        my-fast-model = "gpt-4o"
        [rate-limit]
        per-key-rpm = 3
        [rate-limit.models.my-limited-model]
        rpm = 2
        """,
    )
    assert config.server.body_limit_mb == 5
    assert "my-dev" in config.endpoints
    assert list(config.providers["my-own"].headers) == ["X-Own-Header"]
    assert "my-fast-model" in config.routing.aliases
    assert config.rate_limit.per_key_rpm == 3
    assert config.rate_limit.models["my-limited-model"].rpm == 2


def test_credentials_inherit_and_override(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        [providers.openai]
        weight = 2
        proxy_url = "http://p:1"
        api_keys = ["first-key"]
        [[providers.openai.credentials]]
        api_key = "second-key"
        name = "mine"
        proxy_url = ""
        """,
    )
    first, second = config.providers["openai"].credentials
    assert (first.weight, second.weight) == (2, 2)
    assert first.name.startswith("openai-") and len(first.name) == len("openai-") + 8
    assert second.name == "mine"
    assert first.proxy_url and second.proxy_url is not None and not second.proxy_url


@pytest.mark.parametrize(
    ("name", "options", "dialect"),
    [
        ("openai", {}, Dialect.OPENAI_CHAT),
        ("anthropic", {}, Dialect.ANTHROPIC_MESSAGES),
        ("mine", {"base_url": "http://x"}, Dialect.OPENAI_CHAT),
        ("gemini", {"base_url": "http://x"}, Dialect.GEMINI),
        ("groq", {"wire_api": "responses"}, Dialect.OPENAI_RESPONSES),
        ("mine", {"format": "claude", "base_url": "http://x"}, Dialect.ANTHROPIC_MESSAGES),
    ],
)
def test_the_dialect_of_a_provider(
    tmp_path: Path, name: str, options: dict[str, str], dialect: Dialect
) -> None:
    more = "\n".join(f'{key} = "{value}"' for key, value in options.items())
    config = loaded(tmp_path, f'[providers.{name}]\napi_keys = ["k"]\n{more}')
    assert config.providers[name].dialect(name) is dialect


def test_a_certificate_and_a_foreign_key_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "a", ("localhost",), 3, force=False)
    write_pair(tmp_path / "b", ("localhost",), 3, force=False)
    found = problems(tmp_path, "[server]\ntls_cert='a/cert.pem'\ntls_key='b/key.pem'")
    assert "does not belong to the certificate" in found[0]


def test_dates_of_keys(tmp_path: Path) -> None:
    config = loaded(tmp_path, "[[auth_keys]]\nname='a'\nkey='k'\nexpires_at=2027-01-02")
    assert config.auth_keys and config.auth_keys[0].expires_at == datetime(2027, 1, 2, tzinfo=UTC)


def test_the_description_names_what_runs_and_no_secret(tmp_path: Path) -> None:
    text = SNAKE + '[server]\nproxy_url = "http://user:hunter22@proxy.example:3128"\n' + FORWARD
    told = describe(loaded(tmp_path, text))
    for words in ("http://127.0.0.1:3100", "Cloudflare AI Gateway", "your...id-1", "***@proxy.example:3128"):
        assert words in told
    for secret in ("sk-proj-one", "your-gateway-token-1", "hunter22"):
        assert secret not in told


@pytest.mark.parametrize(
    ("text", "unset"),
    [
        (
            "[providers.openai]\napi_keys = ['env:A', 'env:B']\n[[auth_keys]]\nname = 'a'\nkey = 'env:C'\n",
            None,
        ),
        ("[providers.openai]\napi_keys = ['env:A']\n[ledger]\nurl = 'env:LEDGER'\n", "ledger.url"),
        ("[providers.openai]\napi_keys = ['env:A']\nproxy_url = 'env:PROXY'\n", "providers.openai.proxy_url"),
        ("[providers.openai]\napi_keys = ['env:A']\nformat = 'x'\n", "providers.openai.format"),
    ],
)
def test_who_only_looks_needs_no_keys(tmp_path: Path, text: str, unset: str | None) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load(path, env={})
    if unset is None:
        assert load_to_look(path, env={}).providers
    else:
        with pytest.raises(ConfigError) as caught:
            load_to_look(path, env={})
        assert {"providers.openai.api_keys[0]", unset} <= {one.path for one in caught.value.problems}
