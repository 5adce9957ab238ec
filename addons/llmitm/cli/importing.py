"""`llmitm config import`: another gateway's configuration, said as one of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from llmitm.errors import ConfigError
from llmitm.imports import kinds
from llmitm.imports.bring import Brought, bring
from llmitm.imports.found import Note
from llmitm.imports.parse import MOST_BYTES
from llmitm.secret import MASK, Secret

_SHORTEST: Final = 6
"""Shorter ones would be found in ordinary words."""
_TITLES: Final = {
    "lost": "Without a counterpart:",
    "changed": "Different from what it was:",
}


def run(file: Path, out: Path | None, kind: str | None, *, secrets_to_env: bool) -> int:
    """Prints the configuration, or writes it to `out`; what is to be known of it goes to standard error.

    Returns the exit status: 0, 1 where the result needs a hand or cannot be written, 2 where the source
    cannot be used.
    """
    if kind is not None and kind not in kinds.NAMES:
        return _failed(f"--from {kind}: one of {', '.join(kinds.NAMES)} is expected")
    if out is not None and out.exists():
        return _failed(f"{out} is there already; it is not overwritten", 1)
    try:
        with file.open("rb") as stream:
            text = stream.read(MOST_BYTES + 1)
    except OSError as error:
        return _failed(f"{file} cannot be read: {error.strerror}")
    is_moved = out is not None and out.resolve().parent != file.resolve().parent
    try:
        brought = bring(
            text,
            str(file),
            kind=kind,
            env=os.environ,
            secrets_to_env=secrets_to_env,
            folder=(out or file).resolve().parent,
            moved_from=file.resolve().parent if is_moved else None,
        )
    except ConfigError as error:
        return _failed(str(error))
    if out is None:
        sys.stdout.write(brought.text)
    else:
        try:
            _write(out, brought)
        except OSError as error:
            return _failed(f"{out} cannot be written: {error.strerror}", 1)
    sys.stdout.flush()
    print(_without(brought.known, "\n".join(told(brought, file, out))), file=sys.stderr)
    return 1 if brought.problems else 0


def _without(secrets: Sequence[Secret], text: str) -> str:
    """No note holds a value; should one ever, no secret is told."""
    for secret in secrets:
        if len(secret.reveal()) >= _SHORTEST:
            text = text.replace(secret.reveal(), MASK)
    return text


def _failed(why: str, status: int = 2) -> int:
    print(f"llmitm: {why}", file=sys.stderr)
    return status


def _write(out: Path, brought: Brought) -> None:
    """A file of its own; readable for its owner alone where keys stand in it."""
    mode = 0o600 if brought.secrets else 0o666
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
        stream.write(brought.text)


def told(brought: Brought, file: Path, out: Path | None) -> Iterable[str]:
    yield f"{file} is a configuration of {brought.kind}."
    for kind, title in _TITLES.items():
        notes: list[Note] = [one for one in brought.notes if one.kind == kind]
        if notes:
            yield from ("", title, *(f"  {one}" for one in notes))
    if brought.variables:
        width = max(map(len, brought.variables))
        yield from ("", "Set in the environment before the start:")
        yield from (f"  {name:<{width}}  {source}" for name, source in brought.variables.items())
    if brought.files:
        yield from ("", "Files to be put in place:", *(f"  {one}" for one in brought.files))
    if brought.problems:
        yield from ("", "To be mended by hand, or the result cannot be used:")
        yield from (f"  {one}" for one in brought.problems)
    if brought.secrets:
        count = len(brought.secrets)
        where = f"in {out}" if out is not None else "in what was printed"
        yield from (
            "",
            f"{count} secret{'' if count == 1 else 's'} {where}; --secrets-to-env puts names in their place.",
        )
    if out is not None:
        yield from ("", f"Wrote {out}. Next: llmitm config check {out}")
