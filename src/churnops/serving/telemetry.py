"""Metrics over OTLP: the same counts that `/metrics` shows, sent as they stand."""

import os
import socket
import threading
import time

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from churnops import __version__
from churnops.serving.metrics import FAMILIES, Family, Meter, Samples

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def start(meter: Meter, endpoint: str, seconds: float) -> threading.Event:
    """Send this worker's counts to `endpoint` every so many seconds, on a thread; setting the event ends it.

    A collector that cannot be reached is logged once each time it goes, and costs no request anything.
    """
    stopped = threading.Event()
    thread = threading.Thread(target=_run, args=(meter, endpoint, seconds, stopped), daemon=True, name="otlp")
    thread.start()
    return stopped


def _run(meter: Meter, endpoint: str, seconds: float, stopped: threading.Event) -> None:
    exporter = OTLPMetricExporter(endpoint=endpoint, timeout=min(seconds, 10))
    began, reached = time.time_ns(), True
    while not stopped.wait(seconds):
        result = exporter.export(metrics_data(meter.own(), began, time.time_ns()))
        if reached and result is not MetricExportResult.SUCCESS:
            structlog.get_logger().warning("metrics not sent", endpoint=endpoint)
        reached = result is MetricExportResult.SUCCESS
    exporter.shutdown()


def metrics_data(samples: Samples, began_ns: int, now_ns: int) -> MetricsData:
    """`samples` as OpenTelemetry's SDK hands them to an exporter."""
    instance = f"{socket.gethostname()}-{os.getpid()}"
    resource = Resource(
        {"service.name": "churnops", "service.version": __version__, "service.instance.id": instance}
    )
    scope = InstrumentationScope("churnops.serving", __version__)
    metrics = [metric for family in FAMILIES if (metric := _metric(family, samples, began_ns, now_ns))]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _metric(family: Family, samples: Samples, began_ns: int, now_ns: int) -> Metric | None:
    found = [
        (dict(zip(family.labels, key[1], strict=True)), values)
        for key, values in samples.items()
        if key[0] == family.name
    ]
    if not found:
        return None
    data: Histogram | Sum | Gauge
    if family.kind == "histogram":
        points = [
            HistogramDataPoint(
                attributes=attributes,
                start_time_unix_nano=began_ns,
                time_unix_nano=now_ns,
                count=int(sum(counts)),
                sum=total,
                bucket_counts=[*map(int, counts)],
                explicit_bounds=family.bounds,
                min=None,  # type: ignore[arg-type]  # not known, which the encoder leaves out
                max=None,  # type: ignore[arg-type]
            )
            for attributes, (*counts, total) in found
        ]
        data = Histogram(points, _CUMULATIVE)
    else:
        numbers = [NumberDataPoint(attributes, began_ns, now_ns, value) for attributes, (value,) in found]
        data = Gauge(numbers) if family.kind == "gauge" else Sum(numbers, _CUMULATIVE, is_monotonic=True)
    return Metric(family.name, family.text, family.unit, data)
