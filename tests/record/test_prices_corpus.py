"""Recorded answers: what vendors say that they cost is what we make of their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from llmitm.config.schema import Config
from llmitm.exchange import Dialect
from llmitm.record.cost import Cost
from llmitm.record.prices import Prices
from llmitm.translate.chat.reply_in import read_reply as chat
from llmitm.translate.failures import UpstreamError
from llmitm.translate.gemini.reply_in import read_reply as gemini
from llmitm.translate.messages.reply_in import read_reply as messages
from llmitm.translate.neutral import Reply
from llmitm.translate.responses.reply_in import read_reply as responses
from support.clocks import HandClock
from support.corpus import ABSENT, CORPUS, records, reply_of

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=ABSENT)

READ: Final[dict[Dialect, Callable[[bytes], Reply]]] = {
    Dialect.OPENAI_CHAT: chat,
    Dialect.OPENAI_RESPONSES: responses,
    Dialect.ANTHROPIC_MESSAGES: messages,
    Dialect.GEMINI: gemini,
}
NAMED: Final = {"vertex": "google", "bedrock": "aws-bedrock"}
NOON_S: Final = datetime(2026, 11, 15, 12, 30, tzinfo=UTC).timestamp()
PRICES: Final = Prices(Config(), HandClock())


def costs(dialect: Dialect) -> Iterator[tuple[str, Cost]]:
    """Of all whole answers with counts and a known model: the vendor, and what we say that they cost."""
    for record in records(dialect):
        body = reply_of(record)
        if body is None or not record["model"] or not record["vendor"]:
            continue
        try:
            reply = READ[dialect](body)
        except UpstreamError:
            continue
        if reply.usage is not None:
            provider = NAMED.get(record["vendor"], record["vendor"])
            yield (
                provider,
                PRICES.cost(
                    provider=provider,
                    model=record["model"],
                    answered=reply.model,
                    usage=reply.usage,
                    at_s=NOON_S,
                ),
            )


@pytest.mark.parametrize("dialect", Dialect)
def test_no_counts_contradict_one_another_and_the_great_vendors_are_priced(dialect: Dialect) -> None:
    found = Counter[tuple[str, bool]]()
    for provider, cost in costs(dialect):
        assert cost.usd_nano is not None or (cost.why or "").startswith("no price is known"), cost
        found[provider, cost.usd_nano is not None] += 1
    for provider in ("openai", "anthropic", "google"):
        assert found[provider, False] == 0
    assert sum(found.values()) > 50


@pytest.mark.parametrize("dialect", [Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES])
def test_what_xai_says_is_what_we_make_of_it(dialect: Dialect) -> None:
    reported = [cost for provider, cost in costs(dialect) if provider == "xai" and cost.version == "reported"]
    assert reported
    assert [cost.usd_nano for cost in reported] == [cost.listed_usd_nano for cost in reported]
