"""What is handed out: the wheel and the source, the image's recipe, the services beside it, versions."""

from __future__ import annotations

import datetime
import json
import re
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from llmitm.config.load import load
from support.package_proof import (
    ROOT,
    Dist,
    Installed,
    missing_in_source,
    missing_in_wheel,
)

VERSION = runpy.run_path(str(ROOT / ".ci" / "version.py"))
main: Callable[..., int] = VERSION["main"]
next_version: Callable[[str, str], str] = VERSION["next_version"]


@pytest.fixture(scope="module")
def installed(dist: Dist, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed.beside_ours(dist.wheel, tmp_path_factory.mktemp("installed"))


def test_the_wheel_holds_all_that_the_gateway_needs(dist: Dist) -> None:
    assert missing_in_wheel(dist) == set()


def test_the_source_holds_the_whole_repository(dist: Dist) -> None:
    assert missing_in_source(dist) == set()


def test_the_wheel_holds_the_licences_of_what_its_pages_are_made_of(dist: Dist) -> None:
    with zipfile.ZipFile(dist.wheel) as packed:
        licences = packed.read("llmitm/admin/static/licenses.md").decode()
    bundled = json.loads((ROOT / "web" / "package.json").read_text())["dependencies"]
    assert {name for name in bundled if f"## {name} - " not in licences} == set()


def test_what_is_installed_runs_without_the_repository(installed: Installed) -> None:
    assert installed.place().is_relative_to(installed.folder)
    assert re.fullmatch(r"llmitm \d+\.\d+\.\d+\S*\n", installed("--version"))
    pages = installed.pages()
    assert {Path(name).suffix for name in pages} >= {"", ".js", ".css"}
    assert all(length > 0 for length in pages.values())


def stages(dockerfile: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage: word and rest."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", dockerfile))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    found: list[list[tuple[str, str]]] = []
    for word, rest in lines:
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest.strip()))
    return found


def test_the_image_has_no_root_and_takes_nothing_unchecked() -> None:
    text = (ROOT / "Dockerfile").read_text()
    final = stages(text)[-1]
    users = [rest for word, rest in final if word == "USER"]
    assert users and not users[-1].startswith(("root", "0"))
    installs = re.findall(r"pip install (.*)", text)
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert "://" not in text and "ADD " not in text
    words = [word for word, _ in final]
    assert {"HEALTHCHECK", "STOPSIGNAL", "VOLUME", "ENTRYPOINT", "CMD"} <= set(words)
    assert words.index("USER") < words.index("ENTRYPOINT")


def test_the_image_is_sent_only_what_it_is_made_of() -> None:
    copied = {
        name
        for stage in stages((ROOT / "Dockerfile").read_text())
        for word, rest in stage
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    assert next(line for line in lines if not line.startswith("#")) == "*"


def test_the_image_asks_after_its_health_with_what_there_is(tmp_path: Path) -> None:
    check = next(
        rest for word, rest in stages((ROOT / "Dockerfile").read_text())[-1] if word == "HEALTHCHECK"
    )
    words = re.findall(r'"([^"]+)"', check)
    assert words[0] == "python"
    ran = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT / "addons")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1 and "no gateway runs" in ran.stderr


def test_the_services_beside_the_gateway_get_what_its_configuration_asks_for() -> None:
    """The variables of compose.yaml and of its configuration are the same, and it can be used with them."""
    compose = (ROOT / "compose.yaml").read_text()
    gateway = compose[compose.index("  gateway:") : compose.index("  redis:\n")]
    given = dict(re.findall(r"(?m)^      ([A-Z_]+): (.+)$", gateway))
    config = ROOT / "deploy" / "compose" / "llmitm.toml"
    asked = set(re.findall(r'"env:(\w+)"', config.read_text()))
    assert asked == set(given) - {"CONFIG_PATH"}
    env = {name: re.sub(r"\$\{.*?\}", "secret-of-the-environment", value) for name, value in given.items()}
    loaded = load(config, env=env)
    assert loaded.state.url.reveal() == "redis://redis:6379/0"
    assert loaded.server.host == "0.0.0.0" and loaded.auth_keys
    assert "read_only: true" in gateway and "cap_drop: [ALL]" in gateway
    assert all(
        line.strip().startswith('- "127.0.0.1:') for line in re.findall(r"(?m)^.*:\d+:\d+.*$", gateway)
    )


@pytest.mark.parametrize(
    ("now", "wanted", "then"),
    [
        ("0.1.0", "patch", "0.1.1"),
        ("0.1.9", "minor", "0.2.0"),
        ("0.9.9", "major", "1.0.0"),
        ("1.2.0rc1", "patch", "1.2.0"),
        ("1.2.0rc1", "1.2.0rc2", "1.2.0rc2"),
        ("1.2.0rc9", "1.2.0rc10", "1.2.0rc10"),
        ("1.2.0b3", "1.2.0rc1", "1.2.0rc1"),
        ("1.2.3", "2.0.0", "2.0.0"),
    ],
)
def test_the_next_version(now: str, wanted: str, then: str) -> None:
    assert next_version(now, wanted) == then


@pytest.mark.parametrize("wanted", ["0.1.0", "0.0.9", "0.1.0rc1", "v1.0.0", "1.0", "newest"])
def test_a_version_that_is_none_or_not_later_changes_nothing(
    tmp_path: Path, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = repository(tmp_path)
    before = place.read_text()
    assert main([wanted], tmp_path) == 1
    assert place.read_text() == before and wanted in capsys.readouterr().err


def test_a_version_is_set_and_what_was_unreleased_is_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = repository(tmp_path)
    assert main([], tmp_path) == 0
    assert main(["minor"], tmp_path, datetime.date(2026, 11, 21)) == 0
    assert capsys.readouterr().out == "0.1.0\n0.2.0\n"
    assert place.read_text() == '"""A package."""\n\n__version__ = "0.2.0"\n'
    changes = (tmp_path / "CHANGELOG.md").read_text()
    assert changes == "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-21\n\n### Added\n- All.\n"


def repository(folder: Path) -> Path:
    place = folder / "addons" / "llmitm" / "__init__.py"
    place.parent.mkdir(parents=True)
    place.write_text('"""A package."""\n\n__version__ = "0.1.0"\n')
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n### Added\n- All.\n")
    return place


def test_this_repository_has_a_version_that_can_be_raised() -> None:
    read: Callable[[Path], str] = VERSION["read"]
    assert next_version(read(ROOT), "patch")
