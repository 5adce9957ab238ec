from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.net import encoding

from llmitm.edge import masks
from llmitm.secret import Redactor, Secret

HEADERS = (
    (b"Host", b"localhost"),
    (b"Authorization", b"Bearer sk-secret"),
    (b"X-Api-Key", b"sk-ant-secret"),
    (b"Accept", b"*/*"),
)


def test_credentials_are_masked_and_come_back() -> None:
    shown, target, vault = masks.hide(HEADERS, b"/v1/x?alt=sse&key=AIzaSecret")
    assert shown == (
        (b"Host", b"localhost"),
        (b"Authorization", b"Bearer ***"),
        (b"X-Api-Key", b"***"),
        (b"Accept", b"*/*"),
    )
    assert target == b"/v1/x?alt=sse&key=***"
    assert b"secret" not in repr(vault).encode()
    assert masks.restore(shown, target, vault) == (HEADERS, b"/v1/x?alt=sse&key=AIzaSecret")


def test_an_edited_value_stays_as_edited() -> None:
    _, _, vault = masks.hide(HEADERS, b"/v1/x?key=secret")
    edited = ((b"Authorization", b"Bearer another"), (b"X-Api-Key", b"***"))
    assert masks.restore(edited, b"/v1/x?key=other", vault) == (
        ((b"Authorization", b"Bearer another"), (b"X-Api-Key", b"sk-ant-secret")),
        b"/v1/x?key=other",
    )


def test_a_mask_without_its_vault_is_dropped() -> None:
    shown = ((b"Authorization", b"Bearer ***"), (b"Accept", b"*/*"))
    assert masks.restore(shown, b"/v1/x?key=***&a=1", masks.Vault()) == (
        ((b"Accept", b"*/*"),),
        b"/v1/x?key=&a=1",
    )


def redactor() -> Redactor:
    made = Redactor()
    made.learn(Secret("known-secret"))
    return made


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        (b"X-Auth-Token", b"opaque", b"***"),
        (b"my-secret", b"opaque", b"***"),
        (b"helicone-auth", b"Bearer opaque", b"Bearer ***"),
        (b"x-note", b"it is known-secret, yes", b"it is ***, yes"),
        (b"x-note", b"sk-abcdefghijkl", b"***"),
        (b"idempotency-key", b"opaque", b"opaque"),
        (b"x-max-tokens", b"12", b"12"),
    ],
)
def test_unknown_headers_are_masked_by_name_or_by_what_they_hold(
    name: bytes, value: bytes, shown: bytes
) -> None:
    headers = ((name, value), (b"accept", b"*/*"))
    masked, target, vault = masks.hide(headers, b"/", redactor())
    assert masked == ((name, shown), (b"accept", b"*/*"))
    assert masks.restore(masked, target, vault) == (headers, b"/")


def test_a_path_is_masked_by_what_it_holds() -> None:
    target = b"/bot/sk-abcdefghijkl/x?key=known&q=known-secret"
    shown, path, vault = masks.hide((), target, redactor())
    assert path == b"/bot/***/x?key=***&q=***"
    assert masks.restore(shown, path, vault) == ((), target)


def test_an_answers_headers_are_masked_and_come_back() -> None:
    headers = (
        (b"set-cookie", b"session=opaque; Path=/"),
        (b"location", b"https://x.example/?key=opaque"),
        (b"x-access-token", b"opaque"),
        (b"x-ratelimit-token", b"100"),
    )
    shown, hidden = masks.hide_answer(headers, redactor())
    assert [value for _, value in shown] == [
        *(b"session=***; Path=/", b"https://x.example/?key=***", b"***", b"100"),
    ]
    assert masks.put_back(shown, hidden) == headers


BODY = b'{"a": "**bold** and ***", "b": "known-secret", "c": "sk-abcdefghijkl"}'


@pytest.mark.parametrize(
    ("edited", "real"),
    [
        (lambda shown: shown, BODY),
        (lambda shown: shown.replace(b"bold", b"italic"), BODY.replace(b"bold", b"italic")),
        (lambda shown: b"nothing ***", b"nothing ***"),
        (lambda shown: b"", b""),
    ],
)
def test_a_body_is_masked_and_comes_back_as_far_as_its_masks_are_there(
    edited: Callable[[bytes], bytes], real: bytes
) -> None:
    hidden = masks.HiddenBody.of(BODY, (), redactor())
    assert hidden is not None
    assert hidden.shown == b'{"a": "**bold** and ***", "b": "***", "c": "***"}'
    assert hidden.restored(edited(hidden.shown)) == real


@pytest.mark.parametrize("said", ["gzip", "deflate", "br", "zstd", "x-gzip", "of my own"])
def test_a_compressed_body_is_masked_within(said: str) -> None:
    coding = {"x-gzip": "gzip", "of my own": "identity"}.get(said, said)
    content = encoding.encode(BODY, coding)
    assert isinstance(content, bytes)
    hidden = masks.HiddenBody.of(content, ((b"Content-Encoding", said.encode()),), redactor())
    assert hidden is not None
    shown = encoding.decode(hidden.shown, coding)
    assert isinstance(shown, bytes)
    assert b"known-secret" not in shown and b"**bold**" in shown
    assert hidden.restored(hidden.shown) == content


NAMES = st.sampled_from([b"Authorization", b"cookie", b"X-API-Key", b"Accept", b"Host", b"x-other"])
VALUES = st.binary(max_size=20).filter(lambda value: not value.endswith(b"***"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_hiding_and_restoring_is_the_identity(headers: list[tuple[bytes, bytes]]) -> None:
    shown, target, vault = masks.hide(tuple(headers), b"/a?b=c")
    assert masks.restore(shown, target, vault) == (tuple(headers), b"/a?b=c")
