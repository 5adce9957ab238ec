"""Runs within a gateway: writes down how long its event loop works at a stretch, by the wall and by the CPU.

It is imported by the interpreter's own start, see `waits.watching`, and does nothing in any other process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Final

NOTED_S: Final = 0.02
"""Shorter stretches are not written down."""
_SAMPLE_S: Final = 0.01


class Stretches:
    """Times each callback of the loop, and looks now and then at what a long one is doing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run = asyncio.Handle._run
        self._began_s = 0.0
        self._thread = threading.get_ident()
        self._seen: list[str] = []

    def begin(self) -> None:
        stretches = self

        def run(handle: asyncio.Handle) -> None:
            stretches._thread = threading.get_ident()
            stretches._began_s, cpu_s = time.monotonic(), time.thread_time()
            try:
                stretches._run(handle)
            finally:
                began_s, stretches._began_s = stretches._began_s, 0.0
                took_s, cpu_s = time.monotonic() - began_s, time.thread_time() - cpu_s
                if took_s >= NOTED_S:
                    stretches._note(took_s, cpu_s)

        asyncio.Handle._run = run  # type: ignore[assignment, method-assign]
        threading.Thread(target=self._sample, daemon=True).start()

    def _note(self, took_s: float, cpu_s: float) -> None:
        seen, self._seen = self._seen, []
        where = max(set(seen), key=seen.count) if seen else ""
        with self._path.open("a") as file:
            file.write(f"{took_s:.4f}\t{cpu_s:.4f}\t{where}\n")

    def _sample(self) -> None:
        while True:
            time.sleep(_SAMPLE_S)
            began_s = self._began_s
            if began_s and time.monotonic() - began_s > NOTED_S:
                frame = sys._current_frames().get(self._thread)
                self._seen.append(_place(frame))
            elif not began_s:
                self._seen = []


def _place(frame: FrameType | None) -> str:
    """The innermost calls, the gateway's own before all."""
    found: list[str] = []
    while frame is not None and len(found) < 4:
        name = frame.f_code.co_filename
        if "/llmitm/" in name or not found:
            found.append(f"{Path(name).name}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found)


if path := os.environ.get("STRETCHES"):
    Stretches(Path(path)).begin()
