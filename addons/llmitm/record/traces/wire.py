"""Spans and metrics as the bytes that a collector takes: OTLP, as protobuf writes it.

Made with the messages of `opentelemetry-proto`. The SDK's own encoder takes some 160 microseconds a span,
a good part of what the gateway takes for a whole exchange; here what comes again and again, a name with its
value, is encoded once. That may be so put together because protobuf adds up repeated fields: the bytes of
two messages in a row are those of one that has the fields of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Protocol

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from llmitm import __version__
from llmitm.record.series import Distribution, Family
from llmitm.record.traces.naming import SCHEMA_URL
from llmitm.record.traces.spans import Span, Value

_NANO: Final = 1_000_000_000
_SAMPLED, _KNOWS_PARENT, _REMOTE = 0x01, 0x100, 0x200
_COMES_AGAIN: Final = 64
"""Characters of a text that may."""
_ONCE: Final = frozenset({"llmitm.request.id", "gen_ai.response.id", "llmitm.upstream.request_id"})
"""What is different in each span."""

type Labelled = tuple[Family, str]
"""A metric and its unit. Names of labels are those of attributes; empty values are left out."""


class _Written(Protocol):
    def SerializeToString(self) -> bytes: ...


def _bytes(message: _Written) -> bytes:
    return message.SerializeToString()


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))


_known: Final[dict[tuple[str, Value], bytes]] = {}
"""Attributes that were encoded before. A name has values of one type only: 1 is not taken for True."""
_MOST_KNOWN: Final = 8192


def _attribute(name: str, value: Value) -> bytes:
    made = _bytes(Message(attributes=[KeyValue(key=name, value=_value(value))]))
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[name, value] = made
    return made


def span(one: Span) -> bytes:
    """A span of its own."""
    flags = _SAMPLED | _KNOWS_PARENT | (_REMOTE if one.has_remote_parent else 0)
    message = Message(
        trace_id=bytes.fromhex(one.trace_id),
        span_id=bytes.fromhex(one.span_id),
        parent_span_id=bytes.fromhex(one.parent_id or ""),
        trace_state=one.state,
        flags=flags,
        name=one.name,
        kind=Message.SPAN_KIND_CLIENT if one.is_client else Message.SPAN_KIND_SERVER,
        start_time_unix_nano=int(one.began_s * _NANO),
        end_time_unix_nano=max(int(one.ended_s * _NANO), int(one.began_s * _NANO)),
        status=None if one.error is None else Status(code=Status.STATUS_CODE_ERROR, message=one.error),
    )
    pieces, known = [b""], _known.get
    for attribute in one.attributes.items():
        if (piece := known(attribute)) is not None:
            pieces.append(piece)
            continue
        name, value = attribute
        if type(value) is float:
            message.attributes.add(key=name).value.double_value = value
        elif type(value) is str and (name in _ONCE or len(value) > _COMES_AGAIN):
            message.attributes.add(key=name).value.string_value = value
        else:
            pieces.append(_attribute(name, value))
    pieces[0] = _bytes(message)
    return b"".join(pieces)


def _resource(attributes: Mapping[str, str]) -> Resource:
    return Resource(attributes=[KeyValue(key=name, value=_value(one)) for name, one in attributes.items()])


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name="llmitm", version=__version__)


def traces(spans: Iterable[bytes], resource: Mapping[str, str]) -> bytes:
    """What a collector is sent."""
    of_scope = ScopeSpans(scope=_scope(), schema_url=SCHEMA_URL)
    of_resource = ResourceSpans(resource=_resource(resource), schema_url=SCHEMA_URL)
    scoped = _bytes(of_scope) + b"".join([_within(ScopeSpans.SPANS_FIELD_NUMBER, one) for one in spans])
    whole = _bytes(of_resource) + _within(ResourceSpans.SCOPE_SPANS_FIELD_NUMBER, scoped)
    return _within(ExportTraceServiceRequest.RESOURCE_SPANS_FIELD_NUMBER, whole)


def _within(field: int, message: bytes) -> bytes:
    """An encoded message as a field of another one: what it is, how long it is, and itself."""
    size_bytes = len(message)
    head = bytearray((field << 3 | 2,))
    while size_bytes > 0x7F:
        head.append(size_bytes & 0x7F | 0x80)
        size_bytes >>= 7
    head.append(size_bytes)
    return bytes(head) + message


def metrics(families: Sequence[Labelled], resource: Mapping[str, str], since_s: float, now_s: float) -> bytes:
    """What a collector is sent: all that was counted since the start."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add(resource=_resource(resource), schema_url=SCHEMA_URL)
    of_scope = of_resource.scope_metrics.add(scope=_scope(), schema_url=SCHEMA_URL)
    times = (int(since_s * _NANO), int(now_s * _NANO))
    for family, unit in families:
        if family.points:
            of_scope.metrics.append(_metric(family, unit, times))
    return _bytes(request)


def _metric(family: Family, unit: str, times: tuple[int, int]) -> Metric:
    made = Metric(name=family.name, description=family.help, unit=unit)
    counts, sums = [], []
    for labels, value in family.points:
        named = zip(family.labels, labels, strict=True)
        known = [KeyValue(key=name, value=_value(label)) for name, label in named if label]
        if isinstance(value, Distribution):
            buckets = [later - earlier for earlier, later in pairwise((0, *value.up_to))]
            counts.append(
                HistogramDataPoint(
                    attributes=known,
                    count=value.up_to[-1],
                    sum=value.sum,
                    bucket_counts=buckets,
                    explicit_bounds=family.bounds,
                    start_time_unix_nano=times[0],
                    time_unix_nano=times[1],
                )
            )
        else:
            sums.append(
                NumberDataPoint(
                    attributes=known,
                    as_int=int(value),
                    start_time_unix_nano=times[0],
                    time_unix_nano=times[1],
                )
            )
    if counts:
        made.histogram.CopyFrom(
            Histogram(data_points=counts, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
        )
    else:
        made.sum.CopyFrom(
            Sum(
                data_points=sums,
                aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE,
                is_monotonic=True,
            )
        )
    return made


def rejected(answer: bytes, *, is_metrics: bool = False) -> tuple[int, str]:
    """How much of what it was sent a collector did not take, and why; 0 where it took all."""
    try:
        if is_metrics:
            counted = ExportMetricsServiceResponse.FromString(answer).partial_success
            return counted.rejected_data_points, counted.error_message
        taken = ExportTraceServiceResponse.FromString(answer).partial_success
        return taken.rejected_spans, taken.error_message
    except Exception:  # whatever it says, it says that it took them
        return 0, ""
