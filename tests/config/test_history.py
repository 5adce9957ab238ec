"""Versions of the configuration's file, and its text with keys masked."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import tomli

from llmitm.config import history
from llmitm.config.history import FOLDER, FOUND, History
from llmitm.config.masked import mark, masked, unmasked
from llmitm.errors import ConfigError

SECRETS = """# old: api_key = "sk-very-old-canary-01"
proxy_url = "http://me:pass-canary@proxy:3128"
[providers.a]
api_keys = ["env:A", "plain-canary-1"] # was sk-older-canary-00002
headers = {x-team = "team-canary"}
[[providers.a.credentials]]
api_key = 'kcan' # short
[auth]
level = "kcan"
"""


def kept(path: Path, *contents: bytes) -> History:
    made = History(path)
    for before, after in zip(contents, contents[1:], strict=False):
        made.keep(before, after, who="ada", what="change", at_s=0)
        made.tidy()
    return made


def test_versions_say_who_what_and_when_and_what_was_found_is_kept(tmp_path: Path) -> None:
    found = kept(tmp_path / "config.toml", b"a", b"b", b"c")
    told = [(one.number, one.who, one.what, one.at[:4]) for one in found.versions()]
    assert told == [(3, "ada", "change", "1970"), (2, "ada", "change", "1970"), (1, "", FOUND, "1970")]
    assert [found.content(number) for number in (1, 2, 3)] == [b"a", b"b", b"c"]


def test_what_somebody_else_wrote_in_between_is_a_version_too(tmp_path: Path) -> None:
    found = kept(tmp_path / "config.toml", b"a", b"b")
    found.keep(b"by hand", b"c", who="ada", what="change", at_s=0)
    assert [found.content(one.number) for one in found.versions()] == [b"c", b"by hand", b"b", b"a"]


def test_only_its_owner_reads_it_and_nobody_commits_it(tmp_path: Path) -> None:
    kept(tmp_path / "config.toml", b"a", b"b")
    folder = tmp_path / FOLDER
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [one for one in folder.rglob("*.toml") if one.is_file()]
    assert files and {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert (folder / ".gitignore").read_text() == "*\n"


def test_the_oldest_go_and_numbers_are_never_used_again(tmp_path: Path) -> None:
    many = [b"%d" % number for number in range(history.MOST + 5)]
    numbers = [one.number for one in kept(tmp_path / "config.toml", *many).versions()]
    assert numbers == list(range(history.MOST + 5, 5, -1))


def test_a_version_that_was_tampered_with_is_none(tmp_path: Path) -> None:
    found = kept(tmp_path / "config.toml", b"a", b"b")
    (path,) = (tmp_path / FOLDER).rglob("000002.toml")
    path.write_bytes(path.read_bytes() + b"!")
    assert [one.number for one in found.versions()] == [1]
    with pytest.raises(LookupError):
        found.content(2)


def test_no_secret_is_shown_and_what_is_sent_back_is_what_it_was() -> None:
    shown = masked(SECRETS)
    assert "canary" not in shown and "'kcan'" not in shown and "env:A" in shown
    assert tomli.loads(shown)["proxy_url"].startswith("http://me:***")
    assert unmasked(shown, SECRETS) == SECRETS
    edited = shown.replace("[auth]", "[auth]\nnew = 1")
    assert unmasked(edited, SECRETS) == SECRETS.replace("[auth]", "[auth]\nnew = 1")


def test_a_mark_that_stands_for_nothing_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2: holds a masked value"):
        unmasked('a = 1\napi_key = "***00000000***"\n', SECRETS)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('base_url = "https://x.example/MARK"', "providers.a.base_url"),
        ('proxy_url = "http://MARK.x.example"', "providers.a.proxy_url"),
        ('proxy_url = "http://me:MARK@MARK.x.example"', "providers.a.proxy_url"),
        ('models = ["MARK"]', r"providers.a.models\[0\]"),
        ('"MARK" = 1', "providers.a"),
    ],
)
def test_a_mark_is_refused_where_what_it_stands_for_would_be_shown(line: str, place: str) -> None:
    text = f"[providers.a]\n{line.replace('MARK', mark('plain-canary-1'))}\n"
    with pytest.raises(ConfigError, match=place):
        unmasked(text, SECRETS)


def test_a_text_that_cannot_be_read_is_not_shown() -> None:
    assert "canary" not in masked("[a\nkey = 'canary'")
    assert "canary" not in masked('api_key = "\\u0063anary-of-many-signs"\nx = 1')
