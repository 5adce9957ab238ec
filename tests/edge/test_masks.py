from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmitm.edge import masks

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


NAMES = st.sampled_from([b"Authorization", b"cookie", b"X-API-Key", b"Accept", b"Host", b"x-other"])
VALUES = st.binary(max_size=20).filter(lambda value: not value.endswith(b"***"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_hiding_and_restoring_is_the_identity(headers: list[tuple[bytes, bytes]]) -> None:
    shown, target, vault = masks.hide(tuple(headers), b"/a?b=c")
    assert masks.restore(shown, target, vault) == (tuple(headers), b"/a?b=c")
