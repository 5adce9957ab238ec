"""The official clients, with their own retries on, before a gateway that retries: nothing is done twice.

What the gateway has tried again itself, they do not; what it tried once, they come back with when it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from support.backstage import Backstage
from support.gateway import Gateway

genai = pytest.importorskip("google.genai")
from google.genai import errors as genai_errors  # noqa: E402
from google.genai import types as genai_types  # noqa: E402

ASKED = "once and no more"
MOST_RETRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`faults` are those of one upstream call after another; then all goes well."""

    keys: int
    faults: tuple[str, ...]
    calls: int
    """Upstream, of all that one call of the client's library brought about."""
    retries: int = 0
    """Of the client's library."""
    is_answered: bool = True


SOON = ";retry-after=;retry-after-ms=40"
CASES = {
    "all is well": Case(keys=2, faults=(), calls=1),
    "the gateway tries again": Case(keys=2, faults=("status:500",), calls=2),
    "and again": Case(keys=3, faults=("status:529", "reset-headers"), calls=3),
    "what it tried again is not tried again": Case(
        keys=2, faults=("status:500", "status:503"), calls=2, is_answered=False
    ),
    "whatever the upstream says": Case(
        keys=2, faults=("status:529;x-should-retry=true",) * 2, calls=2, is_answered=False
    ),
    "one key, one try: the client comes back when it is rested": Case(
        keys=1, faults=("status:500",), calls=2, retries=1
    ),
    "as often as it would without a gateway": Case(
        keys=1, faults=("status:500",) * 3, calls=1 + MOST_RETRIES, retries=MOST_RETRIES, is_answered=False
    ),
    "a limit is over when it says": Case(keys=2, faults=(f"status:429{SOON}",) * 2, calls=3, retries=1),
    "a limit that lasts is not waited for": Case(
        keys=2, faults=("status:429;retry-after=300",) * 2, calls=2, is_answered=False
    ),
    "a key that is refused is not offered again": Case(
        keys=1, faults=("status:401",), calls=1, is_answered=False
    ),
    "nor where all are": Case(keys=2, faults=("status:401", "status:403"), calls=2, is_answered=False),
    "what is wrong is told once": Case(keys=2, faults=("status:400",), calls=1, is_answered=False),
}
STREAM_CASES = {
    "an error before the first event": Case(keys=2, faults=("error-event:0",), calls=2),
    "no event at all": Case(keys=2, faults=("truncate:0",), calls=2),
    "neither from anybody": Case(keys=2, faults=("error-event:0", "truncate:0"), calls=2, is_answered=False),
}


class OpenAI:
    error: Any = openai.APIStatusError
    provider = 'format = "openai-chat"\nbase_url = "{url}/v1"'

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/all/v1", api_key="none", max_retries=MOST_RETRIES)

    def ask(self, model: str, *, streams: bool) -> tuple[str, int]:
        """What was said, and how often the library tried again."""
        messages: Any = [{"role": "user", "content": ASKED}]
        raw = self.sdk.chat.completions.with_raw_response
        if streams:
            made = raw.create(model=model, messages=messages, stream=True)
            deltas = [chunk.choices[0].delta.content for chunk in made.parse() if chunk.choices]
            return "".join(filter(None, deltas)), made.retries_taken
        whole = raw.create(model=model, messages=messages)
        return whole.parse().choices[0].message.content or "", whole.retries_taken

    def close(self) -> None:
        self.sdk.close()


class Anthropic:
    error: Any = anthropic.APIStatusError
    provider = 'format = "anthropic-messages"\nbase_url = "{url}"'

    def __init__(self, url: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=f"{url}/all", api_key="none", max_retries=MOST_RETRIES)

    def ask(self, model: str, *, streams: bool) -> tuple[str, int]:
        messages: Any = [{"role": "user", "content": ASKED}]
        raw = self.sdk.messages.with_raw_response
        if streams:
            made = raw.create(model=model, messages=messages, max_tokens=99, stream=True)
            deltas = [one.delta.text for one in made.parse() if one.type == "content_block_delta"]
            return "".join(deltas), made.retries_taken
        whole = raw.create(model=model, messages=messages, max_tokens=99)
        (block,) = whole.parse().content
        return block.text, whole.retries_taken

    def close(self) -> None:
        self.sdk.close()


class Gemini:
    """Tries again by the status alone, whatever it is told."""

    error: Any = genai_errors.APIError
    provider = 'format = "gemini"\nbase_url = "{url}"'

    def __init__(self, url: str) -> None:
        retries = genai_types.HttpRetryOptions(
            attempts=1 + MOST_RETRIES, initial_delay=0.01, max_delay=0.02, jitter=0.0
        )
        options = genai_types.HttpOptions(base_url=f"{url}/all", retry_options=retries)
        self.sdk = genai.Client(api_key="none", http_options=options)

    def ask(self, model: str, *, streams: bool) -> str:
        if streams:
            chunks = self.sdk.models.generate_content_stream(model=model, contents=ASKED)
            return "".join(chunk.text or "" for chunk in chunks)
        return self.sdk.models.generate_content(model=model, contents=ASKED).text or ""

    def close(self) -> None:
        self.sdk.close()


def config(url: str) -> str:
    """A provider for each case, so that none rests for what another did."""
    lines = ["[retry]", "base_ms = 1", "rest_s = {server = 0.05, overloaded = 0.05, network = 0.05}"]
    lines += ["[server]", "port = 0", "[endpoints.all]", 'kind = "gateway"']
    for kind in (OpenAI, Anthropic, Gemini):
        for at, case in enumerate((*CASES.values(), *STREAM_CASES.values())):
            keys = ", ".join(f'"sk-{kind.__name__}-{at}-{number}"' for number in range(case.keys))
            lines += [f"[providers.{kind.__name__.lower()}{at}]", kind.provider.format(url=url)]
            lines += [f"api_keys = [{keys}]", f'models = ["{kind.__name__.lower()}{at}"]']
    # one whose keys rest for as long as is usual
    lines += ["[providers.resting]", Gemini.provider.format(url=url), 'models = ["resting"]']
    lines += ['api_keys = ["sk-resting-1", "sk-resting-2"]']
    return "\n".join(lines)


@pytest.fixture(scope="module")
def running(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(config(provider.url), tmp_path_factory.mktemp("retries"), host="serve") as made:
        yield made


@pytest.fixture(params=[OpenAI, Anthropic], ids=lambda kind: kind.__name__.lower())
def client(request: pytest.FixtureRequest, running: Gateway, provider: Backstage) -> Iterator[Any]:
    made = request.param(running.url)
    provider.forget()
    yield made
    made.close()


def check(client: OpenAI | Anthropic, provider: Backstage, case: Case, at: int, *, streams: bool) -> None:
    provider.script(case.faults)
    model = f"{type(client).__name__.lower()}{at}"
    if case.is_answered:
        said, retries = client.ask(model, streams=streams)
        assert (said, retries) == (f"The demo provider heard you say: {ASKED}", case.retries)
    else:
        with pytest.raises(client.error):
            client.ask(model, streams=streams)
    assert provider.new == case.calls


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_done_twice(client: OpenAI | Anthropic, provider: Backstage, name: str) -> None:
    check(client, provider, CASES[name], list(CASES).index(name), streams=False)


@pytest.mark.parametrize("name", STREAM_CASES)
def test_nor_streamed_twice(client: OpenAI | Anthropic, provider: Backstage, name: str) -> None:
    at = len(CASES) + list(STREAM_CASES).index(name)
    check(client, provider, STREAM_CASES[name], at, streams=True)


@pytest.fixture
def gemini(running: Gateway, provider: Backstage) -> Iterator[Gemini]:
    made = Gemini(running.url)
    provider.forget()
    yield made
    made.close()


@pytest.mark.parametrize("name", ["all is well", "the gateway tries again", "what is wrong is told once"])
def test_gemini_too(gemini: Gemini, provider: Backstage, name: str) -> None:
    case = CASES[name]
    provider.script(case.faults)
    model = f"gemini{list(CASES).index(name)}"
    if case.is_answered:
        assert ASKED in gemini.ask(model, streams=False)
    else:
        with pytest.raises(gemini.error):
            gemini.ask(model, streams=False)
    assert provider.new == case.calls


def test_a_client_that_cannot_be_told_is_answered_here_while_all_rest(
    gemini: Gemini, provider: Backstage
) -> None:
    provider.script(["status:429;retry-after=30"] * 2)
    with pytest.raises(gemini.error):
        gemini.ask("resting", streams=False)
    assert provider.new == 2
    with pytest.raises(gemini.error):
        gemini.ask("resting", streams=True)
    assert provider.new == 2
