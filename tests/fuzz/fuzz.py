"""Fuzzes the translation for a while and tells what it found. `just fuzz --seconds 60`

An input is one body or one whole stream. Each is made from a seed of its own: `--seed N --inputs 1
--target NAME` tries one again. With `--coverage` atheris, where it is installed, picks what to change.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parents[1] / "addons"), str(HERE.parent)]  # `fuzz` is this folder

from fuzz.targets import Fuzzed  # noqa: E402

WEIGHTS = {"sse": 8, "failure": 5, "request": 4, "reply": 4, "stream": 2}


class Found:
    """Faults, each kind once."""

    def __init__(self, keep: Path | None) -> None:
        self._keep = keep
        self._counts: Counter[str] = Counter()
        self.inputs: Counter[str] = Counter()

    def fault(self, name: str, seed: int, error: BaseException, text: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((one for one in reversed(frames) if "llmitm" in one.filename), frames[-1])
        where = f"{Path(place.filename).parent.name}/{Path(place.filename).name}:{place.lineno}"
        key = f"{name}: {type(error).__name__} in {place.name}, {where}: {str(error)[:150]}"
        kind = f"{name} {type(error).__name__} {where} {error if type(error).__name__ == 'Faulty' else ''}"
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            print(
                f"FAULT {key}\n      --target '{name}' --seed {seed} --inputs 1\n      {text[:300]!r}",
                flush=True,
            )
            if self._keep is not None:
                self._keep.mkdir(parents=True, exist_ok=True)
                (self._keep / f"{len(self._counts):03}.txt").write_bytes(text)

    def told(self, seconds: float) -> int:
        total = self.inputs.total()
        for name, count in sorted(self.inputs.items()):
            print(f"{name:32}{count:>12,}")
        print(f"{'inputs':32}{total:>12,}   {total / max(seconds, 0.001):,.0f} a second")
        print(f"{'kinds of faults':32}{len(self._counts):>12,}   {self._counts.total():,} inputs")
        return 1 if self._counts else 0


def attempt(fuzzed: Fuzzed, found: Found, name: str, seed: int) -> None:
    fuzzed.rng.seed(seed)
    fuzzed.input = b""
    found.inputs[name] += 1
    try:
        fuzzed.run(name)
    except Exception as error:  # whatever it is, it is a fault
        found.fault(name, seed, error, fuzzed.input)


def plainly(fuzzed: Fuzzed, found: Found, names: list[str], given: argparse.Namespace) -> None:
    until = time.monotonic() + given.seconds
    weights = [WEIGHTS.get(name.partition(" ")[0], 1) for name in names]
    order = random.Random(given.seed).choices(names, weights, k=997)
    for n in range(given.inputs or sys.maxsize):
        if not given.inputs and n % 64 == 0 and time.monotonic() > until:
            break
        attempt(fuzzed, found, order[n % len(order)], given.seed + n)


def by_coverage(fuzzed: Fuzzed, found: Found, names: list[str], given: argparse.Namespace) -> None:
    """The bytes that atheris makes choose the target and the seed of what is changed."""
    import atheris  # type: ignore[import-untyped]

    atheris.instrument_all()
    begun = time.monotonic()

    def one(data: bytes) -> None:
        if time.monotonic() - begun > given.seconds:
            sys.stdout.flush()
            raise SystemExit(found.told(time.monotonic() - begun))
        text = data.ljust(5, b"\0")
        attempt(fuzzed, found, names[text[0] % len(names)], int.from_bytes(text[1:9]))

    atheris.Setup([sys.argv[0], "-max_len=9", "-print_final_stats=0"], one)
    atheris.Fuzz()


def main() -> int:
    known = Fuzzed(random.Random(0))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=0, help="this many, instead of for so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=sorted(known.names), help="default: all")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that found a fault")
    parser.add_argument("--coverage", action="store_true", help="guided by atheris")
    given = parser.parse_args()
    found = Found(given.keep)
    begun = time.monotonic()
    run = by_coverage if given.coverage else plainly
    run(known, found, given.target or list(known.names), given)
    return found.told(time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
