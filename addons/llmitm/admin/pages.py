"""The files of the dashboard's pages. What the build named after its content never changes."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import brotli
from aiohttp import web

from llmitm.admin import guard
from llmitm.errors import Refused

FOLDER: Final = Path(__file__).parent / "static"
_API: Final = ("api", "admin", "ws")
"""What is none of the pages' addresses."""
PATH: Final = rf"/{{path:(?!(?:{'|'.join(_API)})(?:/|\Z)).*}}"
_COMPRESSED: Final = (".js", ".css", ".svg", ".html", ".json", ".webmanifest")
_QUALITY: Final = 5
"""A quarter of the time of 9, for a fiftieth more bytes."""
_HASHED: Final = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+\Z")
_LACKS: Final = (
    b"<!doctype html><title>llmitm</title><p>The dashboard's pages are not built: run <code>just web</code>."
)


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    compressed: bytes | None
    media: str
    is_immutable: bool
    tag: str


class Pages:
    """Knows its files by name from the start: nothing that a path says is looked for on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._read: dict[str, File] = {}
        if folder.is_dir():
            self._files = {
                path.relative_to(folder).as_posix(): path
                for path in folder.rglob("*")
                if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
            }

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if path.partition("/")[0] in _API:
            raise Refused(404, "not_found", "There is nothing here.")
        if path in self._files and path != "index.html":
            return await self._file(path, request)
        if "." in path.rpartition("/")[2]:
            raise Refused(404, "not_found", "There is no such file.")
        return self._page()

    async def _file(self, name: str, request: web.Request) -> web.StreamResponse:
        file = self._read.get(name)
        if file is None:  # compressing takes longer than requests beside it should wait
            file = self._read[name] = await asyncio.to_thread(_taken, name, self._files[name])
        age = "public, max-age=31536000, immutable" if file.is_immutable else "no-cache"
        headers = {"Cache-Control": age, "ETag": file.tag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        body = file.body
        if file.compressed is not None and "br" in _encodings(request):
            body = file.compressed
            headers["Content-Encoding"] = "br"
        return web.Response(body=body, content_type=file.media, headers=headers)

    def _page(self) -> web.StreamResponse:
        """The one page that all addresses of the dashboard lead to: it finds out itself what to show."""
        path = self._files.get("index.html")
        body = path.read_bytes() if path is not None else _LACKS
        return web.Response(
            body=body,
            content_type="text/html",
            charset="utf-8",
            headers={"Cache-Control": "no-cache", "Content-Security-Policy": guard.POLICY},
        )


def _taken(name: str, path: Path) -> File:
    body = path.read_bytes()
    is_text = name.endswith(_COMPRESSED)
    return File(
        body=body,
        compressed=brotli.compress(body, quality=_QUALITY) if is_text and len(body) > 1024 else None,
        media=mimetypes.guess_type(name)[0] or "application/octet-stream",
        is_immutable=name.startswith("assets/") and _HASHED.search(name) is not None,
        tag=f'"{hashlib.sha256(body).hexdigest()[:24]}"',
    )


def _encodings(request: web.Request) -> set[str]:
    offered = request.headers.get("Accept-Encoding", "").split(",")
    return {one.partition(";")[0].strip() for one in offered if not re.search(r";\s*q=0(\.0*)?\s*\Z", one)}
