"""`just bench-telemetry`: what traces and metrics cost on the request path, as ratios within one run.

The same gateway with telemetry off, off again and on, in turn: the forward endpoint, and the full path. The
collector is the upstream, which takes whatever it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import books
import turns

ON = '[telemetry]\nenabled = true\nendpoint = "http://127.0.0.1:{upstream}"\nsample_ratio = '


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--ratio", type=float, default=1.0)
    options = parser.parse_args()
    what = {"off": books.OFF, turns.AGAIN: books.OFF, "on": f"{books.OFF}{ON}{options.ratio}\n"}
    with tempfile.TemporaryDirectory(prefix="llmitm-bench-") as folder:
        asyncio.run(books.measure(Path(folder), options.rounds, options.seconds, what=what))


if __name__ == "__main__":
    main()
