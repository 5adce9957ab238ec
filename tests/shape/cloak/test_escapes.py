"""Texts of JSON strings, and where each of their signs stands in those."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.shape.cloak.escapes import Places

TEXTS = st.lists(
    st.sampled_from(
        ["a", " ", "é", "ж", "жж", "—", "語", "\U0001f600", "\n", '"', "\\", "\x01", "\x7f", "u0041"]
    )
).map("".join)


@given(text=TEXTS, is_ascii=st.booleans())
def test_every_sign_is_found_where_it_stands(text: str, is_ascii: bool) -> None:
    places = Places(json.dumps(text, ensure_ascii=is_ascii).encode()[1:-1])
    assert places.text == text.encode()
    for at in range(len(text) + 1):
        spelled = json.dumps(text[:at], ensure_ascii=is_ascii).encode()[1:-1]
        assert places.raw(len(text[:at].encode())) == len(spelled)


@pytest.mark.parametrize(
    ("raw", "text"),
    [(rb"\ud83d\u0416 a", "?Ж a"), (rb"\u0416\udc00\u0416", "Ж?Ж"), (rb"\u0416\ud83d\ude00", "Ж\U0001f600")],
)
def test_halves_of_surrogate_pairs_are_signs_of_their_own(raw: bytes, text: str) -> None:
    places = Places(raw)
    assert places.text.decode() == text
    assert places.raw(len(places.text)) == len(raw)
