"""Pictures, documents and sounds as requests and replies carry them: base64, data URLs, kinds. Pure.

    data:image/png;base64,iVBORw0KGgo...      data:text/plain,Hello%2C%20world

Payloads may be many megabytes: whole-text operations only, and what is sent on is the client's own data.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from llmitm.errors import Refused
from llmitm.translate.neutral import Base64

type Kind = Literal["image", "document", "audio", "video"]

_HEAD_SIGNS: Final = 64
_WHITE_SPACE: Final = b" \t\n\r\f\v"
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FROM_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_MIME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")

_EXTENSIONS: Final[Mapping[str, str]] = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpe": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "htm": "text/html",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "application/rtf",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "aac": "audio/aac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mp3",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "wav": "audio/wav",
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "m4v": "video/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "webm": "video/webm",
    "wmv": "video/x-ms-wmv",
}
_BEGINNINGS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), mime)
    for pattern, mime in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"....ftyp(?:heic|heix|heim|heis|hevc|hevx|hevm|hevs)", "image/heic"),
        (rb"....ftyp(?:mif1|msf1)", "image/heif"),
        (rb"....ftypavi[fs]", "image/avif"),
        (rb"(?:II\*\x00|MM\x00\*)", "image/tiff"),
        (rb"\s*<svg[\s>]", "image/svg+xml"),
        (rb"%PDF-", "application/pdf"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"ID3|\xff[\xfb\xf3\xf2\xfa]", "audio/mp3"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS", "audio/ogg"),
        (rb"\xff[\xf1\xf9]", "audio/aac"),
        (rb"FORM....AIFF", "audio/aiff"),
        (rb"....ftypM4A", "audio/mp4"),
        (rb"....ftypqt  ", "video/quicktime"),
        (rb"....ftyp", "video/mp4"),
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
    )
)
_AUDIO_FORMATS: Final[Mapping[str, str]] = {
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/mpeg3": "mp3",
    "audio/x-mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
}
_USUAL: Final[Mapping[str, str]] = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}


def clean_base64(data: str, at: str) -> Base64:
    """The same data in the standard alphabet, padded, without white space.

    Raises:
        Refused: 400 `invalid_base64`. Data that is broken is never mended.
    """
    try:
        text = data.encode("ascii").translate(_FROM_URL_SAFE, _WHITE_SPACE)
    except UnicodeEncodeError:
        raise _invalid(at) from None
    core = text.rstrip(b"=")
    needed = -len(core) % 4
    if needed == 3 or len(text) - len(core) > needed or core.translate(None, _LETTERS):
        raise _invalid(at)
    padded = core + b"=" * needed
    return Base64(data if len(padded) == len(data) and padded == data.encode() else padded.decode())


def _invalid(at: str) -> Refused:
    return Refused(400, "invalid_base64", f"{at}: the data is not valid base64.", param=at or None)


def read_data_url(url: str, at: str) -> tuple[str | None, Base64]:
    """What a data URL says that it holds (lower case, no parameters; None: it does not say), and its data.

    Raises:
        Refused: 400 `invalid_base64`; 400 `invalid_request` where it is no data URL.
    """
    head, comma, data = url.partition(",")
    scheme, _, head = head.partition(":")
    if scheme.strip().lower() != "data" or not comma:
        raise Refused(400, "invalid_request", f"{at}: this is not a valid data URL.", param=at or None)
    mime, *parameters = (one.strip().lower() for one in head.split(";"))
    if "base64" in parameters:
        if "%" in data:  # `+`, `/` and `=` may be escaped in a URL
            data = unquote_to_bytes(data).decode("latin-1")
        whole = clean_base64(data, at)
    else:
        plain = unquote_to_bytes(data.encode("utf-8", "replace"))
        whole = Base64(binascii.b2a_base64(plain, newline=False).decode())
    return (mime if _MIME.fullmatch(mime) else None), whole


def data_url(mime: str, data: Base64) -> str:
    return f"data:{mime};base64,{data.data}"


def sniffed(data: Base64) -> str | None:
    """What the first bytes say that it is; None where they say nothing."""
    try:
        head = binascii.a2b_base64(data.data[:_HEAD_SIGNS])
    except ValueError:
        return None
    return next((mime for pattern, mime in _BEGINNINGS if pattern.match(head)), None)


def mime_of_url(url: str) -> str | None:
    """By the extension of a URL's path or of a file's name; None where there is none that is known."""
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    return _EXTENSIONS.get(extension.lower()) if dot else None


def usual_mime(mime: str) -> str:
    """The registered name for what some clients call otherwise (`image/jpg`), in lower case."""
    mime = mime.strip().lower()
    return _USUAL.get(mime, mime)


def kind_of(mime: str) -> Kind:
    """Which kind of part holds it."""
    match mime.partition("/")[0].strip().lower():
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def audio_format(mime: str) -> str | None:
    """What OpenAI's `input_audio` calls it; None where it has no word."""
    return _AUDIO_FORMATS.get(mime.partition(";")[0].strip().lower())


def audio_mime(form: str) -> str:
    """The kind of data that OpenAI's `input_audio` calls so."""
    return f"audio/{form.strip().lower()}"
