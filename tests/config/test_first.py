"""A first configuration: from the keys that are in the environment, or from what somebody says."""

from __future__ import annotations

import hashlib
import re
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from llmitm.cli import init
from llmitm.cli.init import Terminal
from llmitm.config.first import PORT, USUAL, Found, look, written
from llmitm.config.load import load
from llmitm.config.schema import Config
from llmitm.config.server import Server
from llmitm.route.known import KNOWN

KEY = "canary-key-0001"


def providers(found: Found) -> dict[str, str | None]:
    return {one.provider: one.reference for one in found.sources}


@pytest.mark.parametrize("usual", USUAL, ids=lambda usual: usual.provider)
def test_every_usual_name_makes_a_provider_that_is_known(usual: object) -> None:
    from llmitm.config.first import Usual

    assert isinstance(usual, Usual) and usual.provider in KNOWN and usual.model
    for variable in usual.variables:
        assert providers(look({variable: KEY})) == {usual.provider: f"env:{variable}"}


@pytest.mark.parametrize(
    ("env", "expected", "note"),
    [
        ({}, {}, None),
        ({"OPENAI_API_KEY": ""}, {}, None),
        ({"OPENAI_API_KEY": "  "}, {}, None),
        ({"GEMINI_API_KEY": KEY, "GOOGLE_API_KEY": KEY}, {"google": "env:GEMINI_API_KEY"}, None),
        ({"OPENAI_API_KEY": "sk-or-v1-key-of-another"}, {}, "OpenRouter"),
        ({"AZURE_OPENAI_API_KEY": KEY}, {}, "AZURE_OPENAI_ENDPOINT"),
        (
            {"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": "https://one.openai.azure.com/"},
            {"azure": "env:AZURE_OPENAI_API_KEY"},
            None,
        ),
        (
            {"CLOUDFLARE_API_TOKEN": KEY, "CLOUDFLARE_ACCOUNT_ID": "abc"},
            {"workers-ai": "env:CLOUDFLARE_API_TOKEN"},
            None,
        ),
        ({"CLOUDFLARE_API_TOKEN": KEY}, {}, None),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://localhost:{PORT}/v1"},
            {"openai": "env:OPENAI_API_KEY"},
            "OPENAI_BASE_URL is left out",
        ),
        (
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "not an address"},
            {"openai": "env:OPENAI_API_KEY"},
            "no http address",
        ),
    ],
)
def test_what_the_environment_names(
    env: Mapping[str, str], expected: dict[str, str], note: str | None
) -> None:
    found = look(env)
    assert providers(found) == expected
    assert (note is None and not found.notes) or any(note in one for one in found.notes if note)


EVERYTHING = {
    **{one.variables[0]: f"{KEY}-{one.provider}" for one in USUAL},
    "AZURE_OPENAI_API_KEY": f"{KEY}-azure",
    "AZURE_OPENAI_ENDPOINT": "https://one.openai.azure.com",
    "CLOUDFLARE_API_TOKEN": f"{KEY}-workers",
    "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef",
    "CLOUDFLARE_GATEWAY_ID": "mine",
    "CF_AIG_TOKEN": f"{KEY}-gateway",
    "ANTHROPIC_BASE_URL": "https://proxy.example/anthropic/",
}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OPENAI_API_KEY": KEY},
        EVERYTHING,
        {"ACCOUNT_ID": "abcdef", "GATEWAY_ID": "mine"},
        *({one.variables[0]: KEY} for one in USUAL),
    ],
    ids=lambda env: next(iter(env), "nothing"),
)
@pytest.mark.parametrize("key_hash", [None, f"sha256:{'0' * 64}"])
def test_what_is_written_loads_without_doubts_and_holds_no_key(
    tmp_path: Path, env: dict[str, str], key_hash: str | None
) -> None:
    text = written(look(env), port=8811, key_hash=key_hash)
    path = tmp_path / "config.toml"
    path.write_text(text)
    config = load(path, env=env)
    assert KEY not in text and not config.warnings
    assert config.endpoints and (config.default_endpoint is not None or not env)
    assert (config.auth_keys is None) is (key_hash is None)
    assert all(len(line) <= 110 for line in text.splitlines() if "base_url" not in line)


def test_a_base_url_of_its_own_is_kept() -> None:
    (found,) = look({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://localhost:1234/v1/"}).sources
    assert found.base_url == "http://localhost:1234/v1" and found.asked_as == "openai/gpt-6-luna"


def test_the_usual_port_is_the_default() -> None:
    assert Server().port == PORT


# -- the command


class Said:
    """Answers to questions, in order; EOF after the last."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.hidden: list[str] = []

    def terminal(self) -> Terminal:
        return Terminal(ask=self._next, ask_hidden=self._hidden)

    def _next(self, question: str) -> str:
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def _hidden(self, question: str) -> str:
        self.hidden.append(question)
        return self._next(question)


type Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs it on config.toml of a folder. Returns exit status and what was printed on both streams."""

    def runs(
        env: Mapping[str, str] = {}, said: Said | None = None, client_key: bool | None = None
    ) -> tuple[int, str, str]:
        terminal = None if said is None else said.terminal()
        status = init.run(tmp_path / "config.toml", env, client_key=client_key, terminal=terminal)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return runs


def loaded(folder: Path, env: Mapping[str, str] = {}) -> Config:
    return load(folder / "config.toml", env=env)


def test_a_file_that_is_there_stays(tmp_path: Path, run: Run) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    status, _, told = run({"OPENAI_API_KEY": KEY})
    assert status == 1 and "stays as it is" in told
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


def test_keys_of_the_environment_need_no_question(tmp_path: Path, run: Run) -> None:
    status, told, _ = run({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY + "2"}, Said())
    assert status == 0 and KEY not in told
    assert "openai (key from OPENAI_API_KEY), anthropic (key from ANTHROPIC_API_KEY)" in " ".join(
        told.split()
    )
    assert "llmitm run" in told and '"model": "gpt-6-luna"' in told
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600


def test_three_answers_make_a_provider_with_its_key_in_a_file(tmp_path: Path, run: Run) -> None:
    said = Said("2", KEY, "y")
    status, told, asked = run({}, said)
    assert status == 0 and KEY not in told + asked and len(said.hidden) == 1
    file = tmp_path / "anthropic.key"
    assert file.read_text() == KEY + "\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    config = loaded(tmp_path)
    assert config.providers["anthropic"].credentials[0].api_key.reveal() == KEY
    (client,) = config.auth_keys or ()
    (key,) = set(re.findall(r"sk-proxy-[0-9a-f]{32}", told))
    assert client.digest == hashlib.sha256(key.encode()).digest()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (("", KEY, ""), "openai"),
        (("gemini", KEY, ""), "google"),
        (("nobody", "99", "groq", KEY, "n"), "groq"),
        (("ollama", "n"), "ollama"),
    ],
)
def test_a_provider_is_said_by_number_by_name_or_not_at_all(
    tmp_path: Path, run: Run, answers: tuple[str, ...], expected: str
) -> None:
    assert run({}, Said(*answers))[0] == 0
    assert list(loaded(tmp_path).providers) == [expected]


def test_without_a_key_clients_bring_their_own(tmp_path: Path, run: Run) -> None:
    for said in (None, Said("openai", "", "")):
        status, told, _ = run({}, said)
        assert status == 0 and "client's own key" in told and "llmitm demo" in told
        config = loaded(tmp_path)
        assert not config.providers and set(config.endpoints) == {"openai", "anthropic", "google"}
        (tmp_path / "config.toml").unlink()


@pytest.mark.parametrize("answers", [(), ("openai",), ("openai", KEY)])
def test_who_leaves_half_way_leaves_nothing_behind(
    tmp_path: Path, run: Run, answers: tuple[str, ...]
) -> None:
    status, _, told = run({}, Said(*answers))
    assert status == 1 and "nothing was written" in told and not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_left_to_its_holder(tmp_path: Path, run: Run) -> None:
    try:
        held = socket.create_server(("127.0.0.1", PORT))
    except OSError:
        held = None  # somebody else has it, which is as good
    status, told, _ = run({"OPENAI_API_KEY": KEY})
    if held is not None:
        held.close()
    port = loaded(tmp_path, {"OPENAI_API_KEY": KEY}).server.port
    assert status == 0 and port not in (PORT, 8812) and f"Port {PORT} is taken" in told
    assert f"http://127.0.0.1:{port}/" in told


def test_the_port_of_the_environment_wins(run: Run) -> None:
    status, told, _ = run({"OPENAI_API_KEY": KEY, "PORT": "9345"})
    assert status == 0 and "http://127.0.0.1:9345/" in told and "is taken" not in told


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init.run(tmp_path / "none" / "config.toml", {}) == 1
    assert "cannot be written" in capsys.readouterr().err
