"""An attempt that brought nothing to hand on. Before the first step, anything can still be tried."""

from __future__ import annotations

from llmitm.errors import UpstreamFailed
from llmitm.exchange import ResponseHead
from llmitm.route.verdict import Ending


class Missed(Exception):
    """Raised by the steps of an attempt in place of their first one."""

    def __init__(
        self,
        ending: Ending,
        told: ResponseHead,
        said: str,
        *,
        retry_after_s: float | None = None,
        is_gateways: bool = False,
        failed: UpstreamFailed | None = None,
    ) -> None:
        super().__init__(said)
        self.ending = ending
        self.told = told
        """What the client is told where this was the last attempt: a whole answer in its dialect."""
        self.said = said
        """For the log."""
        self.retry_after_s = retry_after_s
        self.is_gateways = is_gateways
        """It was the error of a Cloudflare gateway, not of the provider behind it."""
        self.failed = failed
        """Where there was no answer at all."""
