"""The examples of docs/hooks.md in a running gateway, asked by an official client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

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
modules = ["my_rules.py", "my_replies.py"]
[providers.openai]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-first-provider-key"]
"""


@pytest.fixture(scope="module")
def hooked(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("hooked")
    for name, source in EXAMPLES.items():
        (folder / name).write_text(source)
    with Gateway(CONFIG.format(url=provider.url, comment=""), folder) as running:
        yield running


@pytest.fixture
def sdk(hooked: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hooked.url}/all/v1", api_key="none", max_retries=0) as made:
        yield made


def test_a_word_is_refused_in_the_clients_dialect(sdk: openai.OpenAI, provider: Backstage) -> None:
    provider.forget()
    with pytest.raises(openai.PermissionDeniedError) as caught:
        sdk.chat.completions.create(model="gpt-demo", messages=[{"role": "user", "content": "say xyzzy"}])
    assert caught.value.code == "refused_by_hook"
    assert provider.new == 0


def test_a_request_and_its_reply_are_changed(sdk: openai.OpenAI, provider: Backstage) -> None:
    provider.forget()
    reply = sdk.chat.completions.create(
        model="gpt-demo",
        messages=[{"role": "user", "content": "hello"}],
        extra_headers={"X-Team": "docs"},
    )
    assert (reply.model_extra or {})["checked"] is True
    sent = provider.received()
    assert json.loads(sent.body)["temperature"] == 0
    assert (b"x-checked", b"yes") in [(name.lower(), value) for name, value in sent.headers]


def test_a_stream_passes(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(
        model="gpt-demo", messages=[{"role": "user", "content": "hello"}], stream=True
    ) as stream:
        assert "".join(one.choices[0].delta.content or "" for one in stream if one.choices)


def test_a_reload_takes_changed_modules_and_keeps_them_where_one_is_broken(
    hooked: Gateway, sdk: openai.OpenAI, provider: Backstage
) -> None:
    rules = hooked.folder / "my_rules.py"

    def say(comment: str, source: str) -> None:
        rules.write_text(source)
        hooked.config_path.write_text(CONFIG.format(url=provider.url, comment=f"# {comment}"))

    say("broken", "def on_request(:\n")
    hooked.wait_for(r"my_rules\.py, line 1")
    with pytest.raises(openai.PermissionDeniedError):
        sdk.chat.completions.create(model="gpt-demo", messages=[{"role": "user", "content": "xyzzy"}])
    answers = 'return Reply(body={"id": "made", "choices": []})'
    say("whole", f"from llmitm.hooks import Reply\ndef on_request(request):\n    {answers}\n")
    hooked.wait_for(r"changed hooks\.modules")
    made = sdk.chat.completions.create(model="gpt-demo", messages=[{"role": "user", "content": "xyzzy"}])
    assert made.id == "made"
