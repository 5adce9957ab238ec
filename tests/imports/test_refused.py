"""Files that cannot be read, or say what cannot be: refused with the line, with nothing of them built."""

from __future__ import annotations

import time

import pytest

from llmitm.errors import ConfigError
from llmitm.imports.bring import bring
from llmitm.imports.parse import MOST_BYTES

BOMB = "\n".join(
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]",
        *(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "model_list: *i",
    ]
)


def refused(text: str | bytes, source: str = "config.yaml", kind: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        bring(text if isinstance(text, bytes) else text.encode(), source, kind=kind)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        ("c.yaml", "model_list:\n  - model_name: [a\nb: c\n", "line 3: not valid YAML: "),
        ("c.yaml", "model_list:\n\t- a\n", "line 2: not valid YAML: "),
        ("c.yaml", "api-keys: [a]\nport: 1\nport: 2\n", "line 3: port is there twice"),
        ("c.yaml", "port: !!python/object/apply:os.system [ls]\n", "line 1: the tag "),
        ("c.yaml", "port: !ENV ${PORT}\n", "line 1: the tag !ENV is not understood"),
        ("c.yaml", "port: !!binary aGVsbG8=\n", "line 1: the tag "),
        ("c.yaml", "? [a, b]\n: c\n", "line 1: a key is expected to be text"),
        ("c.yaml", "<<: [a]\nport: 1\n", "line 1: << is expected to name tables"),
        ("c.yaml", "a: *nowhere\n", "line 1: not valid YAML: "),
        ("c.yaml", "a: 1\n---\nb: 2\n", "line 2: not valid YAML: "),
        ("c.yaml", "a: \x07\n", "line 1: not valid YAML: "),
        ("c.yaml", "- a\n- b\n", "a table is expected at the top"),
        ("c.yaml", "a: 1" + "0" * 5000 + "\n", "line 1: a number stands there that is none"),
        ("c.yaml", "a: &a {b: *a}\nmodel_list: []\n", "an alias stands for itself"),
        ("c.yaml", "a: " + "[" * 1000, "nested too deeply"),
        ("c.yaml", "a: " + "{a: " * 100 + "1" + "}" * 100, "nested too deeply"),
        ("c.yaml", "\n# nothing\n", "a table is expected at the top"),
        ("c.yaml", " \n", "is empty"),
        ("c.toml", "[server]\nport = \n", "line 2: not valid TOML: "),
        ("c.toml", "[a]\n[a]\n", "not valid TOML: "),
        ("c.json", '{"provider": "openai",\n"a" 1}', "line 2: not valid JSON: "),
        ("c.json", '{"a": {"b": 1, "b": 2}}', "b: is there twice in one object"),
        ("c.json", '{"a": ' + "[" * 100_000, "nested too deeply"),
        ("c.json", '{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "nested too deeply"),
        ("c.json", '{"a": 1' + "0" * 5_000 + "}", "holds an endless number"),
        ("c.json", '{"provider": "\\ud800"}', "half of a sign stands there"),
        ("c.yaml", 'host: "\\ud800"', "half of a sign stands there"),
        ("c.json", "[]", "a table is expected at the top"),
        (".env", "ACCOUNT_ID=a\nwhat is this\n", "line 2: NAME=value is expected"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(source: str, text: str, words: str) -> None:
    assert words in refused(text, source)


@pytest.mark.parametrize(
    ("source", "text", "reason"),
    [
        (
            "c.yaml",
            "model_list:\n- model_name: a\n  litellm_params: {model: bedrock/anthropic.claude}\n",
            "model_list[0].litellm_params (line 3): bedrock needs signed requests",
        ),
        ("c.json", '{"targets": [{"provider": "vertex-ai"}]}', "targets[0]: vertex-ai needs signed requests"),
        ("c.json", '{"targets": [{"provider": "nobody"}]}', "the provider nobody is not known here"),
    ],
)
def test_where_nobody_is_left_each_is_told_with_its_reason(source: str, text: str, reason: str) -> None:
    told = refused(text, source)
    assert "is left that could be asked" in told and reason in told


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    assert "line 2: not valid UTF-8" in refused(b"a: 1\nb: \xff\n")


def test_what_is_larger_than_any_configuration_is_not_read() -> None:
    assert "is larger than 1024 KiB" in refused(b"a: 1\n" + b"#" * MOST_BYTES)


@pytest.mark.parametrize(
    ("text", "words"),
    [(BOMB, "aliases make it larger"), ("a: " + "[" * 100_000, "nested too deeply")],
    ids=["a billion values", "nested"],
)
def test_bombs_are_refused_at_once(text: str, words: str) -> None:
    started_s = time.process_time()
    assert words in refused(text)
    assert time.process_time() - started_s < 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server:\n  x: 1\n", "is of no kind that is known; say --from snake or llm-api-proxy or "),
        (
            "api-keys: [a]\nclaude-api-key: []\n",
            "may be of several kinds; say --from ai-proxy or cliproxyapi",
        ),
    ],
)
def test_a_kind_that_is_not_clear_is_asked_for(text: str, words: str) -> None:
    assert words in refused(text)


def test_the_kind_that_is_said_counts() -> None:
    text = b"api-keys: [a]\nclaude-api-key: [{api-key: k}]\n"
    assert [bring(text, "c.yaml", kind=kind).kind for kind in ("ai-proxy", "cliproxyapi")] == [
        "ai-proxy",
        "CLIProxyAPI",
    ]


@pytest.mark.parametrize(
    "text", ["[[auth_keys]]\nname = 'a'\nkey = 'k'\n", "[endpoints.a]\nkind = 'gateway'\n[server]\n"]
)
def test_a_configuration_of_our_own_is_not_imported(text: str) -> None:
    assert "is a configuration of llmitm's own already" in refused(text, "config.toml")


def test_a_kind_has_its_formats() -> None:
    assert "is toml; LiteLLM has yaml or json" in refused("a = 1", "config.toml", "litellm")


@pytest.mark.parametrize(
    ("source", "kind", "text", "problems"),
    [
        (
            "c.yaml",
            "ai-proxy",
            "port: eighty\nhost: [a]\nrouting: {strategy: random}\ntls: {enable: true}\nopenai-api-key: "
            "[k]\n",
            [
                "host (line 2): text is expected",
                "openai-api-key[0] (line 5): a table is expected",
                "port (line 1): a number is expected",
                "routing.strategy (line 3): round-robin or fill-first is expected",
                "tls (line 4): cert and key are expected where enable is true",
            ],
        ),
        (
            "c.yaml",
            "litellm",
            "model_list:\n  - model_name: a\n  - 3\nlitellm_settings:\n  num_retries: -1\n",
            [
                "litellm_settings.num_retries (line 5): a whole number from 0 is expected",
                "model_list (line 1): no model is left that could be asked for",
                "model_list[0] (line 2): model_name and litellm_params.model are expected",
                "model_list[1] (line 3): a table is expected",
            ],
        ),
        (
            "c.toml",
            "snake",
            "host_port = 1",
            ["gateways: at least one is expected, with account_id and gateway_id"],
        ),
        (
            "c.toml",
            "snake",
            "[[gateways]]\naccount_id = 'a'",
            [
                "gateways[0]: account_id and gateway_id are expected",
                "gateways: at least one is expected, with",
            ],
        ),
        ("c.toml", "llm-api-proxy", "[server]", ["endpoints: at least one [endpoints.NAME] is expected"]),
        (".env", "cloudflare-proxy", "ACCOUNT_ID=a", ["GATEWAY_ID: is expected, and written out"]),
        ("c.json", "portkey", '{"cache": false}', ["no target is left that could be asked"]),
        (
            "c.yaml",
            "cliproxyapi",
            "tls: true\nopenai-compatibility: {}\napi-keys: [{a: b}]\n",
            [
                "api-keys[0] (line 3): text is expected",
                "openai-compatibility (line 2): a list is expected",
                "tls (line 1): a table is expected",
            ],
        ),
    ],
)
def test_values_that_cannot_be_are_told_all_at_once(
    source: str, kind: str, text: str, problems: list[str]
) -> None:
    told = refused(text, source, kind)
    assert [line for line in problems if line not in told] == []
    assert told.count("\n") == len(problems)
