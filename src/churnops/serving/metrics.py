"""What a server counts of itself, named as OpenTelemetry names it, and `/metrics` for Prometheus."""

import asyncio
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
import numpy as np
from starlette.types import ASGIApp, Receive, Scope, Send

from churnops.bundle.categories import MISSING as NOT_SENT
from churnops.bundle.categories import Categories
from churnops.bundle.manifest import Manifest
from churnops.serving.quick import Rows

if TYPE_CHECKING:
    from prometheus_client.core import Metric  # at run time when first scraped

PATH = "/metrics"

_PENDING = 128  # counting so many at once costs a tenth of counting each
_SMALL = 16  # larger requests are counted at once: they would keep their matrices alive
_SHARED_SECONDS = 1.0


class Family(NamedTuple):
    """One metric: its name and unit as OpenTelemetry writes them, and the names of its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


SECONDS = Family(
    "http.server.request.duration",
    "histogram",
    "s",
    "Time from a request's headers to its whole answer.",
    ("http.request.method", "http.route", "http.response.status_code"),
    # Those of the conventions, and three below: most answers take less than their first.
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
ACTIVE = Family("http.server.active_requests", "gauge", "{request}", "Requests in flight or waiting.")
ERRORS = Family("churnops.errors", "counter", "{error}", "Requests not answered as asked.", ("cause",))
ROWS = Family("churnops.customers", "counter", "{customer}", "Customers scored.", ("model.version",))
SCORES = Family(
    "churnops.score",
    "histogram",
    "1",
    "Scores given.",
    ("model.version",),
    tuple(i / 20 for i in range(1, 21)),
)
MISSING = Family("churnops.missing_values", "counter", "{value}", "Values not sent.", ("feature",))
UNKNOWN = Family(
    "churnops.unknown_categories", "counter", "{value}", "Levels training did not see.", ("feature",)
)
MODEL = Family("churnops.model", "gauge", "1", "1 for a model that has scored.", ("model.version",))
EVENTS = Family("churnops.model.events", "counter", "{event}", "What happened to the models.", ("event",))
FAMILIES = (SECONDS, ACTIVE, ERRORS, ROWS, SCORES, MISSING, UNKNOWN, MODEL, EVENTS)

_CAUSES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "wrong_method",
    413: "too_large",
    415: "wrong_type",
    422: "invalid",
    499: "caller_gone",
    500: "failure",
    503: "unavailable",
}
_METHODS = {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"}

Key = tuple[str, tuple[str, ...]]
"""Name of a family, values of its labels."""
Samples = dict[Key, list[float]]
"""A counter or gauge has one value; a histogram has one per bucket, then the sum."""


class _Columns(NamedTuple):
    model_version: str
    numeric: list[str]
    categorical: list[str]
    known_CT: np.ndarray


class Meter:
    """Counts requests and what the model was asked.

    A request only leaves a note, which takes about a microsecond; notes are counted in bulk, exactly. Given
    a `folder`, each worker shares its counts there once a second, and any of them tells the sum of all,
    those of workers that died included.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.in_flight: Callable[[], int] = int
        """How many requests are being answered or wait for it; the server says how to find out."""
        self.events: Callable[[], Iterable[tuple[str, int]]] = tuple
        """How often what happened to the models; the server says how to find out."""
        self._file = folder / f"{os.getpid()}.json" if folder else None
        self._lock = threading.Lock()  # long requests are scored on threads
        self._answers: list[tuple[str, str, int, float]] = []
        self._rows: list[tuple[Manifest, Rows, list[float]]] = []
        self._columns: dict[int, tuple[Manifest, _Columns]] = {}
        self._totals: Samples = {}
        self._sharing = False

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered; `route` is one of few texts, not what the caller sent."""
        with self._lock:
            self._answers.append((method, route, status, seconds))
            if len(self._answers) >= _PENDING:
                self._settle()
        if self._file and not self._sharing:
            self._sharing = True
            asyncio.get_running_loop().call_later(_SHARED_SECONDS, self._share)

    def scored(self, manifest: Manifest, rows: Rows, scores: list[float]) -> None:
        """Note the customers of one request, and their scores. Threads may call it."""
        with self._lock:
            self._rows.append((manifest, rows, scores))
            if len(self._rows) >= _PENDING or len(scores) > _SMALL:
                self._settle()

    def count(self, family: Family, *labels: str, by: float = 1) -> None:
        """Count what happens seldom."""
        with self._lock:
            self._add(family, labels, by)

    def samples(self) -> Samples:
        """Everything counted so far, by all workers."""
        own = self.own()
        if self._file is None:
            return own
        for path in self._file.parent.glob("*.json"):
            if path != self._file:
                _merge(own, path)
        return own

    def own(self) -> Samples:
        """What this worker has counted so far."""
        with self._lock:
            self._settle()
            copied = {key: [*values] for key, values in self._totals.items()}
        copied[ACTIVE.name, ()] = [float(self.in_flight())]
        copied |= {(EVENTS.name, (event,)): [float(n)] for event, n in self.events()}
        return copied

    def _share(self) -> None:
        self._sharing = False
        if self._file:
            unfinished = self._file.with_suffix(".unfinished")
            unfinished.write_bytes(msgspec.json.encode([*self.own().items()]))
            unfinished.replace(self._file)

    def _settle(self) -> None:
        answers, self._answers = self._answers, []
        noted, self._rows = self._rows, []
        for method, route, status, seconds in answers:
            labels = (method if method in _METHODS else "_OTHER", route, str(status))
            counts = self._histogram(SECONDS, labels)
            counts[bisect_left(SECONDS.bounds, seconds)] += 1
            counts[-1] += seconds
            if status >= 400:
                self._add(ERRORS, (_CAUSES.get(status, str(status)),), 1)
        of_model: dict[int, list[tuple[Manifest, Rows, list[float]]]] = {}
        for note in noted:
            of_model.setdefault(id(note[0]), []).append(note)
        for notes in of_model.values():
            self._settle_rows(notes[0][0], [note[1] for note in notes], [note[2] for note in notes])

    def _settle_rows(self, manifest: Manifest, rows: Sequence[Rows], scores: Sequence[list[float]]) -> None:
        columns = self._columns_of(manifest)
        version = (columns.model_version,)
        score_N = np.fromiter(chain.from_iterable(scores), np.float64)
        counts = self._histogram(SCORES, version)
        buckets_N = np.searchsorted(SCORES.bounds, score_N)
        for bucket, n in enumerate(np.bincount(buckets_N, minlength=len(counts) - 1).tolist()):
            counts[bucket] += n
        counts[-1] += float(score_N.sum())
        self._add(ROWS, version, len(score_N))
        self._totals[MODEL.name, version] = [1]

        absent_F = np.isnan(np.concatenate([one.numeric_NF for one in rows])).sum(axis=0)
        for name, n in zip(columns.numeric, absent_F.tolist(), strict=True):
            if n:
                self._add(MISSING, (name,), n)
        # How often each column had each text; the last of each are all that no column has a level for.
        n_columns, n_texts = columns.known_CT.shape
        category_NC = np.concatenate([one.category_NC for one in rows])
        text_NC = np.where(category_NC < 0, n_texts - 1, category_NC) + n_texts * np.arange(n_columns)
        counts_CT = np.bincount(text_NC.ravel(), minlength=n_columns * n_texts).reshape(n_columns, n_texts)
        unknown_C = np.where(columns.known_CT, 0, counts_CT).sum(axis=1)
        for family, counted_C in ((MISSING, counts_CT[:, NOT_SENT]), (UNKNOWN, unknown_C)):
            for name, n in zip(columns.categorical, counted_C.tolist(), strict=True):
                if n:
                    self._add(family, (name,), n)

    def _columns_of(self, manifest: Manifest) -> _Columns:
        known = self._columns.get(id(manifest))
        if known is None:
            known_CT = Categories(manifest.categorical).known(manifest.categorical)
            categorical = [column.name for column in manifest.categorical]
            numeric = [column.name for column in manifest.numeric]
            columns = _Columns(manifest.model_version, numeric, categorical, known_CT)
            known = self._columns[id(manifest)] = manifest, columns  # kept alive, so no other has its id
        return known[1]

    def _histogram(self, family: Family, labels: tuple[str, ...]) -> list[float]:
        counts = self._totals.get((family.name, labels))
        if counts is None:
            counts = self._totals[family.name, labels] = [0.0] * (len(family.bounds) + 2)
        return counts

    def _add(self, family: Family, labels: tuple[str, ...], by: float) -> None:
        self._totals.setdefault((family.name, labels), [0.0])[0] += by


def _merge(into: Samples, path: Path) -> None:
    lives = _lives(int(path.stem))
    shared = msgspec.json.decode(path.read_bytes(), type=list[tuple[Key, list[float]]])
    for key, values in shared:
        if key[0] == MODEL.name:
            into[key] = [1]
        elif lives or key[0] != ACTIVE.name:
            before = into.get(key, [0.0] * len(values))
            into[key] = [one + other for one, other in zip(before, values, strict=True)]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def exposed(app: ASGIApp, meter: Meter) -> ASGIApp:
    """`app`, with `/metrics`."""
    exposition({})  # so that no request waits for the import

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        content_type, body = exposition(meter.samples(), accept.decode("latin-1"))
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return around


def exposition(samples: Samples, accept: str = "") -> tuple[str, bytes]:
    """The content type and the text Prometheus reads."""
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return content_type, encode(_Collected(samples))


class _Collected:
    """What an encoder of prometheus_client asks a registry for."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for family in FAMILIES:
            name = family.name.replace(".", "_") + ("_seconds" if family.unit == "s" else "")
            labels = [label.replace(".", "_") for label in family.labels]
            found = [(key[1], values) for key, values in self._samples.items() if key[0] == family.name]
            if family.kind == "histogram":
                histogram = HistogramMetricFamily(name, family.text, labels=labels)
                for values, counts in found:
                    bounds = [*map(str, family.bounds), "+Inf"]
                    buckets = [*zip(bounds, accumulate(counts[:-1]), strict=True)]
                    histogram.add_metric(values, buckets, counts[-1])
                yield histogram
            else:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                simple = kind(name, family.text, labels=labels)
                for values, (value,) in found:
                    simple.add_metric(values, value)
                yield simple
