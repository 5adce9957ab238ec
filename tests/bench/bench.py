"""`just bench`: the gateway beside stock mitmdump with a two-line rewriting script, in one run, as ratios.

Measures requests per second and added latency at 1 and 32 connections, CPU per relayed chunk of a stream,
and memory; then the CPU time of translation, for each pair of dialects. The forward endpoint is measured in
both hosts; the full path (a client's key, limits, routing by model over four credentials, the loop) in
`llmitm serve`, for a client of the provider's dialect and for one of another. Everything runs on loopback
for a bounded time. Machines are noisy: rounds are interleaved and the medians compared, so read the ratios,
not the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import translating

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
BODY = b'{"model":"gpt-demo","messages":[{"role":"user","content":"' + b"word " * 100 + b'"}]}'
ANSWER = (
    b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"' + b"word " * 100 + b'"}}]}'
)
CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a few words "}}]}\n\n'
END = b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
FULL = """
[server]
port = {port}
[log]
level = "error"
[endpoints.full]
kind = "gateway"
[providers.up]
base_url = "http://127.0.0.1:{upstream}/v1"
api_keys = ["k1", "k2", "k3", "k4"]
models = ["gpt-*"]
[rate_limit]
rpm = 10000000
tpm = 1000000000
concurrency = 1000
per_key_rpm = 10000000
[[auth_keys]]
name = "bench"
key = "sk-bench-key-1234"
"""
STOCK = (
    "def request(flow):\n    flow.request.path = flow.request.path.removeprefix('/bench')\n"
    "def responseheaders(flow):\n    flow.response.stream = True\n"
)


class Asked(NamedTuple):
    """What a client sends to one of those that are measured: a whole answer, and a stream."""

    path: str
    body: bytes
    stream_path: str
    stream_body: bytes


def of_model(path: str) -> Asked:
    streaming = BODY.replace(b'"model"', b'"stream":true,"max_tokens":99,"model"')
    return Asked(path, BODY.replace(b'"model"', b'"max_tokens":99,"model"'), path, streaming)


FORWARDED = Asked("/bench/x", BODY, "/bench/stream", BODY)
ASKED = {
    "direct": Asked("/x", BODY, "/stream", BODY),
    "stock": FORWARDED,
    "mitmdump": FORWARDED,
    "serve": FORWARDED,
    "full": of_model("/full/v1/chat/completions"),
    "translated": of_model("/full/v1/messages"),
}
CHUNKS = 500


async def upstream(port: int) -> None:
    """Answers everything at once; a path or a body that asks for a stream with chunks that are 1 ms apart."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line[15:])
                body = await reader.readexactly(length)
                path = head.split(b" ", 2)[1]
                if path.startswith(b"/stream") or b'"stream":true' in body:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                        b"transfer-encoding: chunked\r\n\r\n"
                    )
                    for _ in range(CHUNKS):
                        writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
                        await writer.drain()
                        await asyncio.sleep(0.001)
                    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(END), END))
                else:
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                        % (len(ANSWER), ANSWER)
                    )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: bench\r\nauthorization: Bearer sk-bench-key-1234\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    if b"chunked" in head:
        while (size := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))


async def load(port: int, asked: Asked, connections: int, duration_s: float) -> list[float]:
    """Latencies in seconds of what was done in that time."""
    latencies: list[float] = []
    end_s = time.perf_counter() + duration_s

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started_s := time.perf_counter()) < end_s:
            await one(reader, writer, asked.path, asked.body)
            latencies.append(time.perf_counter() - started_s)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return latencies


def cpu_s(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def until_open(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.05)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def bench(rounds: int, duration_s: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="llmitm-bench-"))
    ports = {name: free_port() for name in ("upstream", "stock", "mitmdump", "serve", "full")}
    (folder / "stock.py").write_text(STOCK)
    for name in ("mitmdump", "serve"):
        (folder / f"{name}.toml").write_text(
            f'[server]\nport = {ports[name]}\n[log]\nlevel = "error"\n'
            f'[endpoints.bench]\ntarget_base = "http://127.0.0.1:{ports["upstream"]}"\n'
        )
    (folder / "full.toml").write_text(FULL.format(port=ports["full"], upstream=ports["upstream"]))
    environment = {**os.environ, "CONFIG_PATH": str(folder / "mitmdump.toml")}
    mitmdump = [str(BIN / "mitmdump"), "-q", "--set", f"confdir={folder}"]
    commands = {
        "upstream": [sys.executable, __file__, "--upstream", str(ports["upstream"])],
        "stock": [
            *(*mitmdump, "-s", str(folder / "stock.py"), "--mode"),
            f"reverse:http://127.0.0.1:{ports['upstream']}@127.0.0.1:{ports['stock']}",
        ],
        "mitmdump": [*mitmdump, "-s", str(ROOT / "addons" / "gateway.py")],
        "serve": [str(BIN / "llmitm"), "serve", "--config", str(folder / "serve.toml")],
        "full": [str(BIN / "llmitm"), "serve", "--config", str(folder / "full.toml")],
    }
    processes = {
        name: subprocess.Popen(line, env=environment)  # noqa: ASYNC220
        for name, line in commands.items()
    }
    try:
        for port in ports.values():
            await until_open(port)
        hosts = ("stock", "mitmdump", "serve", "full", "translated")
        pids = {name: processes["full" if name == "translated" else name].pid for name in hosts}
        idle = {name: rss_mb(pids[name]) for name in hosts}
        at = {"direct": ports["upstream"], "translated": ports["full"], **ports}
        rates: dict[tuple[str, int], list[float]] = {}
        delays: dict[tuple[str, int], list[float]] = {}
        chunk_us: dict[str, list[float]] = {name: [] for name in hosts}
        for name in hosts:
            await load(at[name], ASKED[name], 8, 0.5)
        for _ in range(rounds):
            for connections in (1, 32):
                for name in ("direct", *hosts):
                    done = await load(at[name], ASKED[name], connections, duration_s)
                    rates.setdefault((name, connections), []).append(len(done) / duration_s)
                    delays.setdefault((name, connections), []).extend(done)
            for name in hosts:
                before = cpu_s(pids[name])
                await asyncio.gather(*(_stream(at[name], ASKED[name]) for _ in range(8)))
                chunk_us[name].append((cpu_s(pids[name]) - before) / (8 * CHUNKS) * 1e6)
        show(hosts, rates, delays, chunk_us, idle, {name: rss_mb(pids[name]) for name in hosts})
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(10)


async def _stream(port: int, asked: Asked) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await one(reader, writer, asked.stream_path, asked.stream_body)
    writer.close()


def show(
    hosts: tuple[str, ...],
    rates: dict[tuple[str, int], list[float]],
    delays: dict[tuple[str, int], list[float]],
    chunk_us: dict[str, list[float]],
    idle: dict[str, float],
    after: dict[str, float],
) -> None:
    names = {
        "stock": "stock mitmdump -q",
        "mitmdump": "llmitm, mitmdump -q",
        "serve": "llmitm serve",
        "full": "  its full path",
        "translated": "  the same, translated",
    }
    print(
        f"{'':24}{'req/s':>8}{'x stock':>9}{'added p50':>12}{'p99 (1)':>10}{'p50 (32)':>11}{'p99 (32)':>11}"
        f"{'us/chunk':>10}{'x stock':>9}{'idle MB':>9}{'after':>7}"
    )
    base_rate = statistics.median(rates["stock", 32])
    base_chunk = statistics.median(chunk_us["stock"])
    for name in hosts:
        rate = statistics.median(rates[name, 32])
        added = [
            (percentile(delays[name, count], share) - percentile(delays["direct", count], share)) * 1000
            for count in (1, 32)
            for share in (0.5, 0.99)
        ]
        per_chunk = statistics.median(chunk_us[name])
        print(
            f"{names[name]:24}{rate:8.0f}{rate / base_rate:9.2f}"
            f"{added[0]:9.2f} ms{added[1]:7.2f} ms{added[2]:8.2f} ms{added[3]:8.2f} ms"
            f"{per_chunk:10.0f}{per_chunk / base_chunk:9.2f}{idle[name]:9.0f}{after[name]:7.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=int, help="be the upstream, on this port")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for each figure of a round")
    parser.add_argument("--translation", action="store_true", help="measure translation alone")
    parser.add_argument("--peers", action="store_true", help="other gateways; --peers --help tells of them")
    if sys.argv[1:2] == ["--peers"]:
        import peers

        peers.main(sys.argv[2:])
        return
    options = parser.parse_args()
    if options.translation:
        translating.main()
    elif options.upstream:
        try:
            asyncio.run(upstream(options.upstream))
        except KeyboardInterrupt:
            pass
    else:
        asyncio.run(bench(options.rounds, options.seconds))
        translating.main()


if __name__ == "__main__":
    main()
