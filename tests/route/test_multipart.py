"""A form is read as it goes by: in any cut, without holding files, and never in two ways."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.errors import Refused
from llmitm.route.multipart import FormReader, boundary_of

FILE = b"\r\n--bound\r\n--xy-\r\n\x00\xff--xyz x\r\n-" * 40


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'
    return head.encode() + b"\r\n" + value + b"\r\n"


END = b"--xyz--\r\n"
AUDIO = part("file", FILE, '; filename="a \\"b\\".wav"\r\nContent-Type: audio/wav')
WHOLE: dict[str, tuple[bytes, str | None]] = {
    "the model first": (part("model", b"whisper-1") + AUDIO + END, "whisper-1"),
    "the model last": (AUDIO + part("model", b"whisper-1") + END, "whisper-1"),
    "no model": (AUDIO + END, None),
    "no part": (END, None),
    "an empty value": (part("model", b"") + END, ""),
    "an empty file": (part("file", b"", '; filename="x"') + part("model", b"m") + END, "m"),
    "another field's name": (part("x-model", b"m") + part("models", b"n") + END, None),
    "a preamble and an epilogue": (b"hello\r\n" + part("model", b"m") + END + b"--xyz\r\nbye", "m"),
    "names without quotes": (part("model", b"m").replace(b'"model"', b"model") + END, "m"),
    "headers in another case": (part("model", b"m").replace(b"Content-D", b"content-d") + END, "m"),
    "the model behind other parameters": (
        part("model", b"m").replace(b"; name", b'; filename="a;name=b"; name') + END,
        "m",
    ),
    "blanks after a boundary": (part("model", b"m").replace(b"--xyz\r", b"--xyz \t\r") + END, "m"),
    "a part without headers": (b"--xyz\r\n\r\nnothing\r\n" + part("model", b"m") + END, "m"),
    "no line end at the end": (part("model", b"m") + b"--xyz--", "m"),
}


def read(body: bytes, cuts: list[int]) -> FormReader:
    reader = FormReader(b"xyz")
    ends = sorted(cut % (len(body) + 1) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(body)], strict=True):
        reader.feed(body[start:end])
    reader.finish()
    return reader


@pytest.mark.parametrize(("body", "model"), WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
def test_the_model_is_found_where_it_stands(body: bytes, model: str | None, step: int) -> None:
    found = read(body, list(range(step, len(body), step))).model
    assert (found.value if found else None) == model
    if found is not None:
        assert body[found.start : found.end] == found.value.encode()


@given(
    file=st.binary(max_size=60).filter(lambda data: b"--xyz" not in data),
    model=st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
    is_first=st.booleans(),
)
def test_any_cut_of_any_form(file: bytes, model: str, cuts: list[int], is_first: bool) -> None:
    fields = [part("model", model.encode()), part("file", file, '; filename="f"')]
    if "--xyz" in model:
        return
    body = b"".join(fields if is_first else fields[::-1]) + END
    found = read(body, cuts).model
    assert found is not None and found.value == model
    assert body[found.start : found.end] == model.encode()


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "last boundary"),
    "no form at all": (b"\x89PNG\r\n" * 5_000, "begin"),
    "another boundary": (part("model", b"m").replace(b"xyz", b"zyx") * 400, "begin"),
    "cut in a file": ((part("model", b"m") + AUDIO)[:-40], "last boundary"),
    "cut in headers": (part("model", b"m") + b"--xyz\r\nContent-Dis", "last boundary"),
    "no last boundary": (part("model", b"m") + AUDIO, "last boundary"),
    "a boundary that goes on": (part("model", b"m") + b"--xyzw" + b"x" * 70, "within a part"),
    "headers without end": (b"--xyz\r\n" + b"a: b\r\n" * 4_000, "too long"),
    "two models": (part("model", b"m") + AUDIO + part("model", b"n") + END, "twice"),
    "two names": (part("model", b"m", "; name=other") + END, "two names"),
    "two dispositions": (
        part("x", b"m", '\r\nContent-Disposition: form-data; name="model"') + END,
        "two names",
    ),
    "a name in another charset": (part("x", b"m").replace(b"name=", b"name*=") + END, "plainly"),
    "a name with a backslash": (part("mo\\del", b"m") + END, "plainly"),
    "a long model": (part("model", b"m" * 2_000) + END, "too long"),
    "a model that is no text": (part("model", b"\xff\xfe") + END, "no text"),
}


@pytest.mark.parametrize(("body", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("step", [3, 100_000])
def test_what_is_no_form_is_refused(body: bytes, words: str, step: int) -> None:
    with pytest.raises(Refused, match=words) as caught:
        read(body, list(range(step, len(body), step)))
    assert (caught.value.status, caught.value.code) == (400, "invalid_multipart")


def test_a_file_is_not_held() -> None:
    reader = FormReader(b"xyz")
    reader.feed(part("file", b"", '; filename="f"')[:-2])
    for _ in range(200):
        reader.feed(b"\r\n-" * 100_000)
    reader.feed(b"")
    assert len(reader._held) < 100


def test_many_small_parts_take_time_in_proportion() -> None:
    def taken_s(count: int) -> float:
        body = part("x", b"y") * count + END
        reader = FormReader(b"xyz")
        began_s = time.process_time()
        reader.feed(body)
        reader.finish()
        return time.process_time() - began_s

    taken_s(100)
    assert taken_s(40_000) < 60 * max(taken_s(2_000), 0.002)


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; charset=utf-8; Boundary="a b:c"', b"a b:c"),
        (b"multipart/form-data; boundary=abc; x=y", b"abc"),
    ],
)
def test_boundaries(header: bytes, boundary: bytes) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize("header", [b"multipart/form-data", b"multipart/form-data; boundary="])
def test_no_boundary(header: bytes) -> None:
    with pytest.raises(Refused, match="no boundary"):
        boundary_of(header)
