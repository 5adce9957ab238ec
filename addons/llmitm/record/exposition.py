"""What was measured, as Prometheus reads it: its text format, or OpenMetrics where that is asked for.

`prometheus_client` is imported at the first scrape (0.1 s), so this belongs on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llmitm.record.series import Distribution, Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def write(families: Sequence[Family], *, accept: str = "") -> tuple[str, bytes]:
    """Content type and text: the families in order, then what the system says of this process."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
    from prometheus_client.openmetrics import exposition as openmetrics

    registry = CollectorRegistry()
    registry.register(_Measured(families))
    ProcessCollector(registry=registry)
    if "application/openmetrics-text" in accept:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, text
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


class _Measured:
    """A collector, as the library calls it."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self._families)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what it collects is asked for once."""
        return ()


def _metric(family: Family) -> Metric:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = (*(format(bound, "g") for bound in family.bounds), "+Inf")
        for labels, value in family.points:
            assert isinstance(value, Distribution)
            buckets = list(zip(bounds, value.up_to, strict=True))
            histogram.add_metric(labels, buckets=buckets, sum_value=value.sum)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.points:
        assert not isinstance(value, Distribution)
        made.add_metric(labels, value)
    return made
