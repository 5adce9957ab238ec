"""Rewrites what the golden corpus expects to what comes out now; `git diff` then shows what changed.

    PYTHONPATH=addons:tests python tests/translate/golden_rewrite.py [words of names]

With words, only cases that have one of them in their name.
"""

from __future__ import annotations

import sys
import traceback

from support import golden


def main(words: list[str]) -> int:
    cases = [case for case in golden.load() if not words or any(word in case.name for word in words)]
    broken = sum(rewrite(case) for case in cases)
    print(f"{len(cases)} cases rewritten, {broken} translations raised")
    return 1 if broken else 0


def rewrite(case: golden.Case) -> int:
    """Writes the case anew; how many of its translations raised what they must not."""
    expected: dict[str, object] = {}
    broken = 0
    for other in case.others:
        try:
            expected[other] = golden.outcome(case, other)
        except Exception:
            broken += 1
            print(f"{case.kind}/{case.name} > {other}:\n{traceback.format_exc()}", file=sys.stderr)
            if other in case.expected:
                expected[other] = case.expected[other]
    case.path.write_text(golden.pretty(case.data | {"expected": expected}) + "\n", encoding="utf-8")
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
