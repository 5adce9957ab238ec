"""URL, token and key of a gateway are one unit, and nothing of a client's ends up where it must not."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.cloudflare import KEY_HEADERS, Aim, Form, Target, aim, segment_of
from llmitm.secret import Secret

CHAT, MESSAGES, GEMINI = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI
RESPONSES = Dialect.OPENAI_RESPONSES
KEY = Secret("sk-ours", "env:KEY")
COMPAT = Target(
    account_id="acc",
    gateway_id="gw",
    token=Secret("cf-token"),
    form="compat",
    unified_billing=False,
    base_url="https://gateway.example",
    rest_base_url="https://api.example",
)
NATIVE = replace(COMPAT, form="native")
REST = replace(COMPAT, form="rest")
HOST = "https://gateway.example/v1/acc/gw"


def put(made: Aim) -> dict[bytes, str]:
    return {name: secret.reveal() for name, secret in made.credential_headers}


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        (b"/v1/chat/completions", "/compat/chat/completions"),
        (b"/v1/chat/completions?a=1&b=%2F", "/compat/chat/completions?a=1&b=%2F"),
        (b"/chat/completions", "/compat/chat/completions"),
        (b"/v1/embeddings", "/compat/embeddings"),
        (b"/v1/responses", "/compat/responses"),
        (b"/v1/models", "/compat/models"),
        (b"/v1beta/models/m:generateContent", "/compat/v1beta/models/m:generateContent"),
        (b"/v1/files//x?", "/compat/files//x?"),
        (b"/v1/x/v1/y?next=/v1/z", "/compat/x/v1/y?next=/v1/z"),
    ],
)
def test_compat_keeps_the_path_and_the_query(rest: bytes, path: str) -> None:
    made = aim(COMPAT, rest, CHAT, "openai/gpt", None)
    assert made.url == HOST + path
    assert made.model is None


@pytest.mark.parametrize(
    ("dialect", "rest", "model", "path", "header", "renamed"),
    [
        (
            CHAT,
            b"/v1/chat/completions?x=1",
            "openai/gpt",
            "openai/chat/completions?x=1",
            b"authorization",
            "gpt",
        ),
        (CHAT, b"/v1/chat/completions", "gpt", "openai/chat/completions", b"authorization", None),
        (RESPONSES, b"/v1/responses", "gpt", "openai/responses", b"authorization", None),
        (MESSAGES, b"/v1/messages", "anthropic/claude", "anthropic/v1/messages", b"x-api-key", "claude"),
        (MESSAGES, b"/v1/messages", "claude", "anthropic/v1/messages", b"x-api-key", None),
        (
            GEMINI,
            b"/v1beta/models/gemini:generateContent",
            None,
            "google-ai-studio/v1beta/models/gemini:generateContent",
            b"x-goog-api-key",
            None,
        ),
        (
            CHAT,
            b"/v1/chat/completions",
            "groq/openai/oss",
            "groq/chat/completions",
            b"authorization",
            "openai/oss",
        ),
        (CHAT, b"/v1/chat/completions", "mistral/m", "mistral/v1/chat/completions", b"authorization", "m"),
        (
            CHAT,
            b"/v1/chat/completions",
            "grok/grok-4",
            "grok/v1/chat/completions",
            b"authorization",
            "grok-4",
        ),
        (
            CHAT,
            b"/v1/chat/completions",
            "workers-ai/@cf/meta/llama",
            "workers-ai/v1/chat/completions",
            b"authorization",
            "@cf/meta/llama",
        ),
        (CHAT, b"/v1/chat/completions", "custom-x/m", "custom-x/v1/chat/completions", b"authorization", "m"),
        (
            CHAT,
            b"/v1/chat/completions?api-version=1",
            "azure-openai/res/dep",
            "azure-openai/res/dep/chat/completions?api-version=1",
            b"api-key",
            "dep",
        ),
    ],
)
def test_native_keeps_each_providers_path_and_header(
    dialect: Dialect, rest: bytes, model: str | None, path: str, header: bytes, renamed: str | None
) -> None:
    made = aim(NATIVE, rest, dialect, model, KEY)
    assert made.url == f"{HOST}/{path}"
    assert made.model == renamed
    bearer = "Bearer sk-ours" if header == b"authorization" else "sk-ours"
    assert put(made) == {b"cf-aig-authorization": "Bearer cf-token", header: bearer}


@pytest.mark.parametrize(
    ("rest", "model", "path", "renamed"),
    [
        (b"/v1/chat/completions?x=1", "openai/gpt", "chat/completions?x=1", None),
        (b"/v1/chat/completions", "google-ai-studio/gemini", "chat/completions", "google/gemini"),
        (b"/v1/chat/completions", "grok/grok-4", "chat/completions", "xai/grok-4"),
        (b"/v1/responses", "gpt", "responses", None),
        (b"/v1/messages", "anthropic/claude-x.y", "messages", None),
        (b"/chat/completions", "workers-ai/@cf/meta/llama", "chat/completions", "@cf/meta/llama"),
    ],
)
def test_rest_takes_cloudflares_token_and_no_providers_key(
    rest: bytes, model: str, path: str, renamed: str | None
) -> None:
    made = aim(REST, rest, CHAT, model, KEY)
    assert made.url == f"https://api.example/client/v4/accounts/acc/ai/v1/{path}"
    assert put(made) == {b"authorization": "Bearer cf-token"}
    assert made.add_headers == ((b"cf-aig-gateway-id", b"gw"),)
    assert made.drop_headers >= KEY_HEADERS | {b"cf-aig-authorization", b"cf-aig-gateway-id"}
    assert made.model == renamed


@pytest.mark.parametrize(
    "rest", [b"/v1/models", b"/v1/messages/count_tokens", b"/run", b"/v1/chat/completions/x"]
)
def test_rest_has_three_paths(rest: bytes) -> None:
    with pytest.raises(Refused) as raised:
        aim(REST, rest, CHAT, "openai/gpt", None)
    assert raised.value.status == 404


@pytest.mark.parametrize("target", [COMPAT, NATIVE], ids=["compat", "native"])
def test_the_clients_key_stays_where_there_is_none_of_ours(target: Target) -> None:
    made = aim(target, b"/v1/chat/completions", CHAT, "openai/gpt", None)
    assert not made.drop_headers & KEY_HEADERS
    assert put(made) == {b"cf-aig-authorization": "Bearer cf-token"}
    assert aim(target, b"/v1/chat/completions", CHAT, "openai/gpt", KEY).drop_headers >= KEY_HEADERS


@pytest.mark.parametrize("target", [COMPAT, NATIVE], ids=["compat", "native"])
def test_the_gateways_token_is_ours_where_we_have_one(target: Target) -> None:
    path = b"/v1/chat/completions"
    assert b"cf-aig-authorization" in aim(target, path, CHAT, "openai/gpt", None).drop_headers
    open_gateway = aim(replace(target, token=None), path, CHAT, "openai/gpt", None)
    assert b"cf-aig-authorization" not in open_gateway.drop_headers
    assert open_gateway.credential_headers == ()


@pytest.mark.parametrize("target", [COMPAT, NATIVE], ids=["compat", "native"])
def test_cloudflares_own_bill_is_ruled_out_unless_it_is_wanted(target: Target) -> None:
    path = b"/v1/chat/completions"
    strict = aim(target, path, CHAT, "openai/gpt", None)
    assert strict.add_headers == ((b"cf-aig-no-wholesale", b"true"),)
    assert b"cf-aig-no-wholesale" in strict.drop_headers
    billed = aim(replace(target, unified_billing=True), path, CHAT, "openai/gpt", None)
    assert billed.add_headers == ()
    assert b"cf-aig-no-wholesale" not in billed.drop_headers, "the client may still be stricter"


@pytest.mark.parametrize("form", ["compat", "native", "rest"])
def test_what_clients_say_to_the_gateway_goes_through(form: Form) -> None:
    made = aim(replace(COMPAT, form=form), b"/v1/chat/completions", CHAT, "openai/gpt", KEY)
    assert {name for name in made.drop_headers if name.startswith(b"cf-aig-")} <= {
        b"cf-aig-authorization",
        b"cf-aig-no-wholesale",
        b"cf-aig-gateway-id",
    }


def test_secrets_keep_their_reference_and_do_not_print() -> None:
    made = aim(COMPAT, b"/v1/chat/completions", CHAT, "openai/gpt", KEY)
    assert [secret.reference for _, secret in made.credential_headers] == [None, "env:KEY"]
    assert "sk-ours" not in repr(made) and "cf-token" not in repr(made)


@pytest.mark.parametrize(
    ("model", "form", "segment"),
    [
        ("openai/gpt", "compat", "openai"),
        ("groq/openai/oss", "compat", "groq"),
        ("gpt-4o", "compat", None),  # no provider called gpt-4o
        (None, "compat", None),
        ("claude", "native", "anthropic"),
        (None, "rest", None),
    ],
)
def test_the_provider_is_the_models_first_segment(model: str | None, form: Form, segment: str | None) -> None:
    assert segment_of(model, MESSAGES, form) == segment


@pytest.mark.parametrize(
    "model",
    [
        "/gpt",
        "../gpt",
        "%2e%2e/gpt",
        "a?b/gpt",
        "a#b/gpt",
        "a b/gpt",
        "ü/gpt",
        "a\n/gpt",
        "a%2fb/gpt",
        "azure-openai/res",
        "azure-openai/res/..",
        "azure-openai/../dep",
        "azure-openai//dep",
        "azure-openai/r?x/dep",
    ],
)
def test_a_model_that_is_no_segment_of_a_path_is_refused(model: str) -> None:
    with pytest.raises(Refused) as raised:
        aim(NATIVE, b"/v1/chat/completions", CHAT, model, KEY)
    assert (raised.value.status, raised.value.code) == (400, "invalid_model")


@given(
    st.text(),
    st.sampled_from(["", "openai/", "azure-openai/res/"]),
    st.sampled_from(["compat", "native", "rest"]),
)
def test_no_model_leaves_its_gateway(name: str, before: str, form: Form) -> None:
    """Whatever is called a model, the request goes to a path below this gateway with this query."""
    try:
        made = aim(replace(COMPAT, form=form), b"/v1/chat/completions?x=1", CHAT, before + name, KEY)
    except Refused as refused:
        assert refused.status == 400
        return
    url = urlsplit(made.url)
    assert (url.query, url.fragment) == ("x=1", "")
    assert url.path.endswith("/chat/completions")
    assert not {"..", "."} & set(url.path.split("/"))
    assert made.url.isascii() and " " not in made.url
    if form == "native":
        assert url.path.startswith("/v1/acc/gw/")
    else:
        fixed = {"rest": "/client/v4/accounts/acc/ai/v1", "compat": "/v1/acc/gw/compat"}
        assert url.path == fixed[form] + "/chat/completions"


@pytest.mark.parametrize("rest", [b"/v1/../../other/gw2/compat/x", b"/%2e%2e/x", b"/v1/..", b"/..%2fx"])
@pytest.mark.parametrize("form", ["compat", "native"])
def test_no_path_leaves_its_gateway(rest: bytes, form: Form) -> None:
    with pytest.raises(Refused) as raised:
        aim(replace(COMPAT, form=form), rest, CHAT, "openai/gpt", KEY)
    assert raised.value.status == 400


def test_names_of_gateways_are_escaped() -> None:
    odd = replace(COMPAT, account_id="a/b?", gateway_id="g#w")
    made = aim(odd, b"/v1/chat/completions", CHAT, "openai/gpt", None)
    assert made.url == "https://gateway.example/v1/a%2Fb%3F/g%23w/compat/chat/completions"
