"""What a reader could not carry is told in its order; what must not be left out refuses the request."""

from __future__ import annotations

import pytest

from llmitm.errors import Refused
from support.fitting import CHAT, asked, fitted, target


def test_what_a_reader_found_is_told_before_all_else() -> None:
    found = asked(lost=(("logit_bias", "a"),), adjusted=(("surrogate", "b"),), noted=(("labels", "c"),))
    assert fitted(found, target(CHAT))[1] == [
        "lost:logit_bias at a",
        "adjusted:surrogate at b",
        "note:labels at c",
    ]


def test_what_must_not_be_left_out_refuses() -> None:
    with pytest.raises(Refused) as caught:
        fitted(
            asked(refused=(("stateful_not_supported", "conversation", "It is kept elsewhere"),)), target(CHAT)
        )
    assert (caught.value.status, caught.value.code) == (400, "stateful_not_supported")
    assert (caught.value.param, caught.value.message) == (
        "conversation",
        "conversation: It is kept elsewhere.",
    )
