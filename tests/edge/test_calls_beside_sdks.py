"""Plain completions, vectors and counts through a running gateway, with the official clients."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

genai = pytest.importorskip("google.genai")
from google.genai import types as genai_types  # noqa: E402

CONFIG = """
retry = {{cooldowns = false, base_ms = 1}}
[server]
port = 0
[endpoints.all]
kind = "gateway"
[providers.plain]
base_url = "{url}/v1"
api_keys = ["sk-plain"]
models = [{{id = "gpt-3.5-turbo-instruct", alias = "via-completions"}}]
[providers.chat]
base_url = "{url}/v1"
format = "openai-chat"
api_keys = ["sk-chat", "sk-chat-2"]
completions = []
models = [
    {{id = "gpt-4.1", alias = "via-chat"}},
    {{id = "text-embedding-3-small", alias = "embeds-openai"}},
]
[providers.responses]
base_url = "{url}/v1"
format = "openai-responses"
api_keys = ["sk-responses"]
completions = []
models = [{{id = "gpt-5.2", alias = "via-responses"}}]
[providers.messages]
base_url = "{url}"
format = "anthropic-messages"
api_keys = ["sk-messages"]
models = [{{id = "claude-sonnet-4-6", alias = "via-messages"}}]
[providers.gemini]
base_url = "{url}"
api_keys = ["sk-gemini", "sk-gemini-2"]
models = [
    {{id = "gemini-3.8-flash", alias = "via-gemini"}},
    {{id = "gemini-embedding-001", alias = "embeds-gemini"}},
]
"""
CHATS = ("via-chat", "via-responses", "via-messages", "via-gemini")
SAID = "Grüße, schöne 🎈 Welt"
HEARD = f"The demo provider heard you say: {SAID}"


class Clients:
    """One of each."""

    def __init__(self, url: str) -> None:
        self.openai = openai.OpenAI(base_url=f"{url}/all/v1", api_key="none", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=f"{url}/all", api_key="none", max_retries=0)
        options = genai_types.HttpOptions(base_url=f"{url}/all")
        self.gemini = genai.Client(api_key="none", http_options=options)

    def count(self, kind: str, model: str, said: str) -> int | None:
        match kind:
            case "anthropic":
                messages: Any = [{"role": "user", "content": said}]
                return self.anthropic.messages.count_tokens(model=model, messages=messages).input_tokens
            case "openai":
                return self.openai.responses.input_tokens.count(model=model, input=said).input_tokens
            case _:
                told = self.gemini.models.count_tokens(model=model, contents=said)
                return int(told.total_tokens)


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("beside")
    with Gateway(CONFIG.format(url=provider.url), folder, host="serve") as made:
        yield made


@pytest.fixture(scope="module")
def all_clients(running: Gateway) -> Iterator[Clients]:
    made = Clients(running.url)
    yield made
    made.openai.close()
    made.anthropic.close()
    made.gemini.close()


@pytest.fixture
def clients(all_clients: Clients, provider: Backstage) -> Clients:
    provider.forget()
    return all_clients


# ---- completions


@pytest.mark.parametrize("model", ["via-completions", *CHATS])
def test_a_prompt_is_completed_by_any_upstream(clients: Clients, model: str) -> None:
    answer = clients.openai.completions.create(model=model, prompt=SAID, max_tokens=100)
    (choice,) = answer.choices
    assert (answer.object, choice.text, choice.finish_reason) == ("text_completion", HEARD, "stop")
    assert answer.id.startswith("cmpl-")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 10)


@pytest.mark.parametrize("model", ["via-completions", *CHATS])
def test_and_in_a_stream(clients: Clients, model: str) -> None:
    text = ""
    finish: str | None = None
    usage: Any = None
    chunks: Any = clients.openai.completions.create(
        model=model, prompt=SAID, max_tokens=100, stream=True, stream_options={"include_usage": True}
    )
    for chunk in chunks:
        assert chunk.object == "text_completion"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.text
            finish = choice.finish_reason or finish
    assert (text, finish) == (HEARD, "stop")
    assert usage is not None and usage.completion_tokens == 10


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_several_prompts_are_several_choices(clients: Clients, provider: Backstage, streams: bool) -> None:
    prompts = ["one", "two", "three"]
    texts = ["", "", ""]
    answer: Any = clients.openai.completions.create(
        model="via-messages", prompt=prompts, max_tokens=100, stream=streams
    )
    for one in answer if streams else [answer]:
        for choice in one.choices:
            texts[choice.index] += choice.text
    assert texts == [f"The demo provider heard you say: {one}" for one in prompts]
    assert provider.new == 3


def test_tokens_are_refused_in_words(clients: Clients) -> None:
    with pytest.raises(openai.BadRequestError, match="prompt: .* send the prompt as text"):
        clients.openai.completions.create(model="via-messages", prompt=[1, 2, 3])


# ---- vectors


def test_vectors_are_the_same_whoever_is_asked(clients: Clients) -> None:
    texts = [SAID, "two"]
    # of mere strings the library makes one content for some models, and one vector
    contents = [genai_types.Content(parts=[genai_types.Part(text=one)]) for one in texts]
    found: list[list[float]] = []
    for model in ("embeds-openai", "embeds-gemini"):
        told = clients.openai.embeddings.create(model=model, input=texts, dimensions=6)
        assert [one.index for one in told.data] == [0, 1]
        assert told.usage.prompt_tokens == 5
        assert told.model in (model, "text-embedding-3-small")
        found += [one.embedding for one in told.data]
        asked = genai_types.EmbedContentConfig(output_dimensionality=6)
        given = clients.gemini.models.embed_content(model=model, contents=contents, config=asked)
        found += [one.values for one in given.embeddings]
    assert all(len(one) == 6 for one in found)
    assert found[0:2] == found[2:4] == found[4:6] == found[6:8]


def test_vectors_may_come_packed(clients: Clients) -> None:
    plain = clients.openai.embeddings.create(model="embeds-gemini", input="one", encoding_format="float")
    body = {"model": "embeds-gemini", "input": "one", "encoding_format": "base64"}
    packed = clients.openai.post("/embeddings", body=body, cast_to=httpx.Response).json()
    told = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack("<8f", told)) == plain.data[0].embedding


def test_more_texts_than_gemini_takes_at_once(clients: Clients, provider: Backstage) -> None:
    texts = [f"text {n}" for n in range(250)]
    given = clients.openai.embeddings.create(model="embeds-gemini", input=texts)
    assert provider.new == 3
    alone = clients.openai.embeddings.create(model="embeds-gemini", input=texts[-1])
    assert [one.index for one in given.data] == list(range(250))
    assert given.data[-1].embedding == alone.data[0].embedding
    assert given.usage.prompt_tokens == 500


def test_tokens_pass_to_those_that_take_them(clients: Clients) -> None:
    told = clients.openai.embeddings.create(model="embeds-openai", input=[[1, 2], [3]])
    assert (len(told.data), told.usage.prompt_tokens) == (2, 3)
    with pytest.raises(openai.BadRequestError, match="input: .* send the input as text"):
        clients.openai.embeddings.create(model="embeds-gemini", input=[[1, 2], [3]])


def test_nobody_embeds_with_anthropics_api(clients: Clients) -> None:
    with pytest.raises(openai.APIStatusError, match="Provider messages embeds no texts"):
        clients.openai.embeddings.create(model="via-messages", input="one")


# ---- counts


@pytest.mark.parametrize("kind", ["anthropic", "openai", "gemini"])
@pytest.mark.parametrize("model", ["via-responses", "via-messages", "via-gemini"])
def test_tokens_are_counted_by_the_upstream(
    clients: Clients, provider: Backstage, model: str, kind: str
) -> None:
    assert clients.count(kind, model, SAID) == len(SAID.split())
    assert provider.new == 1


@pytest.mark.parametrize("kind", ["anthropic", "openai", "gemini"])
def test_they_are_guessed_where_nobody_counts(clients: Clients, provider: Backstage, kind: str) -> None:
    guess = clients.count(kind, "via-chat", "The quick brown fox jumps over the lazy dog.")
    assert guess is not None and 10 <= guess <= 16
    assert provider.new == 0


# ---- as all calls


@pytest.mark.parametrize("call", ["complete", "embed", "count"])
def test_another_credential_is_asked_after_a_429(clients: Clients, provider: Backstage, call: str) -> None:
    provider.script(["status:429"])
    match call:
        case "complete":
            clients.openai.completions.create(model="via-chat", prompt=SAID)
        case "embed":
            clients.openai.embeddings.create(model="embeds-gemini", input=SAID)
        case _:
            clients.count("anthropic", "via-gemini", SAID)
    sent = [provider.received(number) for number in (1, 2)]
    keys = {one.header(b"x-goog-api-key") or one.header(b"authorization") for one in sent}
    assert len(keys) == 2
