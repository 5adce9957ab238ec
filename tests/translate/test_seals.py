"""Envelopes: what goes in comes out, and nothing else does."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.translate import seals
from llmitm.translate.neutral import Sealed

WORDS = st.text(max_size=30).filter(lambda text: text.isprintable())
SEALS = st.builds(
    Sealed,
    vendor=WORDS.filter(bool),
    kind=st.sampled_from(["thinking", "redacted", "encrypted", "part"]),
    data=st.none() | WORDS,
    model=st.none() | WORDS,
    scope=st.none() | WORDS,
    ref=st.none() | WORDS,
    item_id=st.none() | WORDS,
)


@given(SEALS)
def test_a_seal_comes_back_as_it_was(sealed: Sealed) -> None:
    assert seals.opened(seals.envelope(sealed)) == sealed
    assert seals.opened(seals.envelope_base64(sealed)) == sealed
    assert seals.is_envelope(seals.envelope(sealed))
    assert seals.is_envelope_base64(seals.envelope_base64(sealed))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EqoBsig",
        "gws1.",
        "gws1.!!!",
        "gws1." + base64.urlsafe_b64encode(b"[]").decode(),
        "gws1." + base64.urlsafe_b64encode(b'{"v":"x"}').decode(),
        "gws1." + base64.urlsafe_b64encode(b'{"v":"x","k":"other"}').decode(),
        "gws1." + base64.urlsafe_b64encode(b'{"k":"part"}').decode(),
        "gws1." + base64.urlsafe_b64encode(b'{"v":"x","k":"part","d":7}').decode(),
        "Z3dzMS!",
        base64.b64encode(b"gws1.\xff").decode(),
    ],
)
def test_what_is_damaged_is_no_seal(text: str) -> None:
    assert seals.opened(text) is None
