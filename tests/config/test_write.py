"""Edits of the configuration's file: what is not meant stays as it was, to the byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomlkit

from llmitm.config.load import load
from llmitm.config.write import add_auth_key, disable_auth_key, edit
from llmitm.errors import ConfigError

HASH = f"sha256:{'ab' * 32}"
ENTRY: dict[str, Any] = {"name": "new", "key_hash": HASH}
BLOCK = f'[[auth_keys]]\nname = "new"\nkey_hash = "{HASH}"\n'
ROW = f'{{name = "new", key_hash = "{HASH}"}}'
FULL = """# my gateway
passthrough_headers = [ "x-a" ]   # odd spacing

[server]
port    = 9000 # mine
host='127.0.0.1'

[[auth_keys]] # people
name = "laptop"
key = "env:LAPTOP_KEY"
# until the summer
expires_at = 2030-06-01

# -- the log ----
[log]
level = "info"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def add(document: tomlkit.TOMLDocument) -> None:
    add_auth_key(document, ENTRY)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", BLOCK),
        ("[server]\nport = 1\n", f"[server]\nport = 1\n\n{BLOCK}"),
        ("auth_keys = []\n[server]\n", f"auth_keys = [{ROW}]\n[server]\n"),
        (
            'auth_keys = [\n  {name = "a", key = "b"}, # first\n]\n',
            f'auth_keys = [\n  {{name = "a", key = "b"}}, # first\n  {ROW},\n]\n',
        ),
        ('[[auth_keys]]\nname = "a"\nkey = "b"\n', f'[[auth_keys]]\nname = "a"\nkey = "b"\n\n{BLOCK}\n'),
        (
            '[[auth-keys]]\nname = "a"\nkey = "b"\n\n# the log\n[log]\n',
            '[[auth-keys]]\nname = "a"\nkey = "b"\n\n'
            + BLOCK.replace("auth_keys", "auth-keys")
            + "\n# the log\n[log]\n",
        ),
        (FULL, FULL.replace("\n# -- the log", f"\n{BLOCK}\n# -- the log")),
    ],
)
def test_an_entry_is_added_as_the_others_are_written(path: Path, before: str, after: str) -> None:
    path.write_text(before)
    edit(path, add, env={"LAPTOP_KEY": "x"})
    assert path.read_text().rstrip("\n") == after.rstrip("\n")


def test_an_entry_is_disabled_and_nothing_else(path: Path) -> None:
    path.write_text(FULL)
    edit(path, lambda document: disable_auth_key(document, "laptop") and None, env={"LAPTOP_KEY": "x"})
    assert path.read_text() == FULL.replace(
        "expires_at = 2030-06-01\n", "expires_at = 2030-06-01\ndisabled = true\n"
    )


@pytest.mark.parametrize(
    "text",
    ['auth_keys = [{name = "a", key = "b", disabled = false}]\n', '[[auth-keys]]\nname="a"\nkey="b"\n'],
)
def test_an_entry_is_disabled_however_it_is_written(path: Path, text: str) -> None:
    path.write_text(text)
    told: list[bool] = []
    for _ in range(2):
        edit(path, lambda document: told.append(disable_auth_key(document, "a")), env={})
    assert told == [True, False]
    keys = load(path, env={}).auth_keys
    assert keys is not None and [key.disabled for key in keys] == [True]


def test_a_name_that_is_not_there_changes_nothing(path: Path) -> None:
    path.write_text(FULL)
    with pytest.raises(LookupError, match="no auth key called nobody"):
        edit(path, lambda document: disable_auth_key(document, "nobody") and None, env={"LAPTOP_KEY": "x"})
    assert path.read_text() == FULL
    assert os.listdir(path.parent) == ["config.toml"]


def test_line_ends_and_the_mark_at_the_beginning_stay(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf[[auth_keys]]\r\nname = "a"\r\nkey = "b"\r\n')
    edit(path, add, env={})
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf[[auth_keys]]\r\n")
    assert content.count(b"\n") == content.count(b"\r\n") > 5


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_stays(path: Path, mode: int) -> None:
    path.write_text(FULL)
    path.chmod(mode)
    edit(path, add, env={"LAPTOP_KEY": "x"})
    assert path.stat().st_mode & 0o777 == mode


def test_a_new_file_is_for_its_owner_only(path: Path) -> None:
    edit(path, add, env={})
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_replaced_in_one_step(path: Path) -> None:
    """Whoever has the old file open reads it to its end, and nobody sees half a file."""
    path.write_text(FULL)
    before = path.stat().st_ino
    with path.open() as reader:
        edit(path, add, env={"LAPTOP_KEY": "x"})
        assert reader.read() == FULL
    assert path.stat().st_ino != before
    assert os.listdir(path.parent) == ["config.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "config.toml").write_text(FULL)
    path = tmp_path / "config.toml"
    path.symlink_to("real/config.toml")
    edit(path, add, env={"LAPTOP_KEY": "x"})
    assert path.is_symlink()
    assert "new" in (real / "config.toml").read_text()


def change_port(document: tomlkit.TOMLDocument) -> None:
    document["server"]["port"] = 70_000  # type: ignore[index]


def add_twice(document: tomlkit.TOMLDocument) -> None:
    add(document)
    add(document)


@pytest.mark.parametrize(
    ("change", "words"), [(change_port, "server.port"), (add_twice, "another key is called new")]
)
def test_what_could_not_be_used_is_not_written(
    path: Path, change: Callable[[tomlkit.TOMLDocument], None], words: str
) -> None:
    path.write_text(FULL)
    with pytest.raises(ConfigError, match=words):
        edit(path, change, env={"LAPTOP_KEY": "x"})
    assert path.read_text() == FULL
    assert os.listdir(path.parent) == ["config.toml"]


def test_problems_that_were_there_before_do_not_stand_in_the_way(path: Path) -> None:
    """The variables of the gateway are seldom those of the operator's shell."""
    path.write_text(FULL + "prot = 1\n")
    edit(path, add, env={})
    assert "env:LAPTOP_KEY" in path.read_text()
    with pytest.raises(ConfigError) as caught:
        edit(path, add, env={})
    assert [problem.path for problem in caught.value.problems] == ["auth_keys[2].name"]


@pytest.mark.parametrize("text", [b"[", b"\xff", b"auth_keys = 1\n"])
def test_what_cannot_be_read_is_not_touched(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(ConfigError):
        edit(path, add, env={})
    assert path.read_bytes() == text


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    """A mounted configuration, for example. A file where a folder should be refuses the superuser as well."""
    (tmp_path / "no-folder").write_text("")
    with pytest.raises(OSError):
        edit(tmp_path / "no-folder" / "config.toml", add, env={})


def test_edits_at_the_same_time_lose_nothing(path: Path) -> None:
    path.write_text("")
    names = [f"key-{number}" for number in range(12)]

    def work(name: str, number: int) -> None:
        entry = {"name": name, "key_hash": f"sha256:{number:064x}"}
        edit(path, lambda document: add_auth_key(document, entry), env={})

    threads = [threading.Thread(target=work, args=(name, at)) for at, name in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key["name"] for key in tomli.loads(path.read_text())["auth_keys"]) == sorted(names)
