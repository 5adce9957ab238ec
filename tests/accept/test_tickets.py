"""Pieces of a file may come without a key to the address that an admitted client was given, nothing else."""

from __future__ import annotations

import hashlib

import pytest

from llmitm.accept.keys import admit
from llmitm.accept.tickets import added
from llmitm.config.schema import Config
from llmitm.errors import Refused


def config(secret: str = "sk-proxy-one", **more: object) -> Config:
    key = {"name": "laptop", "key_hash": "sha256:" + hashlib.sha256(secret.encode()).hexdigest(), **more}
    other = {"name": "other", "key_hash": "sha256:" + "0" * 64}
    return Config.model_validate({"endpoints": {"all": {"kind": "gateway"}}, "auth_keys": [other, key]})


GIVEN = added("upload_id=u1&x=%20y", "u1", "laptop", config())


def let_in(query: str, made: Config, path: bytes = b"/upload/v1beta/files") -> tuple[str | None, bytes]:
    found = admit((), query.encode(), made.endpoints["all"], "all", made, 0.0, path)
    return found.name, found.query


def test_the_address_lets_in_and_goes_on_without_its_ticket() -> None:
    assert let_in(GIVEN, config()) == ("laptop", b"upload_id=u1&x=%20y")


def test_who_needs_no_key_needs_no_ticket() -> None:
    assert added("upload_id=u1", "u1", None, Config()) == "upload_id=u1"


@pytest.mark.parametrize(
    ("query", "made", "path", "status"),
    [
        (GIVEN, config(), b"/v1/chat/completions", 401),
        (GIVEN, config(), b"/v1/upload/", 401),
        (GIVEN.replace("u1", "u2"), config(), b"/upload/v1beta/files", 401),
        (GIVEN + "&upload_id=u2", config(), b"/upload/v1beta/files", 401),
        (GIVEN[:-1], config(), b"/upload/v1beta/files", 401),
        ("upload_id=u1", config(), b"/upload/v1beta/files", 401),
        (GIVEN, config("sk-proxy-changed"), b"/upload/v1beta/files", 401),
        (GIVEN, config(disabled=True), b"/upload/v1beta/files", 401),
        (GIVEN, config(expires_at="1969-12-31"), b"/upload/v1beta/files", 401),
        (GIVEN, config(allowed_endpoints=["x"]), b"/upload/v1beta/files", 403),
    ],
)
def test_it_is_good_for_nothing_else(query: str, made: Config, path: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        let_in(query, made, path)
    assert caught.value.status == status
