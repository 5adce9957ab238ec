"""What paths beside the calls of models ask for, who may be meant, and the URLs that they are asked at."""

from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmitm.config.schema import Config
from llmitm.errors import Refused
from llmitm.exchange import Dialect
from llmitm.route.siblings import (
    Sibling,
    dialect_at,
    find,
    is_named,
    one_provider,
    serving,
    speakers,
    url_of,
)

CHAT, MESSAGES, GEMINI = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI


def found(method: str, rest: str, seems: Dialect = CHAT, **options: Any) -> Sibling:
    sibling = find(method, rest.encode(), seems, **options)
    assert sibling is not None
    return sibling


@pytest.mark.parametrize(
    ("method", "rest", "kind", "form", "is_making", "ids"),
    [
        ("POST", "/v1/moderations", "moderations", "json", False, ()),
        ("POST", "/rerank", "rerank", "json", False, ()),
        ("POST", "/v2/rerank", "rerank", "json", False, ()),
        ("POST", "/v1/images/generations", "images", "json", False, ()),
        ("POST", "/v1/images/edits", "images", "either", False, ()),
        ("POST", "/v1/audio/speech", "speech", "json", False, ()),
        ("POST", "/v1/audio/translations", "transcriptions", "multipart", False, ()),
        ("POST", "/v1/files", "files", "multipart", True, ()),
        ("GET", "/v1/files?after=file-9&limit=2", "files", "none", False, ("file-9",)),
        ("HEAD", "/v1/files/file-1", "files", "none", False, ("file-1",)),
        ("DELETE", "/v1/files/file-1", "files", "none", False, ("file-1",)),
        ("GET", "/v1/files/file-1/content", "files", "none", False, ("file-1",)),
        ("POST", "/v1/uploads/upload_1/parts", "uploads", "multipart", True, ("upload_1",)),
        ("POST", "/v1/batches", "batches", "json", True, ()),
        ("POST", "/v1/batches/batch_1/cancel", "batches", "any", True, ("batch_1",)),
        ("GET", "/v1/messages/batches/msgbatch_1/results", "batches", "none", False, ("msgbatch_1",)),
        ("GET", "/v1/responses/resp_1", "responses", "none", False, ("resp_1",)),
        ("GET", "/v1/chat/completions/c1/messages", "stored", "none", False, ("c1",)),
        ("GET", "/v1/threads/t1/runs/r1", "threads", "none", False, ("t1", "r1")),
        ("POST", "/v1/fine_tuning/jobs/ft1/cancel", "fine_tuning", "any", True, ("ft1",)),
        ("POST", "/upload/v1beta/files?upload_id=u1", "files", "bytes", True, ("u1",)),
        ("GET", "/v1beta/files/abc:download?alt=media", "files", "none", False, ("abc",)),
        ("DELETE", "/v1beta/batches/b1", "batches", "none", False, ("b1",)),
        ("PATCH", "/v1beta/cachedContents/c1", "caches", "json", False, ("c1",)),
        ("GET", "/v1beta/models/veo/operations/o1", "media", "none", False, ("veo", "o1")),
    ],
)
def test_paths(method: str, rest: str, kind: str, form: str, is_making: bool, ids: tuple[str, ...]) -> None:
    one = found(method, rest)
    assert (one.kind, one.form, one.is_making, one.ids) == (kind, form, is_making, ids)


@pytest.mark.parametrize(
    "rest",
    [
        "/v1/organization/users",
        "/v1/files/a/b/c",
        "/v1/files/",
        "/v1/filesystem",
        "/v1//files",
        "/v1/v1/files",
        "/v1beta/batchesx",
        "/upload/files",
        "/upload/v1beta/batches",
        "/v2/files",
        "/v1/skills",
        "/",
    ],
)
def test_other_paths_are_none_of_them(rest: str) -> None:
    assert find("GET", rest.encode(), CHAT) is None


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", "/v1/moderations"), ("PUT", "/v1/files"), ("PATCH", "/v1beta/files/a")]
)
def test_other_methods_are_refused(method: str, rest: str) -> None:
    with pytest.raises(Refused) as caught:
        find(method, rest.encode(), CHAT)
    assert caught.value.status == 405


@pytest.mark.parametrize(
    ("glob", "rest", "is_allowed"),
    [
        ("/v1/skills*", "/v1/skills", True),
        ("/v1/skills*", "/skills/s1?x=1", True),
        ("/v1/skills*", "/v1beta/skills", False),
        ("/v1/skills", "/v1/skills/s1", False),
        ("/v1/*", "/v2/skills", False),
        ("/v1beta/inter*", "/v1beta/interactions", True),
    ],
)
def test_further_paths_where_they_are_allowed(glob: str, rest: str, is_allowed: bool) -> None:
    assert is_named(rest.encode(), [glob]) == is_allowed
    one = find("PUT", rest.encode(), CHAT, allowed=[glob])
    assert (one is not None and one.kind == "other") == is_allowed


@pytest.mark.parametrize(
    ("rest", "seems", "dialect"),
    [
        ("/v1/files", CHAT, CHAT),
        ("/v1/files", MESSAGES, MESSAGES),
        ("/v1/files", GEMINI, GEMINI),
        ("/v1/moderations", GEMINI, CHAT),
        ("/v1/batches", MESSAGES, CHAT),
        ("/v1/messages/batches", CHAT, MESSAGES),
        ("/v1beta/files", CHAT, GEMINI),
    ],
)
def test_whose_api_it_is(rest: str, seems: Dialect, dialect: Dialect) -> None:
    assert found("POST", rest, seems).dialect is dialect


def test_what_is_meant_for_the_gateway_goes_no_further() -> None:
    one = found("GET", "/v1/files?provider=one&limit=%32&key=k&keyed=1")
    assert (one.query, one.provider) == (b"limit=%32&keyed=1", "one")
    assert found("GET", "/v1/files?provider=one", header=b"other").provider == "other"


ALL: dict[str, dict[str, Any]] = {
    "openai": {"api_keys": ["k1", "k2"]},
    "anthropic": {"api_keys": ["k3"]},
    "google": {"api_keys": ["k4"]},
    "mine": {"base_url": "http://h/v1", "models": ["whisper-1", {"id": "real", "alias": "nick"}]},
}


def config(*names: str, **more: dict[str, Any]) -> Config:
    providers: dict[str, Any] = {name: dict(ALL[name]) for name in names}
    for name, options in more.items():
        providers[name] = providers.get(name, {}) | options
    for one in providers.values():
        keys = one.pop("api_keys", ())
        one["credentials"] = [{"api_key": key, "name": key, **one} for key in keys]
    return Config.model_validate({"providers": providers})


@pytest.mark.parametrize(
    ("rest", "names", "only", "accounts"),
    [
        ("/v1/files", ("openai", "anthropic", "google"), None, ["k1", "k2"]),
        ("/v1/messages/batches", ("openai", "anthropic"), None, ["k3"]),
        ("/v1beta/files", ("openai", "google"), None, ["k4"]),
        ("/v1/files", ("openai", "mine"), "mine", [None]),
        ("/v1/files", ("openai", "anthropic"), "anthropic", ["k3"]),
    ],
)
def test_the_one_provider_that_speaks_it(
    rest: str, names: tuple[str, ...], only: str | None, accounts: list[str | None]
) -> None:
    chosen = one_provider(found("GET", rest), config(*names), only)
    assert [one.credential.name if one.credential else None for one in chosen] == accounts


@pytest.mark.parametrize(
    ("rest", "names", "only", "status", "words"),
    [
        ("/v1/files", ("openai", "mine"), None, 400, "openai, mine"),
        ("/v1/files", ("openai", "mine"), None, 400, "x-llmitm-provider"),
        ("/v1/files", ("anthropic",), None, 404, "openai's API"),
        ("/v1/files", ("openai",), "nobody", 400, "nobody"),
        ("/v1/batches", ("openai", "anthropic"), "anthropic", 400, "openai's API"),
    ],
)
def test_nobody_in_particular(
    rest: str, names: tuple[str, ...], only: str | None, status: int, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        one_provider(found("GET", rest), config(*names), only)
    assert caught.value.status == status
    assert words in caught.value.message


def test_who_is_out_of_service() -> None:
    disabled = config("mine", openai={**ALL["openai"], "disabled": True})
    assert {one.provider for one in one_provider(found("GET", "/v1/files"), disabled, None)} == {"mine"}
    with pytest.raises(Refused) as caught:
        one_provider(found("GET", "/v1/files"), disabled, "openai")
    assert caught.value.status == 503


def test_a_model_says_who_is_meant() -> None:
    both = config("openai", "mine", "anthropic")
    sibling = found("POST", "/v1/audio/transcriptions")
    assert {one.provider for one in serving(sibling, "whisper-1", both, None)} == {"mine"}
    assert {one.provider for one in serving(sibling, "openai/whisper-1", both, None)} == {"openai"}
    assert [one.model for one in serving(sibling, "nick", both, None)] == ["real"]
    with pytest.raises(Refused) as caught:
        serving(sibling, "claude-sonnet-4-6", both, None)
    assert caught.value.status == 501


@pytest.mark.parametrize(
    ("method", "rest", "base", "options", "url"),
    [
        ("GET", "/v1/files?a=b", "https://h/v1", {}, "https://h/v1/files?a=b"),
        ("GET", "/files", "https://h", {}, "https://h/v1/files"),
        (
            "GET",
            "/v1/files",
            "https://h/openai",
            {"api_version": "2"},
            "https://h/openai/files?api-version=2",
        ),
        ("POST", "/v2/rerank", "https://h/v1", {}, "https://h/v2/rerank"),
        (
            "POST",
            "/v1/rerank",
            "https://api.cohere.ai/compatibility/v1",
            {},
            "https://api.cohere.com/v2/rerank",
        ),
        ("GET", "/v1/messages/batches", "https://h", {"format": "claude"}, "https://h/v1/messages/batches"),
        (
            "GET",
            "/v1/messages/batches",
            "https://h/a/v1",
            {"format": "claude"},
            "https://h/a/v1/messages/batches",
        ),
        ("GET", "/v1beta/files", "https://h", {"format": "gemini"}, "https://h/v1beta/files"),
        ("GET", "/v1beta/files", "https://h/v1beta", {"format": "gemini"}, "https://h/v1beta/files"),
        (
            "POST",
            "/upload/v1beta/files",
            "https://h/x/v1beta",
            {"format": "gemini"},
            "https://h/x/upload/v1beta/files",
        ),
        ("GET", "/v1/files/a%2Fb", "https://h", {}, "https://h/v1/files/a%2Fb"),
    ],
)
def test_urls(method: str, rest: str, base: str, options: dict[str, Any], url: str) -> None:
    sibling = found(method, rest)
    (chosen,) = speakers(sibling, config(p={"base_url": base, **options}), None)
    assert url_of(sibling, chosen, dialect_at(sibling, chosen)) == url


def test_the_path_names_the_model_as_the_provider_does() -> None:
    sibling = found("POST", "/v1beta/models/nick:batchGenerateContent")
    named = config(p={"base_url": "http://h", "format": "gemini", "models": [{"id": "a/b", "alias": "nick"}]})
    (chosen,) = serving(sibling, "nick", named, None)
    assert url_of(sibling, chosen, GEMINI) == "http://h/v1beta/models/a%2Fb:batchGenerateContent"


@pytest.mark.parametrize("rest", ["/v1/files/..", "/v1/files/%2e%2E", "/v1/files/..%2forganization/content"])
def test_a_path_that_climbs_is_refused(rest: str) -> None:
    sibling = found("GET", rest)
    (chosen,) = speakers(sibling, config(p={"base_url": "http://h/v1"}), None)
    with pytest.raises(Refused) as caught:
        url_of(sibling, chosen, CHAT)
    assert caught.value.status == 400


PIECES = (
    "/",
    "/v1",
    "/upload",
    "/files",
    "/batches",
    "/..",
    "%2e",
    "%2F",
    ".",
    "x",
    ";",
    ":",
    "?",
    "&",
    "=",
    "\\",
)


@given(
    rest=st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "/v1/files" + "".join(pieces)),
    method=st.sampled_from(("GET", "POST", "DELETE")),
    base=st.sampled_from(("http://h/v1", "http://h", "http://h/deep/v1")),
)
def test_no_path_leaves_the_providers_address(rest: str, method: str, base: str) -> None:
    made = config(p={"base_url": base})
    try:
        sibling = find(method, rest.encode(), CHAT, allowed=["/v1/*"])
        if sibling is None:
            return
        (chosen,) = speakers(sibling, made, None)
        url = url_of(sibling, chosen, CHAT)
    except Refused:
        return
    path = posixpath.normpath(unquote(urlsplit(url).path).replace("\\", "/"))
    assert url.startswith(base)
    assert path.startswith(urlsplit(base).path or "/v1")
