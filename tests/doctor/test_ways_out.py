"""What the doctor finds beyond the machine: names, proxies, upstreams, and whether they take our keys."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmitm.cli.certs import make_pair
from llmitm.clock import SystemClock
from llmitm.doctor import credentials, gateways, network
from llmitm.doctor.finding import Finding, Level, Notes
from llmitm.doctor.network import Network
from llmitm.doctor.patient import Patient, aside
from llmitm.doctor.rounds import examine, look_over
from llmitm.errors import Failure, UpstreamFailed
from llmitm.exchange import Attempt, Dialect, UpstreamReply, UpstreamRequest
from llmitm.secret import Redactor
from llmitm.send.alarm import Timeouts
from llmitm.send.upstream import Upstream
from support.patients import Answers, Reply, findings, patient
from support.proxies import TestProxy

KEY = "sk-canary-of-the-doctor"


async def asked(
    folder: Path, text: str, sender: Answers, check: str = "credential", **more: Any
) -> list[Finding]:
    examined = patient(folder, text, sender=sender, **more)
    net = Network(examined, name_s=0.2)
    checks = {
        "credential": credentials.credentials,
        "gateway": gateways.gateways,
        "dns": network.names,
        "reach": network.reach,
        "proxy": network.proxies,
    }
    return await findings(lambda one, notes: checks[check](one, net, notes), examined)


def error(message: str, **fields: str) -> bytes:
    import orjson

    return orjson.dumps({"error": {"message": message, **fields}})


async def test_a_key_that_only_cloudflare_sends_is_not_blamed_on_a_way_that_nobody_takes(
    tmp_path: Path,
) -> None:
    gone = Answers({"HEAD https://api.openai.com:443/": UpstreamFailed(Failure.CONNECT_TIMEOUT)})
    own = f"[providers.openai]\napi_keys = ['{KEY}']\n"
    cloudflare = "[[gateways]]\naccount_id = 'a'\ngateway_id = 'g'\n"
    (direct,) = await asked(tmp_path, own, gone)
    assert direct.fix == "see reach"
    (through,) = await asked(tmp_path, cloudflare + own, gone)
    assert "https://api.openai.com:443" in through.text and "did not accept the connection" in through.text
    assert "through Cloudflare" in (through.fix or "")


MODELS = "GET https://api.openai.com/v1/models"
FREE = "POST https://api.openai.com/v1/chat/completions"


@pytest.mark.parametrize(
    ("answers", "level", "words"),
    [
        ({}, Level.OK, "works"),
        ({MODELS: (401, error("Incorrect API key provided"))}, Level.ERROR, "refuses the key (401)"),
        ({MODELS: (400, error("API key not valid", status="INVALID_ARGUMENT"))}, Level.ERROR, "refuses"),
        ({MODELS: (429, error("slow down", code="insufficient_quota"))}, Level.ERROR, "no money left"),
        ({MODELS: (402, error("pay"))}, Level.ERROR, "no money left"),
        ({MODELS: (429, error("slow down", code="rate_limit_exceeded"))}, Level.WARNING, "over its limit"),
        ({MODELS: (503, b"<html>down</html>")}, Level.WARNING, "in trouble itself"),
        # a key of narrow rights: the list is not for it, answers are
        ({MODELS: (403, error("Missing scopes")), FREE: (400, error("model?"))}, Level.OK, "is taken"),
        ({MODELS: (403, error("no")), FREE: (403, error("no"))}, Level.ERROR, "permits the key nothing"),
        ({MODELS: (404, b""), FREE: (401, error("who?"))}, Level.ERROR, "refuses the key (401)"),
        ({MODELS: (404, b""), FREE: (404, b"")}, Level.WARNING, "could not be proved"),
        ({MODELS: UpstreamFailed(Failure.RESET)}, Level.WARNING, "could not be tried"),
    ],
)
async def test_what_a_provider_says_of_a_key(
    tmp_path: Path, answers: dict[str, Any], level: Level, words: str
) -> None:
    text = f'[providers.openai]\nformat = "openai-chat"\napi_keys = ["{KEY}"]\n'
    (found,) = await asked(tmp_path, text, Answers(answers))
    assert found.level is level and words in found.text, found
    assert level is Level.OK or found.fix
    assert KEY not in found.text and KEY not in (found.fix or "")


async def test_a_key_that_an_error_repeats_is_masked(tmp_path: Path) -> None:
    answers = Answers({MODELS: (401, error(f"Incorrect API key provided: {KEY}."))})
    (found,) = await asked(tmp_path, f'[providers.openai]\napi_keys = ["{KEY}"]\n', answers)
    assert KEY not in found.text and "***" in found.text


async def test_the_fix_names_where_the_key_comes_from(tmp_path: Path) -> None:
    answers = Answers({MODELS: (401, error("no"))})
    text = '[providers.openai]\napi_keys = ["env:OPENAI_API_KEY"]\n'
    (found,) = await asked(tmp_path, text, answers, env={"OPENAI_API_KEY": KEY})
    assert found.fix == "make a new key at openai, and put it into env:OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("provider", "line", "header"),
    [
        ("openai", "GET https://api.openai.com/v1/models", b"authorization"),
        ("anthropic", "GET https://api.anthropic.com/v1/models?limit=1", b"x-api-key"),
        (
            "google",
            "GET https://generativelanguage.googleapis.com/v1beta/models?pageSize=1",
            b"x-goog-api-key",
        ),
        ("openrouter", "GET https://openrouter.ai/api/v1/key", b"authorization"),
        # its list of models is anybody's
        ("nvidia", "POST https://integrate.api.nvidia.com/v1/chat/completions", b"authorization"),
        ("deepseek", "GET https://api.deepseek.com/v1/models", b"authorization"),
    ],
)
async def test_the_cheapest_question_that_only_a_good_key_is_answered(
    tmp_path: Path, provider: str, line: str, header: bytes
) -> None:
    sender = Answers()
    (found,) = await asked(tmp_path, f'[providers.{provider}]\napi_keys = ["{KEY}"]\n', sender)
    assert found.level is Level.OK
    reached, proved = sender.asked
    assert (
        reached[1].method == "HEAD" and not reached[0].credential_headers
    )  # no key before somebody is there
    assert sender.lines[1] == line
    assert [name for name, _ in proved[0].credential_headers] == [header]


async def test_disabled_credentials_and_unknown_addresses_are_not_asked(tmp_path: Path) -> None:
    sender = Answers()
    text = (
        '[providers.mine]\napi_keys = ["key-without-address"]\n'
        f'[providers.openai]\ndisabled = true\napi_keys = ["{KEY}"]\n'
    )
    found = await asked(tmp_path, text, sender)
    assert {one.level for one in found} == {Level.OK, Level.WARNING} and not sender.asked


async def test_offline_asks_this_machine_alone(tmp_path: Path) -> None:
    sender = Answers()
    text = (
        f'[providers.openai]\napi_keys = ["{KEY}"]\n'
        '[providers.ollama]\napi_keys = ["none-needed-1"]\n'
        f'[providers.groq]\nproxy_url = "http://127.0.0.1:3128"\napi_keys = ["{KEY}2"]\n'
    )
    await asked(tmp_path, text, sender, is_offline=True)
    assert sender.lines == ["HEAD http://localhost:11434/", "GET http://localhost:11434/v1/models"]


SECRETS = {
    "server.proxy_url": "canary-of-the-server-proxy",
    "provider": "sk-canary-of-a-provider",
    "header": "canary-of-a-header",
    "proxy": "canary-of-a-proxy",
    "token": "canary-of-a-gateway",
    "client": "sk-proxy-canary-of-a-client",
    "ledger": "canary-of-the-ledger",
    "state": "canary-of-the-state",
    "jwt": "canary-of-the-dashboard-0001",
    "telemetry": "canary-of-the-collector",
}
TELLING = f"""
[server]
port = 0
proxy_url = "http://user:{SECRETS["server.proxy_url"]}@127.0.0.1:1"
[providers.openai]
api_keys = ["{SECRETS["provider"]}"]
headers = {{x-team = "{SECRETS["header"]}"}}
[providers.groq]
api_keys = ["{SECRETS["provider"]}-2"]
proxy_url = "socks5://user:{SECRETS["proxy"]}@127.0.0.1:2"
[[gateways]]
account_id = "0123456789abcdef"
gateway_id = "g"
token = "{SECRETS["token"]}"
[[auth_keys]]
name = "client"
key = "{SECRETS["client"]}"
[ledger]
url = "postgresql://user:{SECRETS["ledger"]}@127.0.0.1:3/x"
[state]
url = "redis://:{SECRETS["state"]}@127.0.0.1:4/0"
[dashboard]
jwt_secret = "{SECRETS["jwt"]}"
[telemetry]
enabled = true
headers = {{authorization = "{SECRETS["telemetry"]}"}}
"""


async def test_no_secret_is_in_any_finding_though_all_who_are_asked_repeat_them(tmp_path: Path) -> None:
    class Gossip(Answers):
        async def send(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamReply:
            if request.method == "HEAD":
                return await super().send(attempt, request)
            return Reply(401, error(f"I heard: {' '.join(SECRETS.values())}"))

    examined = patient(tmp_path, TELLING, sender=Gossip(), clock=SystemClock())
    assert examined.config is not None, examined.problems
    redact = Redactor()
    redact.learn(*examined.config.secrets())
    report = await examine(examined, redact, whole_s=8)
    text = str(report.as_data())
    assert "I heard" in text and [one for one in SECRETS.values() if one in text] == []


UNKNOWN = "Name or service not known"


async def unknown(host: str) -> Sequence[str]:
    raise OSError(-2, UNKNOWN)


async def silent(host: str) -> Sequence[str]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("resolve", "env", "words", "fix"),
    [
        (unknown, {}, "not known here", "provider openai"),
        (silent, {}, "no answer within 0.2 s", "provider openai"),
        (unknown, {"HTTPS_PROXY": "http://proxy:3128"}, "not known here", "proxy_env = true"),
    ],
)
async def test_names_that_have_no_address(
    tmp_path: Path, resolve: Any, env: dict[str, str], words: str, fix: str
) -> None:
    text = f'[providers.openai]\napi_keys = ["{KEY}"]\n[providers.near]\nbase_url = "http://127.0.0.1:1"\n'
    (found,) = await asked(tmp_path, text, Answers(), "dns", resolve=resolve, env=env)
    assert found.subject == "api.openai.com" and words in found.text and fix in (found.fix or "")


async def test_what_a_proxy_looks_up_is_not_looked_up_here(tmp_path: Path) -> None:
    text = f'[server]\nproxy_url = "socks5h://127.0.0.1:1080"\n[providers.openai]\napi_keys = ["{KEY}"]\n'
    assert await asked(tmp_path, text, Answers(), "dns", resolve=unknown) == []


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (400, b'{"success":false,"error":[{"code":2008,"message":"Invalid provider"}]}', Level.OK),
        (401, b'{"success":false,"error":[{"code":2009,"message":"Unauthorized"}]}', Level.ERROR),
        (404, b'{"message":"no such account"}', Level.WARNING),
        (502, b"", Level.WARNING),
    ],
)
async def test_a_gateway_of_cloudflare_takes_its_token(
    tmp_path: Path, status: int, body: bytes, level: Level
) -> None:
    text = '[[gateways]]\naccount_id = "0123456789abcdef"\ngateway_id = "g"\ntoken = "cf-token-canary"\n'
    url = "GET https://gateway.ai.cloudflare.com/v1/0123456789abcdef/g/compat/models"
    sender = Answers({url: (status, body)})
    (found,) = await asked(tmp_path, text, sender, "gateway")
    assert found.level is level, found
    assert sender.asked[1][0].credential_headers[0][1].reveal() == "Bearer cf-token-canary"


# -- over real sockets

QUICK = Timeouts(connect_s=0.3, first_byte_s=0.3, idle_s=0.3, exchange_s=0.5)


async def over_sockets(folder: Path, text: str) -> dict[str, list[Finding]]:
    sender = Upstream(QUICK, SystemClock())
    try:
        examined = patient(folder, text, sender=sender, clock=SystemClock())
        net = Network(examined, name_s=1.0)
        return {
            "proxy": await findings(lambda one, notes: network.proxies(one, net, notes), examined),
            "reach": await findings(lambda one, notes: network.reach(one, net, notes), examined),
        }
    finally:
        await sender.close()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what comes, and never answers."""
    while await reader.read(65_536):
        pass
    writer.close()


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not (await reader.read(65_536)).endswith(b"\r\n\r\n"):
        return writer.close()  # no HTTP
    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


def config(port: int, proxy: str) -> str:
    return f'[endpoints.one]\ntarget_base = "http://127.0.0.1:{port}"\nproxy_url = "{proxy}"\n'


async def test_a_proxy_that_lets_us_through_refuses_us_is_silent_or_gone(tmp_path: Path) -> None:
    levels = {}
    async with TestProxy("http", user="user", password="right-password") as proxy:
        upstream = await asyncio.start_server(answering, "127.0.0.1", 0)
        mute = await asyncio.start_server(nothing, "127.0.0.1", 0)
        port = upstream.sockets[0].getsockname()[1]
        for name, url in {
            "fine": f"http://user:right-password@127.0.0.1:{proxy.port}",
            "refused": f"http://user:wrong-password@127.0.0.1:{proxy.port}",
            "silent": f"http://127.0.0.1:{mute.sockets[0].getsockname()[1]}",
            "gone": "http://127.0.0.1:1",
        }.items():
            folder = tmp_path / name
            folder.mkdir()
            found = await over_sockets(folder, config(port, url))
            levels[name] = [found[check][0].level for check in ("proxy", "reach")]
            assert "password" not in "".join(one.text for one in found["proxy"] + found["reach"])
        upstream.close()
        mute.close()
    ok, warning, broken = Level.OK, Level.WARNING, Level.ERROR
    assert levels == {
        "fine": [ok, ok],
        "refused": [broken, broken],
        "silent": [warning, broken],
        "gone": [broken, broken],
    }


async def test_why_the_tls_of_an_upstream_is_not_trusted_is_told(tmp_path: Path) -> None:
    cert, key = make_pair(("127.0.0.1",), 9, datetime.now(UTC))
    (tmp_path / "cert.pem").write_bytes(cert)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    secured = await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context)
    plain = await asyncio.start_server(answering, "127.0.0.1", 0)
    told = {}
    for name, server in (("secured", secured), ("plain", plain)):
        port = server.sockets[0].getsockname()[1]
        text = f'[endpoints.one]\ntarget_base = "https://127.0.0.1:{port}"\n'
        (found,) = (await over_sockets(tmp_path, text))["reach"]
        assert found.level is Level.ERROR and found.fix
        told[name] = found.text
        server.close()
    assert "self-signed certificate" in told["secured"]
    assert "TLS handshake" in told["plain"]


async def test_nothing_that_hangs_keeps_the_examination_from_its_end(tmp_path: Path) -> None:
    """Neither a resolver that does not answer, nor a server, nor a proxy, nor databases."""
    mute = await asyncio.start_server(nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    text = (
        f'[providers.openai]\napi_keys = ["{KEY}"]\n'
        f'[providers.near]\nbase_url = "http://127.0.0.1:{port}/v1"\napi_keys = ["{KEY}2"]\n'
        f'[providers.far]\nbase_url = "https://far.example"\nproxy_url = "http://127.0.0.1:{port}"\n'
        f'[ledger]\nurl = "postgresql://user:secret-word@127.0.0.1:{port}/x"\n'
        f'[state]\nurl = "redis://127.0.0.1:{port}/0"\n[server]\nport = 0\n'
    )
    sender = Upstream(Timeouts(connect_s=60, first_byte_s=60, idle_s=60, exchange_s=60), SystemClock())
    examined = patient(tmp_path, text, sender=sender, clock=SystemClock(), resolve=silent)
    began_s = time.monotonic()
    report = await examine(examined, Redactor(), whole_s=1.5)
    assert time.monotonic() - began_s < 5
    mute.close()
    await sender.close()
    late = {one.check for one in report.findings if "was not done within 1.5 s" in one.text}
    assert {"dns", "reach", "credential", "ledger", "redis"} <= late
    assert {"config", "ports", "disk", "limits", "versions", "clock"} <= {
        one.check for one in report.findings if one.level is Level.OK
    }


async def test_what_hangs_in_a_thread_is_left_behind() -> None:
    import threading

    release = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await aside(release.wait)
    release.set()


async def test_a_check_that_fails_hides_no_other(tmp_path: Path) -> None:
    async def broken(host: str) -> Sequence[str]:
        raise ValueError("a fault of ours")

    text = f'[providers.openai]\napi_keys = ["{KEY}"]\n[server]\nport = 0\n'
    examined: Patient = patient(tmp_path, text, resolve=broken, clock=SystemClock())
    report = await examine(examined, Redactor(), whole_s=5)
    (failed,) = [one for one in report.findings if one.check == "dns"]
    assert failed.level is Level.WARNING and "a fault of ours" in failed.text
    assert any(one.check == "versions" for one in report.findings)


async def test_the_file_of_a_running_gateway_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[server]\nprot = 1\n")
    (tmp_path / "other").mkdir()
    in_force = patient(tmp_path / "other").config
    report = await look_over(path, {}, SystemClock(), is_offline=True, in_force=in_force)
    assert any("did you mean port" in one.text for one in report.findings)
    assert any(one.check == "ports" for one in report.findings)


def test_dialects_that_are_asked_in_have_a_list_of_models() -> None:
    bases = {
        (Dialect.GEMINI, "https://g.example/v1beta"): "https://g.example/v1beta/models?pageSize=1",
        (Dialect.GEMINI, "https://g.example"): "https://g.example/v1beta/models?pageSize=1",
        (Dialect.ANTHROPIC_MESSAGES, "https://a.example/v1"): "https://a.example/v1/models?limit=1",
        (Dialect.OPENAI_CHAT, "https://o.example"): "https://o.example/v1/models",
        (Dialect.OPENAI_RESPONSES, "https://o.example/api/v4"): "https://o.example/api/v4/models",
    }
    for (dialect, base), url in bases.items():
        assert credentials.models_url(dialect, base, None) == url
    azure = credentials.models_url(Dialect.OPENAI_CHAT, "https://z.example/openai", "2024-10-21")
    assert azure == "https://z.example/openai/models?api-version=2024-10-21"


def test_notes_are_one_line_each() -> None:
    notes = Notes("check", redact=Redactor())
    notes.error("one\ntwo", "three\r\n four")
    assert (notes.found[0].text, notes.found[0].fix) == ("one two", "three four")
