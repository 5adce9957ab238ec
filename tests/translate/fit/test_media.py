"""Pictures, documents and sounds as each upstream takes them; what it cannot take is lost."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from llmitm.errors import Refused
from llmitm.translate.fit.media import fit_media
from llmitm.translate.neutral import Base64, Cache, FileId, Media, Parts, PlainText, Text, Url
from llmitm.translate.notes import Notes
from llmitm.translate.target import Target
from support.fitting import CHAT, GEMINI, MESSAGES, RESPONSES, target, told

DATA = Base64("AAAA")
HELLO = Base64(base64.b64encode(b"Hello").decode())
SAME: Any = object()


def image(source: Any = DATA, **more: Any) -> Media:
    return Media(kind="image", source=source, at="x", **{"mime": "image/png"} | more)


def document(source: Any = DATA, **more: Any) -> Media:
    return Media(kind="document", source=source, at="x", **{"mime": "application/pdf"} | more)


def audio(source: Any = DATA, **more: Any) -> Media:
    return Media(kind="audio", source=source, at="x", **{"mime": "audio/wav"} | more)


JPG = Url("https://a.example/b.jpg")
PAGE = Url("https://a.example/b.html")
BARE = Url("https://a.example/b")
PLAIN_HTTP = Url("http://a.example/b.png")
HEARS = {"takes_audio": True}
LOST = ["lost:media at x"]
NAMED = ["note:filename at x"]
AS_TEXT = ["adjusted:document-as-text at x"]
SEARCH = Media(
    kind="search_result", source=Parts((Text(text="a"), image(), Text(text="b"))), has_citations=True, at="x"
)

# the rule, the part, the upstream, what comes out (None: nothing), what is told
CASES: list[tuple[str, Media, Target, Any, list[str]]] = [
    (
        "a name that is none",
        image(mime="image/jpg"),
        target(CHAT),
        image(mime="image/jpeg"),
        ["note:image-mime at x"],
    ),
    ("pictures to chat, wherever they are", image(PLAIN_HTTP), target(CHAT), SAME, []),
    ("responses wants to know how closely to look", image(), target(RESPONSES), image(detail="auto"), []),
    ("unless it is told", image(detail="low"), target(RESPONSES), SAME, []),
    ("messages has no word for it", image(detail="low"), target(MESSAGES), image(), ["note:detail at x"]),
    ("Gemini's default needs none", image(detail="auto"), target(GEMINI), image(), []),
    (
        "its closest look",
        image(detail="original"),
        target(GEMINI),
        image(detail="high"),
        ["adjusted:detail at x from original to high"],
    ),
    ("pictures to messages by https", image(JPG, mime=None), target(MESSAGES), SAME, []),
    ("and by nothing else", image(PLAIN_HTTP), target(MESSAGES), None, LOST),
    (
        "Gemini must know what it is: by its name",
        image(JPG, mime=None),
        target(GEMINI),
        image(JPG, mime="image/jpeg"),
        [],
    ),
    (
        "else a picture is a photograph",
        image(BARE, mime=None),
        target(GEMINI),
        image(BARE, mime="image/jpeg"),
        ["adjusted:image-mime at x"],
    ),
    (
        "and a document a PDF",
        document(BARE, mime=None),
        target(GEMINI),
        document(BARE),
        ["adjusted:document-mime at x"],
    ),
    ("what is said of it stays", image(BARE), target(GEMINI), SAME, []),
    ("documents of chat have a name", document(), target(CHAT), document(filename="document.pdf"), NAMED),
    ("their own where they have one", document(filename="a"), target(CHAT), SAME, []),
    (
        "one by their kind",
        document(mime="text/csv;header=present"),
        target(RESPONSES),
        document(mime="text/csv;header=present", filename="document.csv"),
        NAMED,
    ),
    (
        "plain text is a txt",
        document(mime="text/plain"),
        target(RESPONSES),
        document(mime="text/plain", filename="document.txt"),
        NAMED,
    ),
    (
        "of no known kind are PDFs",
        document(mime=None),
        target(CHAT),
        document(mime=None, filename="document.pdf"),
        NAMED,
    ),
    ("chat fetches no documents", document(BARE), target(CHAT), None, LOST),
    ("responses does", document(BARE), target(RESPONSES), SAME, []),
    ("so does messages where they are PDFs", document(BARE, mime=None), target(MESSAGES), SAME, []),
    ("but no pages", document(PAGE, mime=None), target(MESSAGES), None, LOST),
    ("PDFs to messages", document(), target(MESSAGES), SAME, []),
    ("no tables to messages", document(mime="text/csv"), target(MESSAGES), None, LOST),
    (
        "a text file is text to chat",
        document(HELLO, mime="text/plain"),
        target(CHAT),
        Text(text="Hello"),
        AS_TEXT,
    ),
    (
        "and a text document to messages",
        document(HELLO, mime="text/plain"),
        target(MESSAGES),
        document(PlainText("Hello"), mime="text/plain"),
        [],
    ),
    (
        "a text document keeps its mark of a cache",
        document(PlainText("Hello"), mime=None, cache=Cache()),
        target(CHAT),
        Text(text="Hello", cache=Cache()),
        AS_TEXT,
    ),
    (
        "and is a file elsewhere",
        document(PlainText("Hello"), mime=None),
        target(GEMINI),
        document(HELLO, mime="text/plain"),
        [],
    ),
    (
        "its context is told nobody",
        document(PlainText("Hello"), mime=None, context="c"),
        target(GEMINI),
        document(HELLO, mime="text/plain", context="c"),
        ["note:document-context at x"],
    ),
    ("results of searches stay at messages", SEARCH, target(MESSAGES), SAME, []),
    ("sounds to chat", audio(mime="audio/mpeg"), target(CHAT), SAME, []),
    ("not all of them", audio(mime="audio/flac"), target(CHAT), None, LOST),
    ("responses hears nothing", audio(), target(RESPONSES), None, LOST),
    ("but by models that do", audio(), target(RESPONSES, row=HEARS), SAME, []),
    ("and not all", audio(mime="audio/flac"), target(RESPONSES, row=HEARS), None, LOST),
    ("nor what it would have to fetch", audio(BARE), target(RESPONSES, row=HEARS), None, LOST),
    ("messages hears nothing", audio(), target(MESSAGES), None, LOST),
    ("Gemini hears all", audio(mime="audio/flac"), target(GEMINI), SAME, []),
    ("files go to their vendor alone", image(FileId("openai", "f")), target(RESPONSES), SAME, []),
    ("to no other", image(FileId("openai", "f")), target(MESSAGES), None, LOST),
    (
        "nor to a host that speaks its dialect",
        image(FileId("openai", "f")),
        target(RESPONSES, vendor="groq"),
        None,
        LOST,
    ),
    ("chat takes documents so", document(FileId("openai", "f")), target(CHAT), SAME, []),
    ("but no pictures", image(FileId("openai", "f")), target(CHAT), None, LOST),
]


@pytest.mark.parametrize(
    ("part", "to", "expected", "warned"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_each_kind(part: Media, to: Target, expected: Any, warned: list[str]) -> None:
    notes = Notes()
    made = fit_media(part, to, notes)
    wanted = () if expected is None else (part if expected is SAME else expected,)
    assert (made, told(notes.told)) == (wanted, warned)


def test_results_of_searches_are_their_texts_elsewhere() -> None:
    notes = Notes()
    assert fit_media(SEARCH, target(CHAT), notes) == (Text(text="a"), Text(text="b"))
    assert told(notes.told) == ["lost:citations at x", *AS_TEXT]


@pytest.mark.parametrize(
    ("part", "code"),
    [(audio(), "unsupported_content"), (image(FileId("openai", "f")), "file_id_not_portable")],
)
def test_a_route_may_refuse_what_would_be_lost(part: Media, code: str) -> None:
    to = replace(target(MESSAGES), refuse=frozenset({"media"}))
    with pytest.raises(Refused) as caught:
        fit_media(part, to, Notes())
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, "x")
