"""What an answer costs: its counts times the rates, no token twice, rounded once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from llmitm.exchange import Usage
from llmitm.record.rates import NANO, PriceList, Rates, price_of

type Counts = list[tuple[str, int]]
"""Kinds as in `rates`, and how many of each."""

_TOOLS: Final = {
    "web_search_requests": "web_search",
    "x_search_requests": "x_search",
    "file_search_requests": "file_search",
    "code_execution_requests": "code_execution",
}
SUM: Final = "batch"
"""The tier that is told of sums alone: of all answers of a batch together."""
_FREE: Final = frozenset({"web_fetch_requests"})
"""Hosted tools that cost the tokens of their results alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One line of the bill. Lines add up to the whole: what rounding leaves over goes to the next line."""

    kind: str
    count: int
    """Tokens, or calls."""
    rate: int
    usd_nano: int

    @property
    def price(self) -> Decimal:
        """USD per million tokens, or per thousand calls."""
        return price_of(self.kind, self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an answer cost, as far as that is known."""

    usd_nano: int | None
    """None: unknown, which is not zero."""
    version: str
    """Of the price source: the library's, `config/<hash of the entry>`, `reported`, or `none`."""
    model: str | None = None
    """As the price source calls it."""
    parts: tuple[Part, ...] = ()
    lacks: tuple[str, ...] = ()
    """What is not in the amount because a count or a price of it is unknown; then it cost at least that."""
    why: str | None = None
    """Why the amount is unknown, in words."""
    listed_usd_nano: int | None = None
    """What the price list makes of it, where the amount is what the vendor reported."""

    @property
    def is_whole(self) -> bool:
        return self.usd_nano is not None and not self.lacks


class Contradiction(Exception):
    """Counts of a part are greater than that of the whole, or below zero."""


def priced(
    usage: Usage,
    prices: PriceList,
    version: str,
    *,
    model: str | None = None,
    lacks: tuple[str, ...] = (),
    once: frozenset[str] = frozenset(),
) -> Cost:
    """The bill; calls of kinds in `once` cost the same however many an answer took.

    An unknown count of something that has a price is named in `lacks`; with neither input nor output told,
    or counts that contradict one another, the amount is None.
    """
    if usage.input_tokens is None and usage.output_tokens is None:
        return Cost(usd_nano=None, version=version, model=model, why="no tokens were told")
    rates = prices.at(usage.input_tokens or 0)
    if usage.tier == SUM and rates is not prices.at(0):  # no prompt of it need have been so long
        rates, lacks = prices.at(0), (*lacks, "what longer prompts of the batch cost more")
    try:
        counts = [*_input(usage), *_output(usage, rates), *_calls(usage, rates, once)]
        if any(count < 0 for _, count in counts):
            raise Contradiction("fewer tokens than none")
    except Contradiction as error:
        return Cost(usd_nano=None, version=version, model=model, why=str(error))
    missing = [*lacks, *_untold(usage, rates)]
    total, parts = 0, []
    for kind, count in counts:
        rate = rates.get(kind)
        if rate is None:
            missing.append(f"the price of {kind}")
            continue
        before, total = total, total + count * rate
        parts.append(Part(kind=kind, count=count, rate=rate, usd_nano=nano_of(total) - nano_of(before)))
    return Cost(
        usd_nano=nano_of(total), version=version, model=model, parts=tuple(parts), lacks=tuple(missing)
    )


def nano_of(amount: int) -> int:
    """Whole nano-dollars, half to even."""
    whole, rest = divmod(amount, NANO)
    return whole + (rest * 2 > NANO or (rest * 2 == NANO and whole % 2 == 1))


def _untold(usage: Usage, rates: Rates) -> Iterator[str]:
    if usage.input_tokens is None and rates.get("input"):
        yield "input tokens"
    if usage.output_tokens is None and rates.get("output"):
        yield "output tokens"
    if not usage.is_final:
        yield "what followed the cut"


def _input(usage: Usage) -> Counts:
    """Fresh, read and written tokens of each medium.

    Raises:
        Contradiction: parts are more than their whole.
    """
    if usage.input_tokens is None:
        return []
    total, long = usage.input_tokens, usage.cache_write_1h_tokens or 0
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    audio, image = usage.audio_in_tokens or 0, usage.image_in_tokens or 0
    if read + written > total:
        raise Contradiction(f"{read} tokens read from and {written} written to the cache, of {total} in all")
    if audio + image > total:
        raise Contradiction(f"{audio} tokens of audio and {image} of images, of {total} in all")
    if long > written:
        raise Contradiction(f"{long} tokens written for an hour, of {written} written")
    text = total - audio - image
    read_audio, read_image = _cached_media(usage, read + written - text)
    fresh = [text - (read - read_audio - read_image) - written, audio - read_audio, image - read_image]
    for at in (1, 2):  # more was written than there is text: that was audio or images
        taken = max(0, min(-fresh[0], fresh[at]))
        fresh[0] += taken
        fresh[at] -= taken
    found = (
        ("input", fresh[0]),
        ("audio_input", fresh[1]),
        ("image_input", fresh[2]),
        ("cache_read", read - read_audio - read_image),
        ("cache_read_audio", read_audio),
        ("cache_read_image", read_image),
        ("cache_write", written - long),
        ("cache_write_1h", long),
    )
    return [(kind, count) for kind, count in found if count]


def _cached_media(usage: Usage, beyond: int) -> tuple[int, int]:
    """Audio and images that the cache gave. Where nobody says, what it gave was text as far as there is any:
    of media is what goes `beyond` it.

    Raises:
        Contradiction: there is not so much of them.
    """
    read, audio, image = usage.cache_read_tokens or 0, usage.audio_in_tokens or 0, usage.image_in_tokens or 0
    read_audio, read_image = usage.cached_audio_tokens, usage.cached_image_tokens
    if read_audio is None:
        read_audio = max(0, min(beyond - (read_image or 0), audio, read))
    if read_image is None:
        read_image = max(0, min(beyond - read_audio, image, read - read_audio))
    if read_audio > audio or read_image > image or read_audio + read_image > read:
        raise Contradiction(f"{read_audio} tokens of audio and {read_image} of images from the cache")
    return read_audio, read_image


def _output(usage: Usage, rates: Rates) -> Counts:
    """Reasoning stands apart only where it has a price of its own.

    Raises:
        Contradiction: parts are more than their whole.
    """
    if usage.output_tokens is None:
        return []
    total, audio, image = usage.output_tokens, usage.audio_out_tokens or 0, usage.image_out_tokens or 0
    if audio + image > total:
        raise Contradiction(f"{audio} tokens of audio and {image} of images, of {total} made in all")
    rest = total - audio - image
    # hosts whose sums do not add up: the whole is what is paid
    reasoning = min(usage.reasoning_tokens or 0, rest) if "reasoning" in rates else 0
    found = (
        ("output", rest - reasoning),
        ("reasoning", reasoning),
        ("audio_output", audio),
        ("image_output", image),
    )
    return [(kind, count) for kind, count in found if count]


def _calls(usage: Usage, rates: Rates, once: frozenset[str]) -> Counts:
    found = [("request", 1)] if "request" in rates else []
    for tool, uses in usage.server_tools:
        kind = _TOOLS.get(tool, tool)
        if uses and tool not in _FREE:
            found.append((kind, 1 if kind in once else uses))
    return found
