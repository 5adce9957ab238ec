"""The pages about moving here: every command in them is run, and the gateway that comes of it answers.

Addresses of examples are the embedded provider's, and ports are free ones; all else is as it stands there.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from support import forked
from support.backstage import Backstage
from support.gateway import BIN, ROOT

_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_NAME = re.compile(r"# ([\w.-]+)\n")


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    port: str
    """In the page, of the gateway that is tried."""
    model: str
    key: str
    more: str = ""
    """Behind what was imported: where the provider is."""

    @property
    def blocks(self) -> list[tuple[str, str]]:
        return _BLOCK.findall((ROOT / "docs" / f"{self.name}.md").read_text("utf-8"))


PAGES = (
    Page("migration-from-litellm", "4001", "house", "sk-1234"),
    Page("migration-from-ai-proxy", "8318", "house/llama", "sk-proxy-00112233445566778899aabbccddeeff"),
    Page(
        "migration-from-snake", "3001", "openai/gpt-4o-mini", "none", '\n[cloudflare]\nbase_url = "{url}"\n'
    ),
)


class Shell:
    """Runs the lines of a page one block after the other; what they export stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{forked.programs()}:{BIN}:{os.environ['PATH']}"
        self.env = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}

    def run(self, lines: str) -> str:
        exported = self.folder / "exported"
        made = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{lines}\nenv -0 > {exported}"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert made.returncode == 0, f"{lines}\n{made.stdout}{made.stderr}"
        self.env |= dict(one.split("=", 1) for one in exported.read_text().split("\0") if "=" in one)
        return made.stdout + made.stderr


@pytest.fixture(scope="module")
def provider() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_does_what_it_says(
    page: Page, provider: Backstage, port: int, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    said: list[str] = []
    for kind, text in page.blocks:
        text = text.replace("https://models.example.com", provider.url).replace(page.port, str(port))
        if kind != "sh":
            named = _NAME.match(text)
            assert named is not None, "an example begins with the name of its file"
            (tmp_path / named[1]).write_text(text)
            continue
        if text.strip() == "llmitm stop":
            _is_answered(port, page, provider)
        said.append(shell.run(text.replace("MODELS_EXAMPLE_COM_", _variable(provider))))
        if "config import" in text:
            with (tmp_path / "config.toml").open("a") as config:
                config.write(page.more.format(url=provider.url))
    assert any("chat.completion" in one for one in said), "curl shows an answer"


def _variable(provider: Backstage) -> str:
    """What the provider's key is called by its address."""
    return f"P_127_0_0_1_{provider.port}_"


def _is_answered(port: int, page: Page, provider: Backstage) -> None:
    provider.forget()
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=page.key, max_retries=0) as sdk:
        reply = sdk.chat.completions.create(model=page.model, messages=[{"role": "user", "content": "Hello"}])
        assert reply.choices[0].message.content
        stream = sdk.chat.completions.create(
            model=page.model, messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        assert "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices)
    assert provider.new == 2
