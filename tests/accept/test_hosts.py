"""By which names the gateway may be asked where it asks for no key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmitm.accept import hosts
from llmitm.config.server import Server
from llmitm.errors import Refused
from llmitm.exchange import ClientRequest, HeldBody


def asking(host: str | None, *, origin: str | None = None, scheme: str = "http") -> ClientRequest:
    named = {"Host": host, "Origin": origin}
    headers = tuple(
        (name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None
    )
    return ClientRequest(
        id="1",
        method="POST",
        target=b"/v1/x",
        headers=headers,
        body=HeldBody(),
        client="127.0.0.1",
        scheme=scheme,
    )


PUBLIC = "evil.example:8811"
OPEN: dict[str, Any] = {"host": "0.0.0.0", "allow_anonymous": True}


@pytest.mark.parametrize(
    ("host", "server", "is_known"),
    [
        ("127.0.0.1:8811", {}, True),
        ("[::1]:8811", {}, True),
        ("192.168.1.5", {}, True),
        ("localhost:8811", {}, True),
        ("LOCALHOST.", {}, True),
        ("app.localhost:8811", {}, True),
        ("llmitm:8811", {}, True),
        ("host.docker.internal:8811", {}, True),
        ("llmitm.default.svc.cluster.local", {}, True),
        ("box.example:8811", {"host": "Box.example"}, True),
        ("llm.example.com", {"hosts": ("LLM.example.com",)}, True),
        ("llm.example.com:80", {"hosts": ("llm.example.com",)}, True),
        ("app.example", {"cors_origins": ("https://app.example",)}, True),
        ("app.example:8811", {"cors_origins": ("http://app.example:*",)}, True),
        (PUBLIC, {"cors_origins": ("*",)}, True),
        (None, {}, True),  # HTTP/1.0, which no browser speaks
        (PUBLIC, {}, False),
        (PUBLIC, {"hosts": ("llm.example.com",)}, False),
        ("x.llm.example.com", {"hosts": ("llm.example.com",)}, False),
        ("evil.example.", {}, False),
        ("127.0.0.1.evil.example", {}, False),
        ("localhost.evil.example", {}, False),
        ("evillocalhost.example", {}, False),
        ("app.example:9", {"cors_origins": ("https://app.example",)}, False),
        ("", {}, False),
        ("localhost, evil.example", {}, False),
        ("evil.example@localhost", {}, False),
        ("evil.example#localhost", {}, False),
        ("localhost:x", {}, False),
        ("\xe4.example", {}, False),
    ],
)
def test_names(host: str | None, server: dict[str, Any], is_known: bool) -> None:
    if is_known:
        hosts.check(asking(host), Server(**server))
        return
    with pytest.raises(Refused) as caught:
        hosts.check(asking(host), Server(**server))
    assert (caught.value.status, caught.value.code) == (421, "unknown_host")
    assert "[server] hosts" in caught.value.message or "no sense" in caught.value.message


def test_a_certificate_tells_by_itself() -> None:
    hosts.check(asking(PUBLIC, scheme="https"), Server())


def test_whoever_may_come_is_not_asked_unless_it_is_a_browser() -> None:
    hosts.check(asking(PUBLIC), Server(**OPEN))
    with pytest.raises(Refused):
        hosts.check(asking(PUBLIC, origin=f"http://{PUBLIC}"), Server(**OPEN))
    hosts.check(asking("llmitm:8811", origin="http://llmitm:8811"), Server(**OPEN))


@pytest.mark.parametrize("name", ["", "https://a.example", "a.example:8811", "a b"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError, match="host name"):
        Server(hosts=(name,))
