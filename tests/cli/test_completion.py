"""Scripts for shells: what Tab offers, in the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from llmitm.cli.completion import SHELLS, WORDS, places, run, script
from llmitm.cli.main import app
from support.terminals import AtTerminal

EVERY = list(places(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a script for each shell, and files to be offered."""
    made = tmp_path_factory.mktemp("shells")
    for shell in SHELLS:
        (made / f"script.{shell}").write_text(script(shell, app))
    for name in ("mine.toml", "my other.toml"):
        (made / name).write_text("")
    return made


CASES: list[tuple[list[str], set[str], set[str]]] = [
    (["ser"], {"serve"}, {"status"}),
    (["config", ""], {"check"}, {"serve"}),
    (["run", "--"], {"--config", "--daemon", "--help"}, {"--handed"}),
    (["usage", "--by", "ho"], {"hour"}, {"day"}),
    # a value that is the name of a command is none
    (["--config", "config", "sta"], {"status"}, {"check"}),
    (["serve", "--config", "mi"], {"mine.toml"}, {"serve"}),
    (["config", "check", "mi"], {"mine.toml"}, set()),
    (["serve", "--host", ""], set(), {"mine.toml", "serve"}),
    (["completion", ""], {"bash", "zsh", "fish"}, set()),
]


@pytest.mark.parametrize(("words", "wanted", "unwanted"), CASES)
def test_bash_offers(folder: Path, words: list[str], wanted: set[str], unwanted: set[str]) -> None:
    line = (
        'source script.bash; shift 0; COMP_WORDS=(llmitm "$@"); COMP_CWORD=$#; _llmitm;'
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    told = subprocess.run(
        ["bash", "--norc", "-c", line, "bash", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    offered = set(told.stdout.split("\n"))
    assert wanted <= offered and not unwanted & offered and not told.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish (Debian: apt-get install fish)")
@pytest.mark.parametrize(("words", "wanted", "unwanted"), CASES)
def test_fish_offers(folder: Path, words: list[str], wanted: set[str], unwanted: set[str]) -> None:
    line = " ".join(("llmitm", *words))
    told = subprocess.run(
        ["fish", "--no-config", "-c", f"source script.fish; complete -C '{line}'"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    offered = {one.partition("\t")[0] for one in told.stdout.splitlines()}
    assert wanted <= offered and not unwanted & offered and not told.stderr


@pytest.fixture
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[AtTerminal]:
    command: list[str] = request.param
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} (Debian: apt-get install {command[0]})")
    made = AtTerminal(command, folder)
    yield made
    made.close()


LOADED = {
    "bash": "source script.bash",
    "zsh": "autoload -Uz compinit && compinit -u -D; source script.zsh",
}
TYPED = (
    ("conf\tch\t", "config check"),
    ("serve --conf\tmi\t", "serve --config mine.toml"),
    ("usage --by cred\t", "usage --by credential"),
)


@pytest.mark.parametrize(
    ("shell", "name"),
    [(["bash", "--norc", "-i"], "bash"), (["zsh", "-f", "-i"], "zsh")],
    ids=["bash", "zsh"],
    indirect=["shell"],
)
def test_tab_completes_at_a_terminal(shell: AtTerminal, name: str) -> None:
    shell.type(f"{LOADED[name]}; llmitm() {{ echo as''\"ked for: $*\"; }}; echo rea''dy\n")
    shell.until("ready")
    for begun, whole in TYPED:
        shell.type(f"llmitm {begun}\n")
        shell.until(f"asked for: {re.escape(whole)} ?\r?\n")


def test_every_value_that_is_offered_belongs_to_an_option_that_there_is() -> None:
    known = {(one.path, name) for one in EVERY for option in one.options for name in option.names}
    known |= {(one.path, "") for one in EVERY if one.argument}
    assert set(WORDS) <= known


def test_every_command_that_is_shown_is_in_every_script() -> None:
    for shell in SHELLS:
        text = script(shell, app)
        for one in EVERY:
            for name, _ in one.commands:
                assert name in text, f"{name} in {shell}"


def test_a_shell_that_is_not_known_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("tcsh", app) == 2
    assert "possible are bash, zsh, fish" in capsys.readouterr().err
