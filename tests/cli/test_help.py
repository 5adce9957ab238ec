"""What commands say of themselves, and of files that they cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from llmitm.cli.completion import places
from llmitm.cli.main import app


def test_what_options_do_is_shown_whole() -> None:
    """A word in square brackets would be taken for a style, and left out."""
    for place in places(typer.main.get_command(app)):
        for option in place.options:
            assert "[" not in option.help, f"{place.path} {option.names}"


@pytest.mark.parametrize(
    "words",
    ["config check {there}", "--config {there} serve", "keys list --config {there}", "config import {there}"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(words: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, words.format(there=tmp_path).split())
    assert ran.exit_code == 2
    assert str(tmp_path) in ran.stderr and "cannot be read: Is a directory" in ran.stderr


@pytest.mark.parametrize(
    "words", ["test --config {there}", "test --config {there} all", "--config {there} test"]
)
def test_the_configuration_of_a_test_may_be_named_anywhere(words: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, words.format(there=tmp_path).split())
    assert ran.exit_code == 2 and f"{tmp_path}: 1 problem" in ran.stderr


def test_a_place_where_no_certificate_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(app, ["certs", "new", "--out", str(tmp_path / "file" / "certs")])
    assert ran.exit_code == 1
    assert ran.stderr == f"llmitm: {tmp_path}/file/certs cannot be written: Not a directory\n"
