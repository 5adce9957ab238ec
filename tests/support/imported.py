"""Sample configurations of other gateways, and what is to come of each.

`imports/samples/<kind>/<name>.<ending>` is the sample, `imports/expected/<kind>/<name>.toml` what is
made of it, and `.txt` beside that what the operator is told.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llmitm.cli import importing
from llmitm.imports.bring import Brought, bring

FOLDER: Final = Path(__file__).parents[1] / "imports"


@dataclass(frozen=True, slots=True)
class Sample:
    path: Path

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.path.stem}"

    @property
    def expected(self) -> Path:
        return FOLDER / "expected" / f"{self.name}.toml"

    @property
    def told(self) -> Path:
        return self.expected.with_suffix(".txt")

    def brought(self, *, kind: str | None = None, secrets_to_env: bool = False) -> Brought:
        name = f"{self.kind}/{self.path.name}"
        return bring(self.path.read_bytes(), name, kind=kind, secrets_to_env=secrets_to_env)


def load() -> list[Sample]:
    """All of them, in the order of their names."""
    return [Sample(path) for path in sorted((FOLDER / "samples").glob("*/*"))]


def told(sample: Sample, brought: Brought) -> str:
    """What stands on standard error, where the result goes to standard output."""
    return "\n".join(importing.told(brought, sample.path.relative_to(FOLDER / "samples"), None)) + "\n"


def command(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`llmitm` in a process of its own."""
    executable = Path(sys.executable).parent / "llmitm"
    return subprocess.run(
        [executable, *arguments], capture_output=True, text=True, env=env, timeout=60, check=False
    )
