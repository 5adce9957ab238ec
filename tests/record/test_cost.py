"""Laws of bills: no token twice, none left out, parts add up, more never costs less."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.exchange import Usage
from llmitm.record.cost import Cost, nano_of, priced
from llmitm.record.rates import CALLS, NANO, TOKENS, Cells, PriceList, price_of, rate_of

FULL: Final[Cells] = {
    "input": Decimal("2"),
    "cache_read": Decimal("0.2"),
    "cache_write": Decimal("2.5"),
    "cache_write_1h": Decimal("4"),
    "audio_input": Decimal("32"),
    "cache_read_audio": Decimal("0.4"),
    "image_input": Decimal("5"),
    "cache_read_image": Decimal("0.5"),
    "output": Decimal("10"),
    "reasoning": Decimal("3"),
    "audio_output": Decimal("64"),
    "image_output": Decimal("30"),
    "web_search": Decimal("10"),
}
TEXT: Final[Cells] = {"input": Decimal("2"), "output": Decimal("10")}
LONG: Final = PriceList(bands=(FULL, {kind: price * 2 for kind, price in FULL.items()}), starts=(1000,))


def bill(cells: Cells = FULL, **counts: Any) -> Cost:
    return priced(Usage(**counts), PriceList(bands=(cells,)), "v")


def counted(cost: Cost) -> dict[str, int]:
    return {part.kind: part.count for part in cost.parts}


SPLIT: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "plain": ({"input_tokens": 10, "output_tokens": 5}, {"input": 10, "output": 5}),
    "a cache is part of the input": (
        {"input_tokens": 10, "output_tokens": 0, "cache_read_tokens": 4, "cache_write_tokens": 3},
        {"input": 3, "cache_read": 4, "cache_write": 3},
    ),
    "an hour's writing is part of the writing": (
        {"input_tokens": 10, "output_tokens": 0, "cache_write_tokens": 7, "cache_write_1h_tokens": 2},
        {"input": 3, "cache_write": 5, "cache_write_1h": 2},
    ),
    "reasoning is part of the output": (
        {"input_tokens": 0, "output_tokens": 9, "reasoning_tokens": 4},
        {"output": 5, "reasoning": 4},
    ),
    "reasoning of hosts that do not add up ends where the output does": (
        {"input_tokens": 0, "output_tokens": 9, "reasoning_tokens": 40},
        {"reasoning": 9},
    ),
    "media are parts": (
        {
            "input_tokens": 10,
            "audio_in_tokens": 4,
            "image_in_tokens": 3,
            "output_tokens": 9,
            "audio_out_tokens": 2,
            "image_out_tokens": 3,
        },
        {"input": 3, "audio_input": 4, "image_input": 3, "output": 4, "audio_output": 2, "image_output": 3},
    ),
    "what tools fed back is input": (
        {"input_tokens": 10, "tool_prompt_tokens": 6, "output_tokens": 0},
        {"input": 10},
    ),
    "predictions are output": (
        {"input_tokens": 0, "output_tokens": 9, "predicted_ok_tokens": 3, "predicted_rejected_tokens": 5},
        {"output": 9},
    ),
    "a cache is text as far as there is any": (
        {"input_tokens": 10, "audio_in_tokens": 6, "cache_read_tokens": 5, "output_tokens": 0},
        {"cache_read": 4, "cache_read_audio": 1, "audio_input": 5},
    ),
    "a cache of all media": (
        {
            "input_tokens": 10,
            "audio_in_tokens": 4,
            "image_in_tokens": 4,
            "cache_read_tokens": 10,
            "output_tokens": 0,
        },
        {"cache_read": 2, "cache_read_audio": 4, "cache_read_image": 4},
    ),
    "a cache whose media are told": (
        {
            "input_tokens": 10,
            "audio_in_tokens": 6,
            "cache_read_tokens": 5,
            "cached_audio_tokens": 5,
            "output_tokens": 0,
        },
        {"input": 4, "audio_input": 1, "cache_read_audio": 5},
    ),
    "writing beyond the text is of audio": (
        {"input_tokens": 10, "audio_in_tokens": 6, "cache_write_tokens": 9, "output_tokens": 0},
        {"audio_input": 1, "cache_write": 9},
    ),
    "writing beyond the text and the audio is of images": (
        {
            "input_tokens": 10,
            "audio_in_tokens": 2,
            "image_in_tokens": 6,
            "cache_write_tokens": 9,
            "output_tokens": 0,
        },
        {"image_input": 1, "cache_write": 9},
    ),
}


@pytest.mark.parametrize(("counts", "kinds"), SPLIT.values(), ids=SPLIT)
def test_every_token_is_of_one_kind(counts: dict[str, int], kinds: dict[str, int]) -> None:
    cost = bill(**counts)
    assert counted(cost) == kinds
    assert cost.usd_nano == sum(count * FULL[kind] * 1000 for kind, count in kinds.items())


FALLS: dict[str, tuple[dict[str, str], dict[str, int], int]] = {
    "all is text": ({}, {"cache_read_tokens": 10, "audio_in_tokens": 5}, 20_000),
    "an hour costs what five minutes do": (
        {"cache_write": "3"},
        {"cache_write_tokens": 10, "cache_write_1h_tokens": 10},
        30_000,
    ),
    "audio from the cache is audio": (
        {"cache_read": "1", "audio_input": "7"},
        {"audio_in_tokens": 10, "cache_read_tokens": 10},
        70_000,
    ),
    "audio from the cache is from the cache": (
        {"cache_read": "1"},
        {"audio_in_tokens": 10, "cache_read_tokens": 10},
        10_000,
    ),
    "images are text": ({}, {"image_in_tokens": 10}, 20_000),
}


@pytest.mark.parametrize(("more", "counts", "nano"), FALLS.values(), ids=FALLS)
def test_what_has_no_price_costs_what_it_is_a_part_of(
    more: dict[str, str], counts: dict[str, int], nano: int
) -> None:
    cells = {**TEXT, **{kind: Decimal(price) for kind, price in more.items()}}
    assert bill(cells, input_tokens=10, output_tokens=0, **counts).usd_nano == nano


WRONG: dict[str, dict[str, int]] = {
    "more read than there is": {"cache_read_tokens": 11},
    "more read and written than there is": {"cache_read_tokens": 6, "cache_write_tokens": 5},
    "more for an hour than written": {"cache_write_tokens": 1, "cache_write_1h_tokens": 2},
    "fewer than none": {"cache_read_tokens": -4},
    "fewer audio than none": {"audio_out_tokens": -1},
    "more audio than there is": {"audio_in_tokens": 11},
    "more media than there is": {"audio_in_tokens": 6, "image_in_tokens": 5},
    "more audio made than there is": {"audio_out_tokens": 6},
    "more media made than there is": {"audio_out_tokens": 3, "image_out_tokens": 3},
    "more audio in the cache than audio": {
        "audio_in_tokens": 1,
        "cached_audio_tokens": 2,
        "cache_read_tokens": 5,
    },
    "more media in the cache than in the cache": {
        "audio_in_tokens": 4,
        "cached_audio_tokens": 3,
        "cache_read_tokens": 2,
    },
}


@pytest.mark.parametrize("counts", WRONG.values(), ids=WRONG)
def test_counts_that_contradict_one_another_have_no_price(counts: dict[str, int]) -> None:
    cost = bill(input_tokens=10, output_tokens=5, **counts)
    assert cost.usd_nano is None and cost.why and not cost.is_whole


LACKING: dict[str, tuple[dict[str, Any], int | None, tuple[str, ...]]] = {
    "nothing told": ({}, None, ()),
    "no input told": ({"output_tokens": 1}, 10_000, ("input tokens",)),
    "no output told": ({"input_tokens": 1}, 2_000, ("output tokens",)),
    "known zeros": ({"input_tokens": 0, "output_tokens": 0}, 0, ()),
    "a stream that was cut": (
        {"input_tokens": 1, "output_tokens": 1, "is_final": False},
        12_000,
        ("what followed the cut",),
    ),
    "a tool without a price": (
        {"input_tokens": 1, "output_tokens": 0, "server_tools": (("code_interpreter_calls", 1),)},
        2_000,
        ("the price of code_interpreter_calls",),
    ),
    "a tool that was not used": (
        {"input_tokens": 1, "output_tokens": 0, "server_tools": (("code_interpreter_calls", 0),)},
        2_000,
        (),
    ),
    "a tool that costs nothing": (
        {"input_tokens": 1, "output_tokens": 0, "server_tools": (("web_fetch_requests", 9),)},
        2_000,
        (),
    ),
}


@pytest.mark.parametrize(("counts", "nano", "lacks"), LACKING.values(), ids=LACKING)
def test_what_is_unknown_is_named_and_never_zero(
    counts: dict[str, Any], nano: int | None, lacks: tuple[str, ...]
) -> None:
    cost = bill(**counts)
    assert (cost.usd_nano, cost.lacks) == (nano, lacks)
    assert cost.is_whole is (nano is not None and not lacks)


def test_a_model_that_makes_no_text_has_no_output_to_tell() -> None:
    cost = bill({"input": Decimal("0.02")}, input_tokens=8)
    assert (cost.usd_nano, cost.is_whole) == (160, True)


def test_a_fee_by_the_request_is_taken_once() -> None:
    cost = bill({**TEXT, "request": Decimal(12)}, input_tokens=1, output_tokens=0)
    assert cost.usd_nano == 2_000 + 12_000_000


def test_searches_that_are_billed_by_the_answer_are_taken_once() -> None:
    usage = Usage(input_tokens=0, output_tokens=0, server_tools=(("web_search_requests", 5),))
    prices = PriceList(bands=(FULL,))
    assert priced(usage, prices, "v").usd_nano == 50_000_000
    assert priced(usage, prices, "v", once=frozenset({"web_search"})).usd_nano == 10_000_000


ROUNDED: dict[str, tuple[Fraction, int]] = {
    "below a half": (Fraction(49, 100), 0),
    "half, to the even one below": (Fraction(1, 2), 0),
    "above a half": (Fraction(51, 100), 1),
    "half, to the even one above": (Fraction(3, 2), 2),
    "half of five": (Fraction(5, 2), 2),
    "whole": (Fraction(7), 7),
}


@pytest.mark.parametrize(("amount", "nano"), ROUNDED.values(), ids=ROUNDED)
def test_halves_go_to_the_even_one(amount: Fraction, nano: int) -> None:
    assert nano_of(int(amount * NANO)) == nano


def test_a_row_is_rounded_once() -> None:
    # 0.5 + 0.5 + 0.5 nano-dollars: each for itself would be none
    half = {kind: Decimal("0.0005") for kind in TOKENS}
    cost = bill(half, input_tokens=2, cache_read_tokens=1, output_tokens=1)
    assert cost.usd_nano == 2
    assert [part.usd_nano for part in cost.parts] == [0, 1, 1]


@pytest.mark.parametrize("kind", [*TOKENS, *CALLS])
def test_a_part_says_its_price(kind: str) -> None:
    assert price_of(kind, rate_of(kind, Decimal("0.0833333333333333"))) == Decimal("0.0833333333333333")


# ---- laws

COUNTS = st.integers(0, 3_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts that do not contradict one another."""

    def parts(number: int) -> list[int]:
        return [draw(COUNTS) for _ in range(number)]

    text, audio, image = parts(3)
    out_text, out_audio, out_image = parts(3)
    total = text + audio + image
    read = draw(st.integers(0, total))
    written = draw(st.integers(0, total - read))
    return Usage(
        input_tokens=total,
        output_tokens=out_text + out_audio + out_image,
        cache_read_tokens=draw(st.sampled_from([None, read])) if not written else read,
        cache_write_tokens=written or None,
        cache_write_1h_tokens=draw(st.integers(0, written)) or None,
        audio_in_tokens=audio or None,
        image_in_tokens=image or None,
        audio_out_tokens=out_audio or None,
        image_out_tokens=out_image or None,
        reasoning_tokens=draw(st.integers(0, out_text)) or None,
        server_tools=(("web_search_requests", draw(st.integers(0, 3))),),
    )


LISTS = st.sampled_from(
    [PriceList(bands=(FULL,)), PriceList(bands=({**TEXT, "web_search": Decimal(10)},)), LONG]
)


@given(usages(), LISTS)
def test_each_token_is_counted_once_and_parts_add_up(usage: Usage, prices: PriceList) -> None:
    cost = priced(usage, prices, "v")
    made = {"output", "reasoning", "audio_output", "image_output"}
    known = counted(cost)
    assert cost.is_whole
    assert sum(known.get(kind, 0) for kind in made) == usage.output_tokens
    assert sum(known.get(kind, 0) for kind in set(TOKENS) - made) == usage.input_tokens
    assert all(part.count > 0 and part.usd_nano >= 0 for part in cost.parts)
    assert sum(part.usd_nano for part in cost.parts) == cost.usd_nano


@given(usages(), LISTS)
def test_the_amount_is_the_exact_sum_rounded(usage: Usage, prices: PriceList) -> None:
    cost = priced(usage, prices, "v")
    exact = Fraction(0)
    for part in cost.parts:
        per = Fraction(part.price) / (1000 if part.kind in CALLS else 1_000_000)
        exact += part.count * per * 10**9
    assert cost.usd_nano == round(exact)


@given(usages(), LISTS, st.integers(1, 500))
def test_more_never_costs_less(usage: Usage, prices: PriceList, more: int) -> None:
    def amount(usage: Usage) -> int:
        cost = priced(usage, prices, "v")
        assert cost.usd_nano is not None
        return cost.usd_nano

    before = amount(usage)
    assert usage.input_tokens is not None and usage.output_tokens is not None
    assert amount(replace(usage, output_tokens=usage.output_tokens + more)) >= before
    if not usage.audio_in_tokens and not usage.image_in_tokens:
        assert amount(replace(usage, input_tokens=usage.input_tokens + more)) >= before


@given(usages(), st.integers(2, 5))
def test_prices_that_are_multiplied_multiply_the_tokens_alone(usage: Usage, factor: int) -> None:
    plain = replace(usage, server_tools=())
    once = priced(plain, PriceList(bands=(FULL,)), "v").usd_nano
    times = PriceList(bands=(FULL,)).laid_over({}, factor=Decimal(factor))
    assert once is not None and priced(plain, times, "v").usd_nano == once * factor
    searched = Usage(input_tokens=0, output_tokens=0, server_tools=(("web_search_requests", 1),))
    assert priced(searched, times, "v").usd_nano == 10_000_000


@given(st.integers(0, 2_500))
def test_a_long_prompt_costs_more_for_every_token(tokens: int) -> None:
    per_token = 4_000 if tokens > 1_000 else 2_000
    cost = priced(Usage(input_tokens=tokens, output_tokens=0), LONG, "v")
    assert cost.usd_nano == tokens * per_token


def test_all_answers_of_a_batch_together_are_no_long_prompt() -> None:
    usage = Usage(input_tokens=1001, output_tokens=10, tier="batch")
    cost = priced(usage, LONG, "v")
    assert cost.usd_nano == 1001 * 2_000 + 10 * 10_000
    assert cost.lacks == ("what longer prompts of the batch cost more",), "some of them may have been long"
    assert priced(replace(usage, input_tokens=1000), LONG, "v").is_whole
    assert priced(replace(usage, tier=None), LONG, "v").usd_nano == 1001 * 4_000 + 10 * 20_000
