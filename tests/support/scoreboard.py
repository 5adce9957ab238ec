"""How much of the recorded traffic survives each translation: `python -m support.scoreboard [-v] [filter]`.

A filter is a dialect's name, or two joined by `>`. With `-v` each failing record and the first thing that
its readers learn otherwise.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from llmitm.exchange import Dialect
from support.asking import judge_request, judge_return
from support.corpus import ABSENT, CORPUS, Record, sampled
from support.failing import judge_error
from support.keeping import judge_kept
from support.pairs import PAIRS, Verdict, judge_reply, judge_stream

type Judge = Callable[[Record, Dialect], Verdict | None]

JUDGES: dict[str, Judge] = {
    "replies": judge_reply,
    "streams": judge_stream,
    "requests": judge_request,
    "returns": judge_return,
    "kept": judge_kept,
    "errors": judge_error,
}


@dataclass(slots=True)
class Score:
    passed: int = 0
    failures: list[Verdict] = field(default_factory=list)
    out: Counter[str] = field(default_factory=Counter)
    """Left out, by reason."""

    @property
    def is_worth(self) -> bool:
        """Most of what was looked at could be judged: how many there are is a matter of the recordings."""
        return self.passed > self.out.total()

    @property
    def told(self) -> str:
        return f"{self.passed}/{self.passed + len(self.failures)}"


def score(judge: Judge, wire: Dialect, target: Dialect, every: int = 1) -> Score:
    """Of all records, or of every n-th: each target gets others, so that together they see more."""
    made = Score()
    for record in sampled(wire, every, PAIRS.index((wire, target))):
        verdict = judge(record, target)
        if verdict is None:
            continue
        if verdict.is_out:
            made.out[verdict.why[:60]] += 1
        elif verdict.why:
            made.failures.append(verdict)
        else:
            made.passed += 1
    return made


def main(arguments: list[str]) -> int:
    if not CORPUS.is_dir():
        print(ABSENT)
        return 1
    is_long = "-v" in arguments
    wanted = [one for one in arguments if one != "-v"]
    print(f"{'pair':42}" + "".join(f"{name:>14}" for name in JUDGES))
    details: list[str] = []
    for wire, target in PAIRS:
        name = f"{wire}>{target}"
        if wanted and not any(one in name for one in wanted):
            continue
        scores = {kind: score(judge, wire, target) for kind, judge in JUDGES.items()}
        print(f"{name:42}" + "".join(f"{one.told:>14}" for one in scores.values()), flush=True)
        for kind, one in scores.items():
            details += (f"{name} {kind} {bad.id} {bad.why}" for bad in one.failures)
            details += (f"{name} {kind} left out: {count} {why}" for why, count in one.out.items())
    if is_long:
        print("\n".join(details))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
