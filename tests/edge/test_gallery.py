"""Where mitmweb would show a flow; tests/edge/test_dashboard_replay.py asks a real one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmitm.edge.gallery import MitmwebGallery

LEGS = [
    ("llmitm-1", "client", None),
    ("llmitm-1", "upstream", 1),
    ("llmitm-1", "upstream", 2),
    ("llmitm-2", "client", None),
]


def gallery(host: str, port: int) -> MitmwebGallery:
    flows: dict[str, Any] = {}
    for at, (exchange, leg, number) in enumerate(LEGS):
        told = {"llmitm.exchange": exchange, "llmitm.leg": leg, "llmitm.attempt": number}
        flows[str(at)] = SimpleNamespace(id=f"flow-{at}", metadata=told)
    addons = {"view": SimpleNamespace(_store=flows)}
    return MitmwebGallery(
        SimpleNamespace(addons=addons, options=SimpleNamespace(web_host=host, web_port=port))
    )


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "http://127.0.0.1:8081"),
        ("", "http://127.0.0.1:8081"),
        ("::", "http://127.0.0.1:8081"),
        ("::1", "http://[::1]:8081"),
        ("box.example", "http://box.example:8081"),
    ],
)
def test_each_leg_has_an_address(host: str, origin: str) -> None:
    assert gallery(host, 8081).addresses("llmitm-1") == {
        None: f"{origin}/#/flows/flow-0/request",
        1: f"{origin}/#/flows/flow-1/request",
        2: f"{origin}/#/flows/flow-2/request",
    }


def test_what_is_gone_has_none() -> None:
    assert gallery("127.0.0.1", 8081).addresses("llmitm-3") == {}


def test_a_port_that_mitmweb_chose_itself_is_not_told_as_0() -> None:
    assert gallery("127.0.0.1", 0).addresses("llmitm-1") is None
