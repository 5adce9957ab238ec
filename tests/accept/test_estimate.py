"""What a request is guessed to take before anything is known."""

from __future__ import annotations

import base64

import orjson
import pytest

from llmitm.accept.estimate import (
    MEDIUM_TOKENS,
    MOST_ANSWER_TOKENS,
    USUAL_ANSWER_TOKENS,
    estimate_tokens,
)

PACKED = base64.b64encode(bytes(range(256)) * 64).decode()
WORDS = "All that is gold does not glitter. " * 400


def body(text: str) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})


@pytest.mark.parametrize(
    ("sent", "prompt"),
    [
        (b"", 0),
        (b"{}", 1),
        (b"[1]", 1),
        (b" \n {}", 2),
        (b"\xef\xbb\xbf{}", 2),
        (b'{"a":"' + b"word " * 100 + b'"}', 127),
        (b"--boundary\r\nupload", MEDIUM_TOKENS),
        (b"\x00\x01" * 100_000, MEDIUM_TOKENS),
    ],
)
def test_a_token_for_every_four_bytes_of_json(sent: bytes, prompt: int) -> None:
    assert estimate_tokens(sent, 0).prompt == prompt


@pytest.mark.parametrize(
    ("media", "name"),
    [
        ([f"data:image/png;base64,{PACKED}"], "a data URL"),
        ([PACKED], "bare"),
        ([PACKED, PACKED, PACKED], "three"),
        ([PACKED.replace("+", "-").replace("/", "_")], "of the other alphabet"),
    ],
)
def test_media_count_by_number_and_not_by_length(media: list[str], name: str) -> None:
    sent = orjson.dumps({"messages": [{"data": one} for one in media]})
    text_bytes = len(sent) - sum(len(one) for one in media)
    told = estimate_tokens(sent, 0).prompt
    assert abs(told - len(media) * MEDIUM_TOKENS - text_bytes / 4) <= 1 + len(media), name


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        (PACKED.replace("/", "\\/"), "with slashes escaped"),
        ("\\n".join(PACKED[at : at + 76] for at in range(0, len(PACKED), 76)), "in lines"),
    ],
)
def test_media_are_known_however_json_escapes_them(escaped: str, name: str) -> None:
    sent = b'{"data":"' + escaped.encode() + b'"}'
    assert abs(estimate_tokens(sent, 0).prompt - MEDIUM_TOKENS) <= 5, name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (WORDS, "words"),
        ("\u4f60\u597d" * 2_000, "text without spaces"),
        ("".join(f"line {at}\n" for at in range(1_000)), "lines"),
        (PACKED[:1_000], "something packed but short"),
    ],
)
def test_long_text_counts_whole(text: str, name: str) -> None:
    sent = body(text)
    assert estimate_tokens(sent, 0).prompt == -(-len(sent) // 4), name


def test_text_that_is_escaped_sign_by_sign_is_text() -> None:
    sent = b'{"content":"' + b"\\u4f60\\u597d" * 1_000 + b'"}'
    assert estimate_tokens(sent, 0).prompt == -(-len(sent) // 4)


def test_numbers_in_a_long_list_are_no_medium() -> None:
    sent = b'{"input":[' + b"12345," * 2_000 + b"1]}"
    assert estimate_tokens(sent, 0).prompt == -(-len(sent) // 4)


@pytest.mark.parametrize(
    ("most", "answer"),
    [
        (None, USUAL_ANSWER_TOKENS),
        (0, 0),
        (100, 100),
        (64_000, MOST_ANSWER_TOKENS),
        (-5, 0),
    ],
)
def test_the_answer_is_what_the_client_allows_within_reason(most: int | None, answer: int) -> None:
    told = estimate_tokens(b"{}", most)
    assert (told.answer, told.total) == (answer, answer + 1)
