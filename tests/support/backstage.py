"""The demonstration provider in a thread of its own, for tests that are not async."""

from __future__ import annotations

import asyncio
import ssl as tls
import threading
import time
from collections.abc import Iterable
from types import TracebackType

from llmitm.demo.provider import Provider
from llmitm.demo.received import Received


class Backstage:
    """A running provider. `received` looks at what arrived since `forget`."""

    def __init__(self, *, ssl: tls.SSLContext | None = None, **options: object) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self.provider = Provider(**options)  # type: ignore[arg-type]
        self._ssl = ssl
        self._from = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        self.url = self.provider.url
        self.port = self.provider.port

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.provider.start(ssl=self._ssl))
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self.provider.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def forget(self) -> None:
        self._from = self.provider.count

    @property
    def new(self) -> int:
        """How many requests came since `forget`."""
        return self.provider.count - self._from

    def received(self, number: int = 1, timeout_s: float = 5.0) -> Received:
        """The request of that number since `forget`, once it is there."""
        waited = asyncio.run_coroutine_threadsafe(self.provider.received(self._from + number), self._loop)
        return waited.result(timeout_s)

    def wait_gone(self, received: Received, timeout_s: float = 5.0) -> float:
        """Waits until the provider saw its peer leave before the answer's end. Returns the wait in s."""
        started_s = time.monotonic()
        waited = asyncio.run_coroutine_threadsafe(received.gone.wait(), self._loop)
        waited.result(timeout_s)
        return time.monotonic() - started_s

    def script(self, specs: Iterable[str | None]) -> None:
        self._loop.call_soon_threadsafe(self.provider.script, list(specs))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def __enter__(self) -> Backstage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
