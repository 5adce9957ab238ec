"""What images, sound, rankings and batches used, from answers in any cut."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.exchange import Usage
from llmitm.translate.metered import Batch, Lines, Meter, Metered, Tail

IMAGE = b'{"created":1,"data":[{"b64_json":"' + b"QUJD" * 50_000 + b'"}],"usage":'
IMAGE_COUNTS = (
    b'{"input_tokens":120,"output_tokens":4160,"input_tokens_details":{"text_tokens":100,"image_tokens":20}}}'
)
SOUND = (
    b'{"text":"x","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},'
    b'"output_tokens":5}}'
)
EVENT = b'event: x\ndata: {"type":"image_generation.partial_image","b64_json":"QQ=="}\n\n'
LAST = (
    b'event: y\ndata: {"type":"image_generation.completed","usage":{"input_tokens":5,"output_tokens":7}}\n\n'
)

TAILS: dict[str, tuple[bytes, bool, Usage | None]] = {
    "an image": (
        IMAGE + IMAGE_COUNTS,
        True,
        Usage(input_tokens=120, output_tokens=4160, image_in_tokens=20, image_out_tokens=4160),
    ),
    "events": (EVENT + LAST, True, Usage(input_tokens=5, output_tokens=7, image_out_tokens=7)),
    "sound": (SOUND, False, Usage(input_tokens=14, output_tokens=5, audio_in_tokens=14)),
    "a ranking": (
        b'{"results":[],"usage":{"total_tokens":7}}',
        False,
        Usage(input_tokens=7, output_tokens=0),
    ),
    "seconds": (b'{"text":"x","usage":{"type":"duration","seconds":9}}', False, None),
    "a text that speaks of it": (orjson.dumps({"text": '"usage": {"input_tokens": 5}'}), False, None),
    "nothing": (b"", False, None),
    "cut": (SOUND[:-9], False, None),
    "no counts": (b'{"usage":null}', False, None),
}


def read(meter: Meter, body: bytes, step: int) -> Metered | None:
    for start in range(0, len(body), step):
        meter.feed(body[start : start + step])
    return meter.finish()


@pytest.mark.parametrize(("body", "is_image", "usage"), TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("step", [1_000, 10_000_000])
def test_the_end_of_an_answer(body: bytes, is_image: bool, usage: Usage | None, step: int) -> None:
    told = read(Tail(is_image=is_image), body, step)
    assert (told.usage if told else None) == usage


OVER = {"id": "b1", "status": "completed", "model": "m", "usage": {"input_tokens": 10, "output_tokens": 2}}
INLINED = {
    "inlinedResponses": [{"response": {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1}}}]
    * 3
}
OPERATION = {"name": "batches/b2", "done": True, "metadata": {"model": "models/g"}, "response": INLINED}
BATCHES: dict[str, tuple[object, Metered | None]] = {
    "OpenAI's": (
        OVER,
        Metered(usage=Usage(input_tokens=10, output_tokens=2, tier="batch"), model="m", once="b1"),
    ),
    "one under way": (OVER | {"status": "in_progress"}, None),
    "one without counts": (OVER | {"usage": {"input_tokens": 0, "output_tokens": 0}}, None),
    "Gemini's": (
        OPERATION,
        Metered(
            usage=Usage(input_tokens=12, output_tokens=3, tier="batch"), model="models/g", once="batches/b2"
        ),
    ),
    "Gemini's under way": (OPERATION | {"done": False}, None),
    "a list": ([OVER], None),
}


@pytest.mark.parametrize(("told", "metered"), BATCHES.values(), ids=BATCHES)
def test_what_is_said_of_a_batch(told: object, metered: Metered | None) -> None:
    assert read(Batch(), orjson.dumps(told), 7) == metered


def line(model: str, tokens: int) -> bytes:
    message = {"model": model, "usage": {"input_tokens": tokens, "output_tokens": 1}}
    return orjson.dumps({"custom_id": "c", "result": {"type": "succeeded", "message": message}}) + b"\n"


FAILED = b'{"custom_id":"d","result":{"type":"errored","error":{}}}\n'


@pytest.mark.parametrize(
    ("body", "usage", "model"),
    [
        (line("m", 3) + FAILED + line("m", 4), (7, 2), "m"),
        (line("m", 3) + line("n", 4)[:-1], (7, 2), None),
        (b"".join(line("m", 1) for _ in range(2_500)), (2_500, 2_500), "m"),
        (FAILED, None, None),
        (b"no json\n\n", None, None),
    ],
)
@pytest.mark.parametrize("step", [11, 10_000_000])
def test_results_line_by_line(
    body: bytes, usage: tuple[int, int] | None, model: str | None, step: int
) -> None:
    told = read(Lines("b3"), body, step)
    assert (told is None) == (usage is None)
    if told is not None:
        assert (told.usage.input_tokens, told.usage.output_tokens) == usage
        assert (told.model, told.once, told.usage.tier) == (model, "b3", "batch")


WORDS = st.sampled_from(
    ("usage", "id", "name", "status", "completed", "done", "response", "result", "message", "model", "x")
)
COUNTS = st.sampled_from(
    ("input_tokens", "output_tokens", "total_tokens", "promptTokenCount", "input_tokens_details")
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | WORDS
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | COUNTS, inner, max_size=5),
    max_leaves=25,
)


@given(told=ANYTHING, cut=st.integers(0, 400), step=st.integers(1, 50))
def test_nothing_that_comes_raises(told: object, cut: int, step: int) -> None:
    body = orjson.dumps(told)
    for meter in (Tail(is_image=True), Batch(), Lines("b")):
        read(meter, body, step)
    for meter in (Tail(), Batch(), Lines("b")):
        read(meter, body[:cut] + b"\n" + body, step)
