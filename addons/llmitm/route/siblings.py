"""Paths beside the calls of models: files, batches, images, sound and the like. Pure.

Nothing of them is translated: each is passed to the one provider that speaks it. A row of the table says who
may, with which methods, and whether what is made there is kept by the account that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from llmitm.config.schema import Config
from llmitm.errors import Refused, wrong_method
from llmitm.exchange import Dialect
from llmitm.route import calls, providers
from llmitm.route.join import join
from llmitm.route.providers import Candidate

type Form = Literal["json", "multipart", "either", "any", "bytes", "none"]
"""What a POST carries; `either` of the first two, `any` body at all, or `bytes` that are not looked at."""

OPENAI: Final = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES})
ANTHROPIC: Final = frozenset({Dialect.ANTHROPIC_MESSAGES})
GEMINI: Final = frozenset({Dialect.GEMINI})
_NAMES: Final = {OPENAI: "openai", ANTHROPIC: "anthropic", GEMINI: "gemini"}


@dataclass(frozen=True, slots=True)
class _Row:
    kind: str
    pattern: re.Pattern[str]
    """Of the path without its version."""
    methods: tuple[str, ...]
    form: Form = "none"
    apis: tuple[frozenset[Dialect], ...] = (OPENAI,)
    is_kept: bool = True


def _row(kind: str, pattern: str, methods: str, form: Form = "none", **more: object) -> _Row:
    whole = re.compile(pattern.replace("ID", "[^/:]+").replace("ANY", "(?:/.+)?") + r"\Z")
    return _Row(kind, whole, tuple(methods.split()), form, **more)  # type: ignore[arg-type]


_BOTH: Final = (OPENAI, ANTHROPIC)
_ROWS: Final[tuple[_Row, ...]] = (
    _row("moderations", "/moderations", "POST", "json", is_kept=False),
    _row("rerank", "/rerank", "POST", "json", is_kept=False),
    _row("images", "/images/generations", "POST", "json", is_kept=False),
    _row("images", "/images/edits", "POST", "either", is_kept=False),
    _row("images", "/images/variations", "POST", "multipart", is_kept=False),
    _row("speech", "/audio/speech", "POST", "json", is_kept=False),
    _row("transcriptions", "/audio/(?:transcriptions|translations)", "POST", "multipart", is_kept=False),
    _row("files", "/files", "POST", "multipart", apis=_BOTH),
    _row("files", "/files", "GET", apis=_BOTH),
    _row("files", "/files/ID", "GET DELETE", apis=_BOTH),
    _row("files", "/files/ID/content", "GET", apis=_BOTH),
    _row("uploads", "/uploads", "POST", "json"),
    _row("uploads", "/uploads/ID/parts", "POST", "multipart"),
    _row("uploads", "/uploads/ID/(?:complete|cancel)", "POST", "any"),
    _row("batches", "/batches", "POST", "json"),
    _row("batches", "/batches", "GET"),
    _row("batches", "/batches/ID", "GET"),
    _row("batches", "/batches/ID/cancel", "POST", "any"),
    _row("batches", "/messages/batches", "POST", "json", apis=(ANTHROPIC,)),
    _row("batches", "/messages/batches", "GET", apis=(ANTHROPIC,)),
    _row("batches", "/messages/batches/ID", "GET DELETE", apis=(ANTHROPIC,)),
    _row("batches", "/messages/batches/ID/results", "GET", apis=(ANTHROPIC,)),
    _row("batches", "/messages/batches/ID/cancel", "POST", "any", apis=(ANTHROPIC,)),
    _row("videos", "/videos", "POST", "either"),
    _row("videos", "/videos", "GET"),
    _row("videos", "/videos/ID", "GET DELETE"),
    _row("videos", "/videos/ID/content", "GET"),
    _row("videos", "/videos/ID/remix", "POST", "either"),
    _row("responses", "/responses/ID", "GET DELETE"),
    _row("responses", "/responses/ID/input_items", "GET"),
    _row("responses", "/responses/ID/cancel", "POST", "any"),
    _row("stored", "/chat/completions", "GET"),
    _row("stored", "/chat/completions/ID", "GET POST DELETE", "json"),
    _row("stored", "/chat/completions/ID/messages", "GET"),
    *(
        _row(name, f"/{name}ANY", "GET POST DELETE", "any")
        for name in (
            "conversations",
            "vector_stores",
            "assistants",
            "threads",
            "fine_tuning",
            "containers",
            "evals",
        )
    ),
)
_OF_GEMINI: Final[tuple[_Row, ...]] = (
    _row("files", "/files", "GET POST", "any", apis=(GEMINI,)),
    _row("files", "/files/ID", "GET DELETE", apis=(GEMINI,)),
    _row("files", "/files/ID:download", "GET", apis=(GEMINI,)),
    _row("files", "/files:register", "POST", "json", apis=(GEMINI,)),
    _row("batches", "/batches", "GET", apis=(GEMINI,)),
    _row("batches", "/batches/ID", "GET DELETE", apis=(GEMINI,)),
    _row("batches", "/batches/ID:cancel", "POST", "any", apis=(GEMINI,)),
    _row(
        "batches",
        "/models/ID:(?:batchGenerateContent|asyncBatchEmbedContent)",
        "POST",
        "json",
        apis=(GEMINI,),
    ),
    _row("media", "/models/ID:predict", "POST", "json", apis=(GEMINI,), is_kept=False),
    _row("media", "/models/ID:predictLongRunning", "POST", "json", apis=(GEMINI,)),
    _row("media", "/models/ID/operations/ID", "GET", apis=(GEMINI,)),
    _row("caches", "/cachedContents", "GET POST", "json", apis=(GEMINI,)),
    _row("caches", "/cachedContents/ID", "GET PATCH DELETE", "json", apis=(GEMINI,)),
    _row("stores", "/fileSearchStores(?:/.+)?", "GET POST DELETE", "any", apis=(GEMINI,)),
)
_UPLOADED: Final[tuple[_Row, ...]] = (
    _row("files", "/files", "POST PUT", "bytes", apis=(GEMINI,)),
    _row("stores", "/fileSearchStores/ID:uploadToFileSearchStore", "POST PUT", "bytes", apis=(GEMINI,)),
)
_PATH: Final = re.compile(r"(?P<upload>/upload(?=/))?(?:/(?P<version>v1|v2|v1beta|v1alpha))?(?P<bare>/.+)\Z")
_FIRSTS: Final = ("/messages", "/chat", "/fine_tuning")
"""What stands before a collection's name; after one, every other segment is an id."""
_ID_QUERIES: Final = frozenset({"after", "before", "after_id", "before_id", "upload_id"})
_OWN_QUERIES: Final = frozenset({"key", "provider"})
_VERSION_AT_END: Final = re.compile(r"/v\d+(?:beta|alpha)?\Z")
_PATH_MODEL: Final = re.compile(r"/models/(?P<model>[^/:]+)")
_RERANK_ROOTS: Final = {"https://api.cohere.ai/compatibility/v1": "https://api.cohere.com/v2"}
"""Where it is not below the base URL of the same vendor's other calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """One request beside the calls of models."""

    kind: str
    """Its family, such as `files`; `other` for what is in no table."""
    path: str
    """Without a version."""
    version: str | None
    is_upload: bool
    """Below `/upload`."""
    form: Form
    apis: tuple[frozenset[Dialect], ...]
    """Whose it may be."""
    api: frozenset[Dialect]
    """Whose it seems to be."""
    is_kept: bool
    """Whether an account keeps what is made, so that it is asked for there again."""
    is_making: bool
    """Whether it makes something that costs, so that it must not be made twice."""
    query: bytes
    """Without what is meant for the gateway."""
    ids: tuple[str, ...]
    """Names in path and query that one account may know alone."""
    provider: str | None
    """That the client asks for by name."""
    model: str | None = None
    """Where the path names it."""

    @property
    def dialect(self) -> Dialect:
        """The one whose errors a client of this API understands."""
        return next(one for one in Dialect if one in self.api)


def find(
    method: str, rest: bytes, seems: Dialect, *, header: bytes | None = None, allowed: Sequence[str] = ()
) -> Sibling | None:
    """What `rest` (path and query below the endpoint) asks for; None where it is nothing of the kind.

    `seems`: the dialect that the client seems to speak. `header`: of `x-llmitm-provider`. `allowed`: globs of
    further paths, with their version.

    Raises:
        Refused: 405, the path is known, but not with this method.
    """
    raw, _, query = rest.partition(b"?")
    match = _PATH.match(raw.decode("latin-1"))
    if match is None:
        return None
    row = _row_of(method, match, seems)
    if row is None:
        if not is_named(rest, allowed):
            return None
        row = _Row("other", match.re, (method,), "any", (_api_of(match["version"], seems),))
    return _sibling(row, method, match, query, seems, header)


def is_named(rest: bytes, globs: Sequence[str]) -> bool:
    """Whether one of `globs` names the path, which is as sent or, without a version, below `/v1`."""
    path = rest.partition(b"?")[0].decode("latin-1")
    match = _PATH.match(path)
    if match is None or not globs:
        return False
    shown = path if match["version"] else f"{match['upload'] or ''}/v1{match['bare']}"
    return any(fnmatchcase(shown, glob) for glob in globs)


def _row_of(method: str, match: re.Match[str], seems: Dialect) -> _Row | None:
    """Raises `Refused` where only the method is unknown."""
    version, bare = match["version"], match["bare"]
    if match["upload"]:
        rows = _UPLOADED if version else ()
    elif version in ("v1beta", "v1alpha"):
        rows = _OF_GEMINI
    elif version == "v1" and seems is Dialect.GEMINI:
        rows = (*_OF_GEMINI, *_ROWS)
    elif version == "v2":
        rows = tuple(row for row in _ROWS if row.kind == "rerank")
    else:
        rows = _ROWS + tuple(row for row in _OF_GEMINI if bare.startswith("/models/"))
    fitting = [row for row in rows if row.pattern.match(bare)]
    if not fitting:
        return None
    asked = "GET" if method == "HEAD" else method
    for row in fitting:
        if asked in row.methods:
            return row
    methods = dict.fromkeys(one for row in fitting for one in row.methods)
    if calls.find(match[0].encode("latin-1")) is not None:
        methods = {"POST": None} | methods
    raise wrong_method(*methods)


def _sibling(
    row: _Row, method: str, match: re.Match[str], query: bytes, seems: Dialect, header: bytes | None
) -> Sibling:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = header.decode("latin-1") if header else next((v for k, v in pairs if k == "provider"), None)
    bare = match["bare"]
    model = _PATH_MODEL.match(bare)
    return Sibling(
        kind=row.kind,
        path=bare,
        version=match["version"],
        is_upload=bool(match["upload"]),
        form=row.form if method in ("POST", "PUT", "PATCH") or row.kind == "other" else "none",
        apis=row.apis,
        api=next((api for api in row.apis if seems in api), row.apis[0]),
        is_kept=row.is_kept,
        is_making=row.is_kept and method == "POST",
        query=_without_own(query),
        ids=tuple(dict.fromkeys((*_ids_in(bare), *(v for k, v in pairs if k in _ID_QUERIES and v))))
        if row.is_kept
        else (),
        provider=named or None,
        model=unquote(model["model"]) if model else None,
    )


def _without_own(query: bytes) -> bytes:
    """All else stays as it was spelled."""
    parts = (part for part in query.split(b"&") if part)
    return b"&".join(
        one for one in parts if unquote(one.partition(b"=")[0].decode("latin-1")) not in _OWN_QUERIES
    )


def _ids_in(bare: str) -> Iterator[str]:
    for first in _FIRSTS:
        if bare.startswith(f"{first}/"):
            bare = bare.removeprefix(first)
    for segment in bare.strip("/").split("/")[1::2]:
        yield unquote(segment.partition(":")[0])


def _api_of(version: str | None, seems: Dialect) -> frozenset[Dialect]:
    if version in ("v1beta", "v1alpha"):
        return GEMINI
    return ANTHROPIC if seems is Dialect.ANTHROPIC_MESSAGES else OPENAI


def speaks(sibling: Sibling, chosen: Candidate, *, is_named: bool = False) -> bool:
    """Whether a provider speaks the API; where the client names the provider, any that the path may be of."""
    apis = sibling.apis if is_named else (sibling.api,)
    return any(api & set(chosen.dialects) for api in apis)


def dialect_at(sibling: Sibling, chosen: Candidate) -> Dialect:
    """That of a provider which speaks the API, as far as its key and its headers go."""
    apis = sorted(sibling.apis, key=lambda api: api != sibling.api)
    return next(one for api in apis for one in chosen.dialects if one in api)


def speakers(sibling: Sibling, config: Config, only: str | None) -> list[Candidate]:
    """All that speak the API and are in service; `only` names the one provider to ask."""
    return [one for one in _all_speakers(sibling, config, only) if not _is_disabled(one, config)]


def one_provider(sibling: Sibling, config: Config, only: str | None) -> list[Candidate]:
    """The credentials of `only`, or of the one provider that speaks the API: no model says who is meant.

    Raises:
        Refused: 400 where there is more than one, or `only` does not speak it or does not exist; 404 where
            there is none; 503 where it is out of service.
    """
    every = _all_speakers(sibling, config, only)
    found = [one for one in every if not _is_disabled(one, config)]
    names = list(dict.fromkeys(one.provider for one in found))
    if len(names) > 1:
        raise Refused(400, "ambiguous_provider", _ways(names))
    if found:
        return found
    raise _nobody(sibling, only, has_disabled=bool(every))


def serving(sibling: Sibling, model: str, config: Config, only: str | None) -> list[Candidate]:
    """Those that serve the model and speak the API.

    Raises:
        Refused: as `providers.find`; 501 where none of them speaks the API.
    """
    found = providers.find(model, config, only=only)
    speaking = [one for one in found if speaks(sibling, one, is_named=only is not None)]
    if not speaking:
        raise Refused(
            501,
            "not_supported",
            f"Provider {found[0].provider} does not speak {_NAMES[sibling.api]}'s API, and calls of this "
            "kind are not translated.",
        )
    return speaking


def _all_speakers(sibling: Sibling, config: Config, only: str | None) -> list[Candidate]:
    every = (
        Candidate(provider=name, options=options, credential=credential, model="")
        for name, options, credential in providers.entries(config, only)
        if options.base(name) is not None
    )
    return [one for one in every if speaks(sibling, one, is_named=only is not None)]


def _is_disabled(one: Candidate, config: Config) -> bool:
    return one.options.disabled or config.providers[one.provider].disabled


def _nobody(sibling: Sibling, only: str | None, *, has_disabled: bool) -> Refused:
    api = _NAMES[sibling.api]
    if has_disabled:
        return Refused(503, "no_credential", f"No provider that speaks {api}'s API is in service.")
    if only is not None:
        return Refused(
            400, "unknown_provider", f"No provider {only[:64]} is configured that speaks {api}'s API."
        )
    return Refused(
        404, "no_provider", f"No provider is configured that speaks {api}'s API for {sibling.kind}."
    )


def _ways(names: Sequence[str]) -> str:
    return (
        f"Several providers may be meant: {', '.join(names[:20])}. Name one with ?provider=NAME or the "
        "header x-llmitm-provider, name a model (in a form, before any file), or use an endpoint that has "
        "a provider."
    )


def url_of(sibling: Sibling, chosen: Candidate, dialect: Dialect) -> str:
    """Where the provider is asked.

    Raises:
        Refused: 400 for a path that could leave the provider's base URL.
    """
    base, path, query = chosen.base, sibling.path, sibling.query
    match dialect:
        case Dialect.GEMINI:
            bare = _VERSION_AT_END.sub("", base)
            version = chosen.options.api_version or sibling.version or "v1beta"
            own = base.removeprefix(bare) or f"/{version}"
            if sibling.model is not None and chosen.model:
                name = quote(chosen.model.removeprefix("models/"), safe="")
                path = f"/models/{name}" + path[_PATH_MODEL.match(path).end() :]  # type: ignore[union-attr]
            return _joined(bare, ("/upload" if sibling.is_upload else "") + own + path, query)
        case Dialect.ANTHROPIC_MESSAGES:
            return _joined(base, f"/v1{path}", query)
    if sibling.kind == "rerank" and base in _RERANK_ROOTS:
        return _joined(_RERANK_ROOTS[base], path, query)
    if sibling.version == "v2":
        return _joined(_VERSION_AT_END.sub("", base), f"/v2{path}", query)
    if chosen.options.api_version:
        added = b"api-version=" + quote(chosen.options.api_version, safe="").encode()
        query = query + b"&" + added if query else added
    return _joined(base, path if urlsplit(base).path.strip("/") else f"/v1{path}", query)


def _joined(base: str, path: str, query: bytes) -> str:
    return join(base, path.encode("latin-1") + (b"?" + query if query else b""))
