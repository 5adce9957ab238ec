"""Starting, TLS, HTTP/2, stopping: real mitmdump and `llmitm serve`."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from llmitm.cli.certs import make_pair, write_pair
from support import forked
from support.backstage import Backstage
from support.gateway import BIN, SCRIPT, Gateway

HOSTS = ("mitmdump", "serve")
FORWARD = '[server]\nport = 0\n{more}\n[endpoints.dev]\ntarget_base = "{url}"\n'
CHAT = {"model": "gpt-demo", "messages": [{"role": "user", "content": "hello"}]}


def run(
    folder: Path, config: str | None, host: str, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a host that is expected to end by itself."""
    path = folder / "config.toml"
    if config is not None:
        path.write_text(config)
    script = ["-s", str(SCRIPT), "--set", f"confdir={folder}", *options]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CONFIG_PATH": str(path)}
    match host:
        case "installed":  # as people start it, reading all modules itself
            command = [str(BIN / "mitmdump"), *script]
            return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=30)
        case "mitmdump" | "mitmweb":
            return forked.run(script, cwd=folder, env=env, timeout_s=30, program=host)
        case "check":
            return forked.run(["config", "check"], cwd=folder, env=env, timeout_s=30)
        case _:
            return forked.run([host], cwd=folder, env=env, timeout_s=30)


@pytest.mark.parametrize("host", ["installed", "mitmdump", "mitmweb", "serve", "check"])
def test_a_broken_config_ends_with_status_2_and_every_problem(tmp_path: Path, host: str) -> None:
    ran = run(tmp_path, '[server]\nprot = 1\n[endpoints.v1]\ntarget_base = "x"\n', host)
    assert ran.returncode == 2
    said = ran.stdout + ran.stderr
    assert "server.prot: unknown key; did you mean port?" in said
    assert "endpoints" in said and "v1" in said
    assert "Traceback" not in said


def test_a_missing_config_says_how_to_make_one(tmp_path: Path) -> None:
    ran = run(tmp_path, None, "serve")
    assert ran.returncode == 2
    assert "config.toml.example" in ran.stderr


def test_an_ipv6_address_is_listened_on(provider: Backstage, tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    config = FORWARD.format(more='host = "::1"', url=provider.url)
    with Gateway(config, tmp_path, host="serve") as running:
        url = running.wait_for(r"listening on (http://\[::1\]:\d+)")[1]
        answer = httpx.get(f"{url}/health")
        assert answer.status_code == 200


def test_a_missing_certificate_says_so(tmp_path: Path) -> None:
    config = '[server]\ntls_cert = "nope.pem"\ntls_key = "nope.key"\n'
    ran = run(tmp_path, config, "serve")
    assert ran.returncode == 2
    assert "server.tls_cert" in ran.stderr and "certs new" in ran.stderr


@pytest.mark.parametrize("host", HOSTS)
def test_a_port_in_use_ends_with_a_clear_word(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        ran = run(tmp_path, f"[server]\nport = {port}\n", host)
    assert ran.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: the port is in use" in ran.stdout + ran.stderr
    assert "Task was destroyed" not in ran.stderr


@pytest.mark.parametrize("option", ["stream_large_bodies=1k", "validate_inbound_headers=false"])
def test_options_that_would_break_a_rule_are_refused(tmp_path: Path, option: str) -> None:
    ran = run(tmp_path, "[server]\nport = 0\n", "mitmdump", ["--set", option])
    assert ran.returncode == 1
    assert option.partition("=")[0] in ran.stderr


def test_mitmproxys_own_port_is_never_open(provider: Backstage, tmp_path: Path) -> None:
    with Gateway(FORWARD.format(url=provider.url, more=""), tmp_path) as running:
        listening = Path(f"/proc/{running.process.pid}/net/tcp").read_text()
        inodes = {
            os.readlink(link)[8:-1]
            for link in Path(f"/proc/{running.process.pid}/fd").iterdir()
            if os.path.islink(link) and os.readlink(link).startswith("socket:")
        }
        ports = {
            int(line.split()[1].split(":")[1], 16)
            for line in listening.splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[9] in inodes
        }
        assert ports == {running.port}
        assert "8080" not in running.output()


def test_a_script_that_is_removed_leaks_nothing(provider: Backstage, tmp_path: Path) -> None:
    """mitmproxy unloads a script whose file is gone and serves on: nothing may go upstream then."""
    addons = tmp_path / "addons"
    addons.mkdir()
    shutil.copy(SCRIPT, addons / "gateway.py")
    config = FORWARD.format(url=provider.url, more="")
    import support.gateway as place

    script = place.SCRIPT
    place.SCRIPT = addons / "gateway.py"
    try:
        running = Gateway(config, tmp_path).start()
    finally:
        place.SCRIPT = script
    try:
        assert httpx.get(f"{running.url}/health").status_code == 200
        provider.forget()
        (addons / "gateway.py").unlink()
        running.wait_for("Removing script")
        try:
            answer = httpx.post(f"{running.url}/dev/v1/messages", json=CHAT, timeout=3)
            assert answer.status_code >= 400
        except httpx.HTTPError:
            pass
        assert provider.new == 0
    finally:
        running.stop()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_stream_finish_and_refuses_new_connections(
    provider: Backstage, tmp_path: Path, host: str, number: signal.Signals
) -> None:
    config = FORWARD.format(url=provider.url, more="shutdown_timeout_s = 10")
    with Gateway(config, tmp_path, host=host) as running:
        with httpx.stream("GET", f"{running.url}/dev/sse?n=30&interval_ms=30", timeout=10) as answer:
            pieces = answer.iter_raw()
            first = next(pieces)
            running.process.send_signal(number)
            running.wait_for("stopping")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{running.url}/health")
            body = first + b"".join(pieces)
        assert body.count(b"\n\n") >= 30
        assert running.process.wait(5) == 0


def test_a_drain_ends_at_its_deadline(provider: Backstage, tmp_path: Path) -> None:
    config = FORWARD.format(url=provider.url, more="shutdown_timeout_s = 0.5")
    with Gateway(config, tmp_path, host="serve") as running:
        with httpx.stream("GET", f"{running.url}/dev/sse?n=1000&interval_ms=50", timeout=10) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            started_s = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.HTTPError):
                for _ in pieces:
                    pass
        assert running.process.wait(5) == 0
        assert time.monotonic() - started_s < 3


@pytest.fixture(scope="module")
def tls(provider: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    folder = tmp_path_factory.mktemp("tls")
    write_pair(folder, ("localhost", "127.0.0.1"), 5, force=False)
    more = 'tls_cert = "cert.pem"\ntls_key = "key.pem"\nhttp2 = true'
    running = Gateway(FORWARD.format(url=provider.url, more=more), folder).start()
    yield running  # type: ignore[misc]
    running.stop()


def test_tls_shows_the_operators_certificate(tls: Gateway) -> None:
    context = ssl.create_default_context(cafile=str(tls.folder / "cert.pem"))
    answer = httpx.get(f"{tls.url}/health", verify=context)
    assert answer.status_code == 200
    mine = ssl.PEM_cert_to_DER_cert((tls.folder / "cert.pem").read_text())
    for name, alpn in (("localhost", None), ("other.example", ["http/1.1"]), (None, ["spdy/9"])):
        loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
        if alpn:
            loose.set_alpn_protocols(alpn)
        with (
            socket.create_connection(("127.0.0.1", tls.port)) as plain,
            loose.wrap_socket(plain, server_hostname=name) as shown,
        ):
            assert shown.getpeercert(True) == mine


def test_a_plain_client_on_the_tls_port_gets_nothing(tls: Gateway, provider: Backstage) -> None:
    provider.forget()
    with pytest.raises((OSError, http.client.HTTPException)):
        connection = http.client.HTTPConnection("127.0.0.1", tls.port, timeout=3)
        connection.request("GET", "/dev/v1/models")
        connection.getresponse()
    assert provider.new == 0


def test_a_certificate_is_renewed_without_a_restart(provider: Backstage, tmp_path: Path) -> None:
    write_pair(tmp_path, ("localhost", "127.0.0.1"), 5, force=False)
    more = 'tls_cert = "cert.pem"\ntls_key = "key.pem"'
    with Gateway(FORWARD.format(url=provider.url, more=more), tmp_path, host="serve") as running:
        old = ssl.get_server_certificate(("127.0.0.1", running.port))
        (tmp_path / "key.pem").write_text("garbage")
        running.wait_for("cannot be used, the old one stays")
        assert ssl.get_server_certificate(("127.0.0.1", running.port)) == old
        cert, key = make_pair(("localhost", "127.0.0.1"), 9, datetime.now(UTC))
        (tmp_path / "cert.pem").write_bytes(cert)
        (tmp_path / "key.pem").write_bytes(key)
        running.wait_for("certificate renewed")
        assert ssl.get_server_certificate(("127.0.0.1", running.port)).encode().strip() == cert.strip()


class H2:
    """A bare HTTP/2 client, so that frames and windows can be driven by hand."""

    def __init__(self, gateway: Gateway) -> None:
        context = ssl.create_default_context(cafile=str(gateway.folder / "cert.pem"))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.send()

    def send(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def get(self, path: str, method: str = "GET", end: bool = True) -> int:
        stream_id = self.connection.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost")]
        self.connection.send_headers(stream_id, head, end_stream=end)
        self.send()
        return stream_id

    def events(self) -> list[h2.events.Event]:
        data = self.socket.recv(65_536)
        assert data, "the connection was closed"
        found = self.connection.receive_data(data)
        self.send()
        return found

    def close(self) -> None:
        self.socket.close()


def test_http2_streams_run_side_by_side(tls: Gateway) -> None:
    client = H2(tls)
    wanted = {client.get("/dev/sse?n=10&interval_ms=30") for _ in range(20)}
    bodies = dict.fromkeys(wanted, b"")
    ended: set[int] = set()
    started_s = time.monotonic()
    while ended != wanted:
        for event in client.events():
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] += event.data
                client.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                ended.add(event.stream_id)
        client.send()
    client.close()
    assert time.monotonic() - started_s < 3
    assert len(set(bodies.values())) == 1
    assert next(iter(bodies.values())).count(b"\n\n") >= 10


def test_an_http2_client_that_leaves_cancels_the_upstream_call(tls: Gateway, provider: Backstage) -> None:
    provider.forget()
    client = H2(tls)
    stream_id = client.get("/dev/sse?n=1000&interval_ms=20")
    while not any(isinstance(event, h2.events.DataReceived) for event in client.events()):
        pass
    got = provider.received()
    client.connection.reset_stream(stream_id, 8)
    client.send()
    assert provider.wait_gone(got) < 1.0
    client.close()


def test_an_http2_client_that_reads_nothing_costs_no_memory(tls: Gateway) -> None:
    before = tls.rss_bytes()
    client = H2(tls)
    client.get("/dev/bytes?n=100000000&chunk=65536")
    got = 0
    while got < 60_000:
        got += sum(len(e.data) for e in client.events() if isinstance(e, h2.events.DataReceived))
    peak = tls.rss_bytes()
    answer = httpx.get(
        f"{tls.url}/health",
        verify=ssl.create_default_context(cafile=str(tls.folder / "cert.pem")),
    )
    assert answer.status_code == 200
    peak = max(peak, tls.rss_bytes())
    client.close()
    assert peak - before < 32_000_000


def test_an_http2_upload_is_streamed_with_flow_control(tls: Gateway, provider: Backstage) -> None:
    client = H2(tls)
    before = tls.rss_bytes()
    stream_id = client.get("/dev/echo/up", "POST", end=False)
    left = 50_000_000
    piece = b"z" * 16_384
    peak = 0
    while left:
        window = min(
            client.connection.local_flow_control_window(stream_id),
            client.connection.max_outbound_frame_size,
            len(piece),
            left,
        )
        if window == 0:
            client.events()
            continue
        client.connection.send_data(stream_id, piece[:window])
        left -= window
        client.send()
        peak = max(peak, tls.rss_bytes()) if left % 64 == 0 else peak
    client.connection.end_stream(stream_id)
    client.send()
    body = b""
    ended = False
    while not ended:
        for event in client.events():
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            ended = ended or isinstance(event, h2.events.StreamEnded)
    client.close()
    assert b"50000000" in body
    assert peak - before < 32_000_000


def test_http2_is_off_unless_asked_for(provider: Backstage, tmp_path: Path) -> None:
    write_pair(tmp_path, ("localhost",), 5, force=False)
    more = 'tls_cert = "cert.pem"\ntls_key = "key.pem"'
    with Gateway(FORWARD.format(url=provider.url, more=more), tmp_path, host="serve") as running:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", running.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as shown,
        ):
            assert shown.selected_alpn_protocol() == "http/1.1"


def test_an_http2_error_is_json(tls: Gateway) -> None:
    client = H2(tls)
    client.get("/nope/v1/messages")
    body = b""
    ended = False
    while not ended:
        for event in client.events():
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            ended = ended or isinstance(event, h2.events.StreamEnded)
    client.close()
    assert b'"type":"error"' in body
