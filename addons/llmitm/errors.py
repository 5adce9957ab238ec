"""The error tree, split by who must act.

    LlmitmError
    ├── ConfigError      the operator: file, path and what was expected, all problems at once
    ├── Refused          the client: what it asked for is not done (400, 401, 404, 413, ...)
    │   ├── Limited      it asked for more than it may (429)
    │   └── ClientGone   the client left: there is nobody to answer
    └── UpstreamFailed   the upstream: no answer, a broken one, or too late (502, 504)

Anything else is our own fault: 500, and a log line with the exchange's id. Classes store facts;
`str()` makes the sentence. Sentences reach clients, so they name no secret, address or file of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class LlmitmError(Exception):
    """Everything that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration."""

    path: str
    """Where it stands, such as `endpoints.dev.proxy_url` or `gateways[1].token`."""
    message: str
    """What is wrong and what was expected."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(LlmitmError):
    """A configuration that cannot be used, with every problem found in it."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.source}: {count} problem{'s' if count != 1 else ''}"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


class Refused(LlmitmError):
    """The client's request is not carried out. `code` is stable and machine-readable."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        param: str | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.param = param
        """The place in the client's request; None where there is no one place."""

    def __str__(self) -> str:
        return self.message


class Limited(Refused):
    """A limit of ours was hit. `limit` says whose it is (`all`, `key:NAME`, `model:GLOB`), `kind` what it
    counts; both from the configuration.
    """

    def __init__(
        self, limit: str, kind: str, code: str, message: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(429, code, message, headers=headers)
        self.limit = limit
        self.kind = kind


class ClientGone(Refused):
    """The client left before its request was complete, or before its answer was."""

    def __init__(self) -> None:
        super().__init__(499, "client_closed_request", "The client closed the connection.")


def too_large(limit_bytes: int) -> Refused:
    limit_mb = limit_bytes / 1_048_576
    return Refused(
        413,
        "request_too_large",
        f"The request body is larger than {limit_mb:g} MiB ([server] body_limit_mb), and this endpoint "
        "must hold it whole.",
    )


def wrong_method(*allowed: str) -> Refused:
    methods = ", ".join(allowed)
    return Refused(
        405,
        "method_not_allowed",
        f"This path takes {methods}.",
        headers=((b"allow", methods.encode()),),
    )


class Failure(StrEnum):
    """How an upstream failed."""

    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    PROXY = "proxy"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    EXCHANGE_TIMEOUT = "exchange_timeout"
    RESET = "reset"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    KILLED = "killed"


# what breaks in the middle of a stream has no status: agents know by such words that they may try again
_SENTENCES = {
    Failure.REFUSED: "The provider refused the connection.",
    Failure.DNS: "The provider's host name could not be resolved.",
    Failure.TLS: "The TLS handshake with the provider failed.",
    Failure.PROXY: "The outbound proxy did not let the request through.",
    Failure.CONNECT_TIMEOUT: "The provider did not accept the connection in time.",
    Failure.FIRST_BYTE_TIMEOUT: "The provider did not begin to answer in time.",
    Failure.IDLE_TIMEOUT: "The provider fell silent in the middle of its answer; try your request again.",
    Failure.EXCHANGE_TIMEOUT: "The exchange took longer than it may.",
    Failure.RESET: "Connection lost: the provider closed it.",
    Failure.TRUNCATED: "The provider's answer ended before it was complete; try your request again.",
    Failure.MALFORMED: "The provider's answer is not valid HTTP.",
    Failure.KILLED: "The request was stopped by an operator.",
}

_TIMEOUTS = frozenset(
    {
        Failure.CONNECT_TIMEOUT,
        Failure.FIRST_BYTE_TIMEOUT,
        Failure.IDLE_TIMEOUT,
        Failure.EXCHANGE_TIMEOUT,
    }
)


class UpstreamFailed(LlmitmError):
    """An attempt brought no answer, or its answer broke off."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail
        """For the log only: may name hosts."""

    @property
    def status(self) -> int:
        return 504 if self.failure in _TIMEOUTS else 502

    @property
    def message(self) -> str:
        return _SENTENCES[self.failure]

    def __str__(self) -> str:
        return f"{self.message} {self.detail}".rstrip()
