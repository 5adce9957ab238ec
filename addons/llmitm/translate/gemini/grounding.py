"""Where an answer comes from: Gemini's grounding, and citations of texts. Pure.

Gemini counts bytes of UTF-8, within a part or over the whole answer; citations count code points within
their part. A support names its own text, so the text decides where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from llmitm.translate import jsontext
from llmitm.translate.neutral import Citation

_SOURCES: Final = ("web", "retrievedContext", "maps", "image")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def searches_in(told: Any) -> int:
    """How many searches `groundingMetadata` names: each that asked for something is billed."""
    queries = told.get("webSearchQueries") if isinstance(told, dict) else None
    return sum(1 for query in queries if isinstance(query, str) and query) if isinstance(queries, list) else 0


class Grounding:
    """What a candidate has told of its sources so far; each support is given away once."""

    __slots__ = ("_given", "_sources", "_supports")

    def __init__(self) -> None:
        self._supports: list[dict[str, Any]] = []
        self._sources: list[dict[str, Any]] = []
        self._given: set[str] = set()

    def take(self, candidate: dict[str, Any]) -> None:
        """The candidate's sources; later ones stand for earlier ones."""
        told = candidate.get("groundingMetadata")
        if isinstance(told, dict) and _dicts(told.get("groundingSupports")):
            self._supports = _dicts(told["groundingSupports"])
            self._sources = [_source(chunk) for chunk in _dicts(told.get("groundingChunks"))]
        told = candidate.get("citationMetadata")
        if isinstance(told, dict):
            cited = _dicts(told.get("citationSources")) + _dicts(told.get("citations"))
            self._supports += ({"segment": one, "source": one} for one in cited)

    def citations(self, text: str) -> tuple[Citation, ...]:
        """Those of a text part that is whole."""
        if not self._supports:
            return ()
        data = text.encode("utf-8", "replace")
        found: list[Citation] = []
        for support in self._supports:
            segment = support.get("segment")
            place = _place(segment if isinstance(segment, dict) else {}, data)
            key = jsontext.text_of(support)
            if place is None or key in self._given:
                continue
            self._given.add(key)
            start, end = (len(data[:at].decode("utf-8", "ignore")) for at in place)
            found += (_citation(source, start, end) for source in self._of(support))
        return tuple(found)

    def unplaced(self) -> tuple[Citation, ...]:
        """Those that stand in no text that there was: they cover nothing, at its beginning."""
        left = [support for support in self._supports if jsontext.text_of(support) not in self._given]
        self._given.update(map(jsontext.text_of, left))
        return tuple(_citation(source, 0, 0) for support in left for source in self._of(support))

    def _of(self, support: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "source" in support:
            yield support["source"]
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if type(index) is int and 0 <= index < len(self._sources):
                yield self._sources[index]


def _source(chunk: dict[str, Any]) -> dict[str, Any]:
    return next((chunk[name] for name in _SOURCES if isinstance(chunk.get(name), dict)), {})


def _citation(source: dict[str, Any], start: int, end: int) -> Citation:
    uri, title = source.get("uri") or source.get("sourceUri"), source.get("title")
    return Citation(
        kind="url" if isinstance(uri, str) else "document",
        url=uri if isinstance(uri, str) else None,
        title=title if isinstance(title, str) else None,
        start=start,
        end=end,
        vendor="google",
    )


def _place(segment: dict[str, Any], data: bytes) -> tuple[int, int] | None:
    """Where the segment stands within a part's bytes; None where it is of another part."""
    start = _number(segment.get("startIndex")) or 0
    end = _number(segment.get("endIndex"))
    said = segment.get("text")
    if isinstance(said, str) and said:
        quoted = said.encode("utf-8", "replace")
        if data[start : start + len(quoted)] != quoted:
            start = data.find(quoted)
        return (start, start + len(quoted)) if start >= 0 else None
    return (start, end) if end is not None and start < end <= len(data) else None


class Supports:
    """Citations on their way to a client: one list of sources, one support a citation."""

    __slots__ = ("_chunks", "_supports")

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, str | None], int] = {}
        self._supports: list[dict[str, Any]] = []

    def add(self, text: str, citations: tuple[Citation, ...], *, part: int = 0, before: int = 0) -> None:
        """`text` is the whole of the part, `part` its place among the candidate's parts. A stream has no
        places of parts: there `before` is how many bytes of text came before this part."""
        for citation in citations:
            if citation.kind != "url" or not citation.url:
                continue
            key = (citation.url, citation.title)
            chunk = self._chunks.setdefault(key, len(self._chunks))
            segment = _segment(text, citation, part, before)
            self._supports.append({"segment": segment, "groundingChunkIndices": [chunk]})

    def metadata(self, entry_point: Any = None) -> dict[str, Any] | None:
        """`groundingMetadata`; None where there is nothing to say."""
        told: dict[str, Any] = {}
        if isinstance(entry_point, dict):
            told["searchEntryPoint"] = entry_point
        if self._supports:
            told["groundingChunks"] = [
                {"web": {"uri": uri} | ({} if title is None else {"title": title})}
                for uri, title in self._chunks
            ]
            told["groundingSupports"] = self._supports
        return told or None


def _segment(text: str, citation: Citation, part: int, before: int) -> dict[str, Any]:
    start = min(max(citation.start or 0, 0), len(text))
    end = len(text) if citation.end is None else min(max(citation.end, start), len(text))
    first = before + len(text[:start].encode("utf-8", "replace"))
    quoted = text[start:end]
    segment: dict[str, Any] = {"partIndex": part} if part else {}
    if first:
        segment["startIndex"] = first
    return segment | {"endIndex": first + len(quoted.encode("utf-8", "replace")), "text": quoted}
