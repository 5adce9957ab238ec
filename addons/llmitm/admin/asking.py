"""Queries of who reads: filters, limits and cursors as they stand in a URL, with names for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from llmitm.admin.shelf import Unreadable
from llmitm.errors import Refused
from llmitm.record.ledger.moments import moment
from llmitm.record.ledger.reading import NoLedger, Wanted

MOST_A_PAGE: Final = 500
MOST_SIGNS: Final = 200


def _moment(value: Any) -> Any:
    return moment(value) if isinstance(value, str) and value else None


def _blank(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds a NUL, which no text in the ledger does")
    return None if value == "" else value


def _bare(value: Any) -> Any:
    """What is pasted has spaces around it."""
    return _blank(value.strip() if isinstance(value, str) else value)


type Text = Annotated[str | None, BeforeValidator(_blank), Field(max_length=MOST_SIGNS)]
type At = Annotated[str | None, BeforeValidator(_moment), Field(max_length=40)]
"""A date, an RFC 3339 time, or a span before now: 90m, 12h, 7d, 2w."""


class Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filters(Query):
    """Which exchanges. Names may be globs."""

    q: Annotated[str | None, BeforeValidator(_bare), Field(max_length=MOST_SIGNS)] = None
    model: Text = None
    provider: Text = None
    credential: Text = None
    key: Text = None
    endpoint: Text = None
    status: Text = None
    outcome: Text = None
    min_ms: Annotated[float | None, BeforeValidator(_blank), Field(ge=0)] = None
    min_cost: Annotated[float | None, BeforeValidator(_blank), Field(ge=0, le=1e9)] = None
    """US dollars."""
    since: At = None
    until: At = None

    def wanted(self, *, in_bodies: bool = False) -> Wanted:
        return Wanted(
            model=self.model,
            provider=self.provider,
            credential=self.credential,
            key=self.key,
            endpoint=self.endpoint,
            status=self.status,
            outcome=self.outcome,
            min_latency_ms=self.min_ms,
            min_cost_usd=self.min_cost,
            text=self.q,
            in_bodies=in_bodies,
            since=self.since,
            until=self.until,
        )


ERRORS: Final = (409, 422, 503)
"""What may come of asking the ledger, beside an answer."""


@contextmanager
def ledger_errors() -> Iterator[None]:
    """What asking the ledger may end in, as answers.

    Raises:
        Refused.
    """
    try:
        yield
    except NoLedger as error:
        raise Refused(409, "no_ledger", f"There is nothing to look into: {error}.") from None
    except Unreadable as error:
        raise Refused(503, "ledger_unreadable", str(error)) from None
    except ValueError as error:
        raise Refused(422, "validation_failed", str(error)) from None
