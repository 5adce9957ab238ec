"""What a client is told by a gateway that cannot reach the store that it shares: a part, or 503."""

from __future__ import annotations

from typing import Any

import pytest

from llmitm.accept.budgets import Charge, Spent, read
from llmitm.accept.estimate import Estimate
from llmitm.accept.limits import Asked, Ticket, admit
from llmitm.config.schema import Config
from llmitm.errors import Limited, Refused
from llmitm.exchange import Dialect
from llmitm.state.alone import Policy, WhileAway
from llmitm.state.shared import SharedStore
from support.clocks import HandClock
from support.stores import Away


class Gate:
    """One of four gateways, whose store is away."""

    def __init__(self, policy: Policy, **limits: Any) -> None:
        self.clock = HandClock()
        self.way = Away(self.clock)
        self.way.is_away = True
        self.store = SharedStore(
            self.way, self.clock, name="there", while_away=WhileAway(policy=policy, gateways=4)
        )
        self.config = Config.model_validate({"rate_limit": limits})
        self.count = 0

    async def admit(self, charge: Charge | None = None) -> Ticket:
        self.count += 1
        one = Asked(
            exchange_id=f"x-{self.count}",
            auth_key=None,
            dialect=Dialect.OPENAI_CHAT,
            body=b"{}",
            max_output_tokens=9,
        )
        return await admit(one, self.config, self.store, self.clock, charge=charge)


def headers_of(pairs: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in pairs}


async def test_a_share_is_told_as_what_there_is() -> None:
    gate = Gate("share", rpm=10)
    left = [headers_of((await gate.admit()).headers()) for _ in range(2)]
    assert [one["x-ratelimit-remaining-requests"] for one in left] == ["1", "0"]
    assert {one["x-ratelimit-limit-requests"] for one in left} == {"10"}
    with pytest.raises(Limited) as caught:
        await gate.admit()
    assert caught.value.message == (
        "All clients together may send 10 requests a minute, 2 of them through this gateway for now. "
        "Try again in 1m1s."
    )
    assert headers_of(caught.value.headers)["x-ratelimit-remaining-requests"] == "0"


async def test_the_wait_is_until_all_shares_have_room() -> None:
    gate = Gate("share", rpm=4, tpm=40)
    first = await gate.admit()
    gate.clock.at_s += 30
    await first.release()
    with pytest.raises(Limited) as caught:
        await gate.admit()
    assert caught.value.kind == "requests"
    assert headers_of(caught.value.headers)["retry-after"] == "31"


async def test_places_come_in_shares_too() -> None:
    gate = Gate("share", concurrency=8)
    tickets = [await gate.admit() for _ in range(2)]
    with pytest.raises(Limited, match="8 requests at once, 2 of them through this gateway for now"):
        await gate.admit()
    await tickets[0].release()
    await gate.admit()


async def test_what_cannot_be_counted_is_refused_if_that_is_wanted() -> None:
    gate = Gate("refuse", rpm=10, concurrency=9)
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            await gate.admit()
        error = caught.value
        assert (error.status, error.code) == (503, "limits_unknown")
        told = headers_of(error.headers)
        assert (told["retry-after"], told["x-should-retry"]) == ("2", "true")
    gate.way.is_away = False
    await gate.store.try_again()
    ticket = await gate.admit()
    assert headers_of(ticket.headers())["x-ratelimit-remaining-requests"] == "9"


async def test_what_was_let_in_before_ends_as_it_would() -> None:
    gate = Gate("refuse", concurrency=2)
    gate.way.is_away = False
    tickets = [await gate.admit() for _ in range(2)]
    gate.way.is_away = True
    for ticket in tickets:
        await ticket.go_on()
        await ticket.release()
    gate.way.is_away = False
    await gate.store.try_again()
    for _ in range(2):
        await gate.admit()


async def test_a_budget_is_told_to_be_shared_for_now() -> None:
    """And nobody is sent away until it renews."""
    gate = Gate("share", rpm=1000)
    budget = Config.model_validate({"budget": {"tokens": 100, "period": "daily"}})
    held = Spent(tokens=10, usd_nano=0)

    async def charged() -> Ticket:
        charge = Charge(
            budgets=read(budget).of(None),
            at_s=gate.clock.now_s(),
            estimate=Estimate(10, 0),
            prompt=held,
            whole=held,
        )
        return await gate.admit(charge)

    for _ in range(2):
        await charged()
    with pytest.raises(Limited) as caught:
        await charged()
    assert caught.value.message == (
        "All clients together may spend 100 tokens a day, and 20 tokens of that are spent or held by "
        "requests under way; this request may take 10 tokens. Until it is known what others spend, 5 tokens "
        "of the rest are for this gateway."
    )
    told = headers_of(caught.value.headers)
    assert (told["retry-after"], "x-should-retry" in told) == ("2", False)


async def test_without_limits_nothing_is_asked() -> None:
    gate = Gate("refuse")
    await gate.admit()
    assert gate.way.asked == 0
