"""What a `[state] url` says, and what is told of one that is wrong: never its password."""

from __future__ import annotations

import pytest

from llmitm.clock import SystemClock
from llmitm.secret import Secret
from llmitm.state import open_store
from llmitm.state.memory import MemoryStore
from llmitm.state.place import Place
from llmitm.state.shared import SharedStore


@pytest.mark.parametrize(
    ("url", "name", "user", "password"),
    [
        ("memory://", "memory://", None, None),
        ("redis://localhost", "redis://localhost:6379/0", None, None),
        ("REDIS://Host:7000/3", "redis://host:7000/3", None, None),
        ("redis://[::1]:7000", "redis://[::1]:7000/0", None, None),
        ("rediss://me:p%40ss%2Fw%23@host/1", "rediss://host:6379/1", "me", "p@ss/w#"),
        ("redis://:p:w@host", "redis://host:6379/0", None, "p:w"),
    ],
)
def test_a_place(url: str, name: str, user: str | None, password: str | None) -> None:
    place = Place.of(Secret(url))
    assert (place.name, place.user) == (name, user)
    assert (place.password.reveal() if place.password else None) == password
    assert not password or password not in repr(place)


def test_files_of_tls() -> None:
    url = "rediss://host?ssl_ca_certs=/etc/ca%20here.pem&ssl_keyfile=k.pem"
    assert Place.of(Secret(url)).files == (("ssl_ca_certs", "/etc/ca here.pem"), ("ssl_keyfile", "k.pem"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "memory://, redis:// or rediss:// is expected"),
        ("localhost:6379", "memory://, redis:// or rediss:// is expected"),
        ("postgresql://u:hunter22@host", "is expected, not postgresql://"),
        ("unix:///run/redis.sock", "is expected, not unix://"),
        ("memory://x", "nothing may follow"),
        ("redis://", "names no host"),
        ("redis://:hunter22@/0", "names no host"),
        ("redis://:hunter#22@host/0", "%23"),
        ("redis://:hunter22/x@host/0", "%2F"),
        ("redis://:hunter22@host:port/0", "no port"),
        ("redis://:hunter22@host:99999/0", "no port"),
        ("redis://:hunter22@[::1/0", "%2F"),
        ("redis://host/one", "number of a database"),
        ("redis://host?ssl_ca_certs=ca.pem", "only with rediss://"),
        ("rediss://host?ssl_cert_reqs=none", "ssl_ca_certs=FILE"),
        ("rediss://host?ssl_ca_certs=", "ssl_ca_certs=FILE"),
    ],
)
def test_a_wrong_place(url: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        Place.of(Secret(url))
    assert told in str(caught.value)
    assert "hunter" not in str(caught.value)


async def test_the_url_decides_where_counters_are() -> None:
    assert isinstance(open_store(Secret("memory://"), SystemClock()), MemoryStore)
    shared = open_store(Secret("redis://127.0.0.1:1"), SystemClock())
    assert isinstance(shared, SharedStore)
    assert not shared.is_local
    await shared.close()
