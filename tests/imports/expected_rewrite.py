"""Rewrites what samples are expected to become to what they become now; `git diff` shows what changed.

PYTHONPATH=addons:tests python tests/imports/expected_rewrite.py [words of names]
"""

from __future__ import annotations

import sys

from support import imported


def main(words: list[str]) -> None:
    for sample in imported.load():
        if words and not any(word in sample.name for word in words):
            continue
        brought = sample.brought()
        sample.expected.parent.mkdir(parents=True, exist_ok=True)
        sample.expected.write_text(brought.text, encoding="utf-8")
        sample.told.write_text(imported.told(sample, brought), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
