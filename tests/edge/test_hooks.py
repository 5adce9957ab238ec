"""The examples of docs/hooks.md in a running mitmdump, asked by official clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"
EXAMPLES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL))
CONFIG = """{comment}
[server]
port = 0
[endpoints.all]
kind = "gateway"
[hooks]
modules = ["my_rules.py", "my_attempts.py", "my_deltas.py", "my_replies.py"]
[retry]
cooldowns = false
[[providers.openai.credentials]]
api_key = "sk-first-provider-key"
name = "world"
[[providers.openai.credentials]]
api_key = "sk-second-provider-key"
name = "europe"
[providers.openai]
base_url = "{url}/v1"
format = "openai-chat"
"""
HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def hooked(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("hooked")
    for name, source in EXAMPLES.items():
        (folder / name).write_text(source)
    options = ("-s", str(folder / "my_addon.py"))
    with Gateway(CONFIG.format(url=provider.url, comment=""), folder, options=options) as running:
        yield running


@pytest.fixture
def sdk(hooked: Gateway, provider: Backstage) -> Iterator[openai.OpenAI]:
    provider.forget()
    with openai.OpenAI(base_url=f"{hooked.url}/all/v1", api_key="none", max_retries=0) as made:
        yield made


def say(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_every_example_is_tried() -> None:
    assert set(EXAMPLES) == {"my_addon.py", *re.findall(r"my_\w+\.py", CONFIG)}


def test_a_word_is_refused_in_the_clients_dialect(
    sdk: openai.OpenAI, hooked: Gateway, provider: Backstage
) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        sdk.chat.completions.create(model="gpt-demo", messages=say("say xyzzy"))
    assert caught.value.code == "refused_by_hook"
    with anthropic.Anthropic(base_url=f"{hooked.url}/all", api_key="none", max_retries=0) as other:
        with pytest.raises(anthropic.PermissionDeniedError) as told:
            other.messages.create(
                model="gpt-demo", max_tokens=9, messages=[{"role": "user", "content": "xyzzy"}]
            )
    assert told.value.body == {
        "type": "error",
        "error": {"type": "permission_error", "message": "That word is not for models."},
        "request_id": told.value.response.headers["x-request-id"],
    }
    assert provider.new == 0


def test_an_answer_is_given_in_the_models_place(
    sdk: openai.OpenAI, hooked: Gateway, provider: Backstage
) -> None:
    asked = say("what are your opening hours?")
    whole = sdk.chat.completions.create(model="gpt-demo", messages=asked)
    assert whole.choices[0].message.content == "We open at nine."
    with sdk.chat.completions.create(model="gpt-demo", messages=asked, stream=True) as stream:
        assert "".join(one.choices[0].delta.content or "" for one in stream) == "We open at nine."
    with anthropic.Anthropic(base_url=f"{hooked.url}/all", api_key="none", max_retries=0) as other:
        with other.messages.stream(
            model="gpt-demo", max_tokens=9, messages=[{"role": "user", "content": "your opening hours?"}]
        ) as told:
            assert told.get_final_text() == "We open at nine."
    assert provider.new == 0


def test_a_request_and_its_reply_are_changed_and_an_addon_sees_both_legs(
    sdk: openai.OpenAI, hooked: Gateway, provider: Backstage
) -> None:
    reply = sdk.chat.completions.create(model="gpt-demo", messages=HELLO, extra_headers={"X-Team": "docs"})
    assert (reply.model_extra or {})["checked"] is True
    sent = provider.received()
    assert json.loads(sent.body)["temperature"] == 0
    assert json.loads(sent.body)["user"] == "nobody"
    assert sent.header(b"x-checked") == b"yes"
    assert (sent.header(b"x-asked-by"), sent.header(b"x-attempt")) == (b"an addon", b"1")
    assert (sent.header(b"authorization") or b"").startswith(b"Bearer sk-")
    hooked.wait_for("leg openai 200")


def test_a_credential_is_passed_over(sdk: openai.OpenAI, provider: Backstage) -> None:
    for number in range(1, 4):
        sdk.chat.completions.create(model="gpt-demo", messages=HELLO, extra_headers={"X-Team": "legal"})
        assert provider.received(number).header(b"authorization") == b"Bearer sk-second-provider-key"
    assert provider.new == 3


def test_a_streams_events_are_changed(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(model="gpt-demo", messages=HELLO, stream=True) as stream:
        said = "".join(one.choices[0].delta.content or "" for one in stream if one.choices)
    assert said == "The demo provider ***** you say: hello"
    reply = sdk.chat.completions.create(model="gpt-demo", messages=HELLO)
    assert (reply.model_extra or {})["streams"] >= 1  # what was told was shown once it was over


def test_an_addon_answers_in_the_providers_place_and_a_function_changes_the_error(
    sdk: openai.OpenAI, provider: Backstage
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.chat.completions.create(
            model="gpt-demo", messages=HELLO, extra_headers={"X-Offline": "1", "X-Debug": "1"}
        )
    assert caught.value.status_code == 503
    assert caught.value.response.headers["x-debug-attempts"] == "2"  # it was tried with the next credential
    assert caught.value.response.json()["help"] == "Ask the platform team."
    assert provider.new == 0


def test_a_saved_module_takes_effect_and_a_broken_one_leaves_the_old_one(
    hooked: Gateway, sdk: openai.OpenAI
) -> None:
    rules = hooked.folder / "my_rules.py"
    rules.write_text("def on_request(:\n")
    hooked.wait_for(r"my_rules\.py, line 1")
    hooked.wait_for("the one in force stays as it is")
    with pytest.raises(openai.PermissionDeniedError):
        sdk.chat.completions.create(model="gpt-demo", messages=say("xyzzy"))
    answers = 'return Reply(body={"id": "made", "choices": []})'
    rules.write_text(f"from llmitm.hooks import Reply\ndef on_request(request):\n    {answers}\n")
    hooked.wait_for(r"changed hooks\.modules")
    assert sdk.chat.completions.create(model="gpt-demo", messages=say("xyzzy")).id == "made"
