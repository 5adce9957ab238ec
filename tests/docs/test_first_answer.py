"""The page for the first answer does what it says: its commands are run, in order, as a new user would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

from llmitm.doctor.finding import Finding, Level, Report
from llmitm.doctor.network import Network
from llmitm.doctor.rounds import _checks
from support import forked
from support.backstage import Backstage
from support.gateway import BIN, ROOT
from support.patients import patient

DOCS = ROOT / "docs"
_BLOCK = re.compile(r"```(sh|python) run\n(.*?)```", re.DOTALL)
KEY = "sk-canary-of-a-new-user"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backstage]:
    with Backstage() as running:
        yield running


class Newcomer:
    """Somebody with a key, in a folder of their own."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.environment = {
            "PATH": f"{forked.programs()}:{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": base_url,
        }

    def runs(self, language: str, text: str) -> str:
        """What it printed. On this machine 8811 may be somebody else's."""
        config = self.folder / "config.toml"
        if config.exists():
            port = tomli.loads(config.read_text())["server"]["port"]
            text = text.replace("127.0.0.1:8811", f"127.0.0.1:{port}")
        command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
        environment = dict(self.environment)
        if language == "python":
            del environment["OPENAI_BASE_URL"]
        done = subprocess.run(
            [*command, text],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        assert KEY not in done.stdout + done.stderr
        return done.stdout


def blocks_of(page: str) -> list[tuple[str, str]]:
    """What is to be run, in order, each with its language; what follows one another in Python goes together,
    as the libraries take long to load."""
    found: list[tuple[str, str]] = []
    for language, text in _BLOCK.findall((DOCS / page).read_text()):
        if "google" in text and sys.version_info < (3, 13):
            continue
        if found and found[-1][0] == language == "python":
            text = found.pop()[1] + text
        found.append((language, text))
    return found


def test_from_nothing_to_the_first_answer(upstream: Backstage, tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path, f"{upstream.url}/v1")
    blocks = blocks_of("first-answer.md")
    told: list[str] = []
    try:
        told += (newcomer.runs(language, text) for language, text in blocks)
    finally:
        if "stopped after" not in "".join(told):
            subprocess.run(
                [forked.programs() / "llmitm", "stop"], cwd=tmp_path, env=newcomer.environment, check=False
            )
    every = "".join(told)
    for words in ("config.toml is fine", "works: openai answered", "gpt-6-luna", "stopped after"):
        assert words in every, words
    by_curl = told[next(at for at, (_, text) in enumerate(blocks) if text.startswith("curl"))]
    assert json.loads(by_curl)["choices"][0]["message"]["content"]
    asked, answers = next(
        (text, told[at]) for at, (language, text) in enumerate(blocks) if language == "python"
    )
    assert len(answers.split()) >= asked.count("print(") > 1


def test_the_page_of_the_doctor_names_every_check_and_field(tmp_path: Path) -> None:
    page = (DOCS / "doctor.md").read_text()
    named = re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE)
    assert named == [name for name, _ in _checks(Network(patient(tmp_path)))] + ["clock"]
    example = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    finding = Finding(check="ports", level=Level.OK, text="free")
    report = Report(
        version="1", config="c", at="t", took_s=0.1, is_offline=False, findings=(finding,)
    ).as_data()
    assert list(example) == list(report) and list(example["counts"]) == list(report["counts"])
    assert list(example["findings"][0]) == list(report["findings"][0])
