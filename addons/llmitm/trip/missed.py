"""An attempt that brought nothing to hand on. Before its first step, anything can still be tried."""

from __future__ import annotations

from llmitm.exchange import ResponseHead
from llmitm.route.verdict import Ending
from llmitm.translate.neutral import Failure


class Missed(Exception):
    """Raised by the steps of an attempt in place of their first one."""

    def __init__(
        self,
        ending: Ending,
        failure: Failure,
        told: ResponseHead,
        *,
        said: str = "",
        is_gateways: bool = False,
    ) -> None:
        super().__init__(said or f"{failure.status} {failure.message}")
        self.ending = ending
        self.failure = failure
        """What the client is told, as values; `retry_after_s` is the upstream's."""
        self.told = told
        """The same as a whole answer in the client's dialect."""
        self.is_gateways = is_gateways
        """It was the error of a Cloudflare gateway, not of the provider behind it."""
