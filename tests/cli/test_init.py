"""`llmitm init` at a terminal: one of its three answers is not seen. (More: config/test_first.py.)"""

from __future__ import annotations

import stat
from pathlib import Path

from support.gateway import BIN
from support.terminals import AtTerminal

KEY = "canary-that-nobody-may-see"


def test_a_key_that_is_typed_is_shown_nowhere(tmp_path: Path) -> None:
    asked = AtTerminal([str(BIN / "llmitm"), "init"], tmp_path)
    asked.until("openai]: ")
    asked.type("mistral\n")
    asked.until("bring their own")
    asked.type(f"{KEY}\n")
    asked.until("y/N")
    asked.type("n\n")
    told = asked.rest()
    assert asked.close() == 0
    assert KEY not in told and "Wrote config.toml: mistral" in told
    file = tmp_path / "mistral.key"
    assert file.read_text() == f"{KEY}\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY not in (tmp_path / "config.toml").read_text()
