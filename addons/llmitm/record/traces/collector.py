"""The collector that is sent to, over HTTP."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp

from llmitm import __version__
from llmitm.config.telemetry import Telemetry

AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses that invite to come again, as OTLP has it."""
MOST_ANSWER_BYTES: Final = 65_536
_GZIP_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of one request."""

    is_taken: bool
    may_come_again: bool = False
    why: str = ""
    after_s: float | None = None
    answer: bytes = b""


class Collector(Protocol):
    async def post(self, url: str, body: bytes) -> Posted:
        """Never raises for what goes wrong on the way."""

    async def close(self) -> None: ...


class HttpCollector:
    """No proxy of the environment is used: what it sends is about what goes through proxies."""

    def __init__(self, settings: Telemetry, tls: ssl.SSLContext | None = None) -> None:
        self._headers: Mapping[str, str] = {
            "user-agent": f"llmitm/{__version__}",
            "content-type": "application/x-protobuf",
            **({"content-encoding": "gzip"} if settings.compression == "gzip" else {}),
            **{name: value.reveal() for name, value in settings.headers.items()},
        }
        self._is_compressed = settings.compression == "gzip"
        self._timeout_s = settings.timeout_s
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes) -> Posted:
        if self._session is None:  # needs the running loop
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), trust_env=False
            )
        if self._is_compressed:
            body = gzip.compress(body, _GZIP_LEVEL)
        try:
            async with self._session.post(
                url, data=body, headers=self._headers, ssl=self._tls or True, allow_redirects=False
            ) as answer:
                said = await answer.content.read(MOST_ANSWER_BYTES)
        except TimeoutError:
            return Posted(False, True, f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Posted(False, True, str(error) or type(error).__name__)
        if 200 <= answer.status < 300:
            return Posted(True, answer=said)
        after = answer.headers.get("retry-after", "")
        after_s = float(after) if after.isdecimal() and len(after) < 5 else None
        return Posted(False, answer.status in AGAIN, f"status {answer.status}", after_s)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
