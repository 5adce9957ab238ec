"""Data URLs and base64 as clients send them."""

from __future__ import annotations

import base64
import time

import pytest

from llmitm.errors import Refused
from llmitm.translate import media
from llmitm.translate.neutral import Base64


@pytest.mark.parametrize(
    ("data", "clean"),
    [
        ("aGVsbG8=", "aGVsbG8="),
        ("aGVsbG8", "aGVsbG8="),
        (" aGVs\r\nbG8 =\n", "aGVsbG8="),
        ("-_-_", "+/+/"),
        ("AA", "AA=="),
        ("AA=", "AA=="),
        ("", ""),
    ],
)
def test_base64_is_written_in_one_way(data: str, clean: str) -> None:
    assert media.clean_base64(data, "x") == Base64(clean)


@pytest.mark.parametrize(
    "data", ["A", "AAAAA", "AA*A", "AA=A", "AAAA=", "AA===", "=", "ä", "AAA\ud83d", "AA%3D"]
)
def test_broken_base64_is_refused_with_its_place(data: str) -> None:
    with pytest.raises(Refused) as raised:
        media.clean_base64(data, "messages[0].content[1].source.data")
    assert (raised.value.status, raised.value.code) == (400, "invalid_base64")
    assert raised.value.param == "messages[0].content[1].source.data"


@pytest.mark.parametrize(
    ("url", "mime", "data"),
    [
        ("data:image/png;base64,AAAA", "image/png", "AAAA"),
        ("DATA:Image/PNG;Base64,AAAA", "image/png", "AAAA"),
        ("data:;base64,AAAA", None, "AAAA"),
        ("data:base64,AAAA", None, base64.b64encode(b"AAAA").decode()),
        ("data:text/plain;charset=utf-8;base64,aGk", "text/plain", "aGk="),
        ("data:image/png;base64,-_%2B%2F", "image/png", "+/+/"),
        ("data:text/plain,a%20b,c", "text/plain", base64.b64encode(b"a b,c").decode()),
        ("data:,ü", None, base64.b64encode("ü".encode()).decode()),
    ],
)
def test_data_urls_are_read(url: str, mime: str | None, data: str) -> None:
    assert media.read_data_url(url, "x") == (mime, Base64(data))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64", "invalid_request"),
        ("https://x.example/a,b", "invalid_request"),
        ("", "invalid_request"),
        ("data:image/png;base64,A", "invalid_base64"),
        ("data:image/png;base64,%ff%ff", "invalid_base64"),
    ],
)
def test_what_is_no_data_url_is_refused(url: str, code: str) -> None:
    with pytest.raises(Refused) as raised:
        media.read_data_url(url, "x")
    assert (raised.value.code, raised.value.param) == (code, "x")


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(8), "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x0a\x0a\x0a\x0aWEBPVP8 ", "image/webp"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftypmif1", "image/heif"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\x04", "audio/mp3"),
        (b"\xff\xfb\x90", "audio/mp3"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_first_bytes_tell_the_kind(head: bytes, mime: str | None) -> None:
    assert media.sniffed(Base64(base64.b64encode(head).decode())) == mime


@pytest.mark.parametrize("data", ["A", "ä", "****"])
def test_sniffing_what_is_not_base64_says_nothing(data: str) -> None:
    assert media.sniffed(Base64(data)) is None


@pytest.mark.parametrize(
    ("url", "mime"),
    [
        ("https://x.example/a/B.PNG?size=2.jpg#c.gif", "image/png"),
        ("gs://bucket/report.pdf", "application/pdf"),
        ("song.mp3", "audio/mp3"),
        ("https://x.example/a.png/b", None),
        ("https://x.example", None),
        ("png", None),
        ("", None),
    ],
)
def test_extensions_tell_the_kind(url: str, mime: str | None) -> None:
    assert media.mime_of_url(url) == mime


def test_kinds_and_formats() -> None:
    kinds = [media.kind_of(mime) for mime in ("image/png", "audio/wav", "video/mp4", "application/pdf", "")]
    assert kinds == ["image", "audio", "video", "document", "document"]
    assert [media.audio_format(mime) for mime in ("audio/mpeg", "audio/x-wav", "audio/ogg")] == [
        "mp3",
        "wav",
        None,
    ]
    assert [media.audio_mime(form) for form in ("mp3", "WAV")] == ["audio/mp3", "audio/wav"]
    assert (media.usual_mime("image/JPG"), media.usual_mime("image/gif")) == ("image/jpeg", "image/gif")


def test_a_data_url_is_read_as_it_was_written() -> None:
    data = Base64(base64.b64encode(bytes(range(256))).decode())
    assert media.read_data_url(media.data_url("image/png", data), "x") == ("image/png", data)


def test_large_payloads_take_no_time() -> None:
    url = "data:image/png;base64," + "iVBORw0K" * 1_250_000
    begun = time.process_time()
    mime, data = media.read_data_url(url, "x")
    assert time.process_time() - begun < 1
    assert (mime, len(data.data)) == ("image/png", 10_000_000)
