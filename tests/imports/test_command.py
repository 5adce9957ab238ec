"""`llmitm config import`: what goes where, and what is left as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmitm.cli import importing, main
from llmitm.imports import kinds
from support import imported

SMALL = "[[gateways]]\naccount_id = 'a'\ngateway_id = 'g'\ntoken = 'cf-token-of-nobody'\n"
ENV = "ACCOUNT_ID=a\nGATEWAY_ID=g\n"
TLS = f"https_server = true\ntls_cert_path = 'tls/cert.pem'\n{SMALL}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "snake.toml"
    path.write_text(SMALL)
    return path


def test_the_result_alone_is_on_standard_output(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert importing.run(source, None, None, secrets_to_env=False) == 0
    said = capsys.readouterr()
    assert said.out.startswith("# Made by `llmitm config import` from snake.toml, a configuration of snake.")
    assert "cf-token-of-nobody" in said.out
    assert said.err.startswith(f"{source} is a configuration of snake.\n")
    assert "1 secret in what was printed; --secrets-to-env" in said.err
    assert "cf-token-of-nobody" not in said.err


def test_names_are_told_and_no_values(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert importing.run(source, None, None, secrets_to_env=True) == 0
    said = capsys.readouterr()
    assert 'token = "env:CF_AIG_TOKEN"' in said.out
    assert "Set in the environment before the start:\n  CF_AIG_TOKEN  gateways[0]\n" in said.err
    assert "cf-token-of-nobody" not in said.out + said.err


@pytest.mark.parametrize(("text", "mode"), [(SMALL, 0o600), (ENV, 0o644)])
def test_a_file_with_keys_is_its_owners_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, mode: int
) -> None:
    source, out = tmp_path / "source", tmp_path / "config.toml"
    source.write_text(text)
    before = os.umask(0o022)
    try:
        assert importing.run(source, out, None, secrets_to_env=False) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == mode
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Wrote {out}. Next: llmitm config check {out}" in said.err


def test_a_file_that_is_there_stays(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.parent / "config.toml"
    out.write_text("# mine\n")
    assert importing.run(source, out, None, secrets_to_env=False) == 1
    assert "is there already; it is not overwritten" in capsys.readouterr().err
    assert out.read_text() == "# mine\n"


def test_paths_of_files_are_told_from_where_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    source = tmp_path / "old" / "config.toml"
    source.write_text(TLS)
    assert importing.run(source, tmp_path / "new" / "config.toml", None, secrets_to_env=False) == 0
    assert f'tls_cert = "{tmp_path}/old/tls/cert.pem"' in (tmp_path / "new" / "config.toml").read_text()
    assert importing.run(source, tmp_path / "old" / "ours.toml", None, secrets_to_env=False) == 0
    assert 'tls_cert = "tls/cert.pem"' in (tmp_path / "old" / "ours.toml").read_text()
    assert f"Files to be put in place:\n  {tmp_path}/old/tls/cert.pem" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "kind", "status", "words"),
    [
        (None, None, 2, "cannot be read: No such file"),
        (SMALL, "nobody", 2, "--from nobody: one of snake, llm-api-proxy, "),
        ("[[gateways]", None, 2, "line 1: not valid TOML"),
        (
            "[server]\n[endpoints.a]\ntarget_base = 'ftp://a'\n",
            None,
            1,
            "endpoints.a.target_base: an absolute URL",
        ),
    ],
)
def test_what_cannot_be_done_is_told_and_shown_by_the_status(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    kind: str | None,
    status: int,
    words: str,
) -> None:
    source = tmp_path / "source.toml"
    if text is not None:
        source.write_text(text)
    assert importing.run(source, None, kind, secrets_to_env=False) == status
    assert words in capsys.readouterr().err


def test_the_command_finds_its_way(source: Path) -> None:
    out = source.parent / "config.toml"
    made = imported.command("config", "import", source, "-o", out, "--from", "snake", "--secrets-to-env")
    assert (made.returncode, made.stdout) == (0, "")
    environment = {**os.environ, "CF_AIG_TOKEN": "cf-token-of-nobody"}
    checked = imported.command("config", "check", out, env=environment)
    assert checked.returncode == 0, checked.stderr
    assert "Cloudflare AI Gateway" in checked.stdout


def test_every_kind_is_offered() -> None:
    assert set(main.IMPORT_KINDS) == set(kinds.NAMES)
