"""A collector of OpenTelemetry's in a thread of its own: takes what is posted, and reads it."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

KINDS = {2: "server", 3: "client"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as the collector reads it."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    is_error: bool
    duration_s: float
    state: str

    def __getitem__(self, name: str) -> Any:
        return self.attributes.get(name)


class Collected:
    """A running collector. `statuses` are answered in turn, then 200."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self._changed = threading.Condition()
        collected = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = collected._take(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._changed:
            status = self.statuses.pop(0) if self.statuses else 200
            if status == 200:
                self.posts.append((path, {name.lower(): value for name, value in headers.items()}, body))
            self._changed.notify_all()
            return status

    def spans(self) -> list[Seen]:
        return [one for path, _, body in self.posts if path.endswith("/v1/traces") for one in spans_in(body)]

    def trace(self, trace_id: str, count: int, timeout_s: float = 10.0) -> list[Seen]:
        """The spans of a trace once there are so many: that of the exchange, then those of its attempts."""

        def found() -> list[Seen]:
            return [one for one in self.spans() if one.trace_id == trace_id]

        self.wait(lambda: len(found()) >= count, timeout_s)
        return found()

    def wait(self, there: Callable[[], Any], timeout_s: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(there, timeout_s), [one.name for one in self.spans()]

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """By name, the points of the last post."""
        bodies = [body for path, _, body in self.posts if path.endswith("/v1/metrics")]
        return metrics_in(bodies[-1]) if bodies else {}

    def __enter__(self) -> Collected:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def spans_in(body: bytes) -> Iterator[Seen]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for of_scope in of_resource.scope_spans:
            for one in of_scope.spans:
                yield Seen(
                    name=one.name,
                    kind=KINDS[one.kind],
                    trace_id=one.trace_id.hex(),
                    span_id=one.span_id.hex(),
                    parent_id=one.parent_span_id.hex(),
                    attributes=attributes(one.attributes),
                    is_error=one.status.code == 2,
                    duration_s=(one.end_time_unix_nano - one.start_time_unix_nano) / 1e9,
                    state=one.trace_state,
                )


def resource_of(body: bytes) -> dict[str, Any]:
    return attributes(ExportTraceServiceRequest.FromString(body).resource_spans[0].resource.attributes)


def metrics_in(body: bytes) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
    for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for one in of_scope.metrics:
                points = one.histogram.data_points or one.sum.data_points
                found[one.name] = [(attributes(point.attributes), point) for point in points]
    return found


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(one) for one in value.array_value.values]
        case None:
            return None
        case kind:
            return getattr(value, kind)
