"""Our envelopes are cut out of what passes untouched; every other byte stays."""

from __future__ import annotations

import orjson
import pytest

from llmitm.exchange import Dialect
from llmitm.translate.cut import without_envelopes
from llmitm.translate.neutral import Sealed
from llmitm.translate.seals import envelope, envelope_base64

SEAL = Sealed(vendor="openai", kind="encrypted", data="abc")
MESSAGES, RESPONSES, GEMINI = Dialect.ANTHROPIC_MESSAGES, Dialect.OPENAI_RESPONSES, Dialect.GEMINI

CASES = {
    "first block": (
        MESSAGES,
        '{ "messages" : [{"content": [{"type":"thinking","thinking":"x","signature":"<seal>"}, '
        '{"type":"text","text":"\\u00fc"}]}], "t": 1.50}',
        '{ "messages" : [{"content": [{"type":"text","text":"\\u00fc"}]}], "t": 1.50}',
    ),
    "last block, and one between": (
        MESSAGES,
        '{"messages":[{"content":[1, {"type":"redacted_thinking","data":"<seal>"} ,2,'
        '{"type":"redacted_thinking","data":"<seal>"}]}]}',
        '{"messages":[{"content":[1 ,2]}]}',
    ),
    "a whole turn": (
        MESSAGES,
        '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":['
        '{"type":"redacted_thinking","data":"<seal>"}]}, {"role":"user","content":"b"}]}',
        '{"messages":[{"role":"user","content":"a"}, {"role":"user","content":"b"}]}',
    ),
    "own signatures and texts that look like one stay": (
        MESSAGES,
        '{"messages":[{"content":[{"type":"thinking","thinking":"x","signature":"EqoB"},'
        '{"type":"text","text":"<seal>"}]}]}',
        None,
    ),
    "items": (
        RESPONSES,
        '{"input":[{"type":"reasoning","summary":[],"encrypted_content":"<seal>"},'
        '{"type":"message"}],"x":"<seal>"}',
        '{"input":[{"type":"message"}],"x":"<seal>"}',
    ),
    "an input that is text": (RESPONSES, '{"input":"<seal>"}', None),
    "thoughts go, calls lose their signature alone": (
        GEMINI,
        '{"contents":[{"parts":[{"text":"t","thought":true,"thoughtSignature":"<base64>"},'
        '{"functionCall":{"name":"f"}, "thoughtSignature": "<base64>"},'
        '{"thought_signature":"<base64>","text":"said"},{"text":"","thoughtSignature":"<base64>"}]},'
        '{"role":"user"}]}',
        '{"contents":[{"parts":[{"functionCall":{"name":"f"}},{"text":"said"}]},{"role":"user"}]}',
    ),
    "odd parts": (
        GEMINI,
        '{"contents":[{"parts":[7,{"text":"a"},{"text":"","thoughtSignature":"<base64>"}]}]}',
        '{"contents":[{"parts":[7,{"text":"a"}]}]}',
    ),
    "no contents": (GEMINI, '{"x":"<base64>"}', None),
    "chat carries none": (Dialect.OPENAI_CHAT, '{"messages":[{"content":"<seal>"}]}', None),
    "no object": (MESSAGES, '["<seal>"]', None),
    "no envelope": (MESSAGES, '{"messages": [ ]}', None),
    "no messages": (MESSAGES, '{"system":"<seal>"}', None),
    "odd shapes": (MESSAGES, '{"messages":[7,{"content":"<seal>"},{"role":"user"}]}', None),
}


def sealed(text: str) -> str:
    return text.replace("<seal>", envelope(SEAL)).replace("<base64>", envelope_base64(SEAL))


@pytest.mark.parametrize(("dialect", "body", "left"), CASES.values(), ids=CASES)
def test_only_envelopes_go(dialect: Dialect, body: str, left: str | None) -> None:
    made = without_envelopes(dialect, sealed(body).encode())
    assert made.decode() == sealed(body if left is None else left)
    orjson.loads(made)
