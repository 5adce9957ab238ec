"""What of mitmproxy is relied on although it is private, and that the shortcuts change nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import mitmproxy.version
import pytest
from mitmproxy import flow, http, options
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons import clientplayback, proxyserver
from mitmproxy.proxy import context, layer, mode_servers, server
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers import websocket
from mitmproxy.proxy.layers.http import _http1, _http2, _http_h2

import llmitm
from llmitm.edge.fast import LeanContext
from support.backstage import Backstage
from support.gateway import Gateway, times_over


def test_the_version_is_one_that_was_tried() -> None:
    assert mitmproxy.version.VERSION.startswith("12.2.")


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (layer.Layer, ("handle_event", "_handle_event")),
        (layers.HttpLayer, ("get_connection", "make_stream", "event_to_child", "_handle_event")),
        (
            layers.HttpStream,
            ("state_wait_for_request_headers", "check_body_size", "state_errored", "check_killed"),
        ),
        (layers.HttpStream, ("flow_done", "passthrough")),
        (websocket.WebsocketLayer, ("relay_messages", "start", "done")),
        (_http1.Http1Server, ("read_headers", "read_body", "wait", "send", "mark_done", "done")),
        (_http2.Http2Server, ("_handle_event", "handle_h2_event", "is_open_for_us", "is_closed")),
        (_http_h2.BufferedH2Connection, ("initiate_connection", "send_data", "receive_data")),
        (server.ConnectionHandler, ("server_event", "hook_task", "close_connection", "drain_writers")),
        (mode_servers.ServerInstance, ("listen_addrs", "is_running")),
        (proxyserver.Servers, ("update",)),
        (clientplayback, ("ReplayHandler", "MockServer")),
        (AddonManager, ("trigger_event", "handle_lifecycle", "register", "remove", "clear")),
        (flow.Flow, ("kill", "wait_for_resume", "intercept", "resume")),
        (http.MessageData, ("__post_init__",)),
    ],
)
def test_private_parts_are_where_they_were(owner: object, names: tuple[str, ...]) -> None:
    for name in names:
        assert hasattr(owner, name), f"{owner} has no {name} any more"


def test_the_relay_of_websockets_has_the_parts_that_are_used() -> None:
    """Its two sides are replaced once it has begun, and nothing is kept of them elsewhere."""
    begins = inspect.getsource(websocket.WebsocketLayer.start)
    assert begins.count("self.client_ws = ") == begins.count("self.server_ws = ") == 1
    assert "frame_buf[-1] += " in inspect.getsource(websocket.WebsocketLayer.relay_messages)
    assert "websocket.WebsocketLayer(" in inspect.getsource(layers.HttpStream.flow_done)
    assert "_paused" in vars(layer.Layer)["__annotations__"]


def test_the_connection_handler_has_the_parts_that_are_used() -> None:
    source = inspect.getsource(server.ConnectionHandler)
    for name in ("transports", "timeout_watchdog", "_server_event_lock", "asyncio.wait("):
        assert name in source
    assert [field for field in server.ConnectionIO.__dataclass_fields__] == ["handler", "reader", "writer"]


def test_a_lean_context_has_all_that_a_context_has() -> None:
    from mitmproxy.connection import Client

    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    stock = context.Context(client, options.Options())
    lean = LeanContext.of(stock, stock.options).fork()
    assert vars(lean).keys() == vars(stock).keys()
    assert lean.layers == stock.layers and lean.layers is not stock.layers
    assert lean.server is stock.server


def test_the_dispatch_knows_every_command_of_the_proxy_core() -> None:
    """A command that stock `server_event` handles and ours does not would end in an error."""
    source = inspect.getsource(server.ConnectionHandler.server_event)
    known = {
        "OpenConnection",  # never yielded: our layer opens none
        "RequestWakeup",  # only by HTTP/2 pings towards upstreams
        "ConnectionCommand",
        "SendData",
        "CloseTcpConnection",
        "CloseConnection",
        "StartHook",
        "Log",
    }
    import re

    assert set(re.findall(r"commands\.(\w+)\)", source)) - {"Command"} <= known


def test_the_gateway_is_the_same_without_the_shortcuts(provider: Backstage, tmp_path: Path) -> None:
    config = f'[server]\nport = 0\n[endpoints.dev]\ntarget_base = "{provider.url}"\n'
    answers = []
    for value in ("0", "1"):
        with (
            Gateway(config, tmp_path, env={"LLMITM_FAST": value}) as running,
            httpx.Client(base_url=running.url) as client,
        ):
            body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
            told = client.post("/dev/v1/chat/completions", json=body)
            answers.append((told.status_code, told.content, client.get("/nope").status_code))
            running.wait_for(times_over("/v1/chat/completions", 3))
    assert answers[0] == answers[1]


RAISING = """
import asyncio
ERRORS = {"RuntimeError": RuntimeError, "KeyError": KeyError, "CancelledError": asyncio.CancelledError}
def raising(hook):
    def raise_it(flow):
        if flow.request.headers.get("x-raise", "").startswith(f"{hook} "):
            raise ERRORS[flow.request.headers["x-raise"].split()[1]]("planted")
    return raise_it
for hook in ("requestheaders", "request", "responseheaders", "response"):
    globals()[hook] = raising(hook)
"""
"""An addon of the user's beside ours, whose hooks raise what a request names."""


@pytest.fixture(scope="module")
def raising(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("raising")
    addon = folder / "raising.py"
    addon.write_text(RAISING)
    config = (
        '[server]\nport = 0\n[[auth_keys]]\nname = "a"\nkey = "the-right-key"\n'
        f'[endpoints.dev]\ntarget_base = "{provider.url}"\n'
    )
    with Gateway(config, folder, options=("-s", str(addon))) as running:
        yield running


@pytest.mark.parametrize("hook", ["requestheaders", "request", "responseheaders", "response"])
@pytest.mark.parametrize("error", ["RuntimeError", "KeyError", "CancelledError"])
def test_a_raising_hook_of_anybody_breaks_no_rule(
    raising: Gateway, provider: Backstage, hook: str, error: str
) -> None:
    """Whatever an addon beside ours raises: unknown keys are refused, clients answered or cut."""
    provider.forget()
    asked = {"base_url": raising.url, "headers": {"x-raise": f"{hook} {error}"}, "timeout": 3}
    path, seen = "/dev/v1/chat/completions", raising.output().count("planted")
    with httpx.Client(**asked) as client:  # type: ignore[arg-type]
        try:
            refused = client.post(path, json={}, headers={"x-llmitm-key": "wrong"})
            assert refused.status_code == 401
        except httpx.HTTPError:
            pass
        assert provider.new == 0
        try:
            body = {"model": "m", "messages": []}
            client.post(path, json=body, headers={"x-llmitm-key": "the-right-key"})
        except httpx.RemoteProtocolError:
            pass
    with httpx.Client(**asked) as client:  # type: ignore[arg-type]
        assert client.get("/dev/v1/models", headers={"x-llmitm-key": "wrong"}).status_code != 200
    if error != "CancelledError":
        assert raising.output().count("planted") > seen


def test_a_gateway_alone_loads_none_of_the_stock_addons_that_it_does_not_use() -> None:
    """And those that it does are whole: what they are made of is found under their usual names."""
    code = (
        "import sys, llmitm.edge.serve\n"
        "from mitmproxy.addons import proxyserver\n"
        "assert proxyserver.__name__ == 'mitmproxy.addons.proxyserver'\n"
        "print(*sorted(name for name in sys.modules if name.startswith('mitmproxy.addons.')))\n"
        "print(*({'flask', 'ldap3'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(llmitm.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    loaded, heavy = done.stdout.split("\n")[:2]
    assert "mitmproxy.addons.proxyserver" in loaded.split() and len(loaded.split()) < 10
    assert heavy == ""
