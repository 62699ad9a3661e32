"""What a server counts of itself."""

import json
import math
import subprocess
from typing import get_args

import msgspec
import numpy as np
import pytest
from builders import make_bundle
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from prometheus_client.parser import text_string_to_metric_families

from churnops.serving.app import PATHS, create_app
from churnops.serving.metrics import (
    ACTIVE,
    ERRORS,
    FAMILIES,
    MISSING,
    MODEL,
    ROWS,
    SCORES,
    SECONDS,
    UNKNOWN,
    Meter,
    exposition,
)
from churnops.serving.model import Event, Models, Served
from churnops.serving.protected import protected
from churnops.serving.protection import Protection
from churnops.serving.quick import Rows
from churnops.serving.telemetry import metrics_data

BUNDLE = make_bundle()
VERSION = (BUNDLE.manifest.model_version,)
GOOD = {"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}


@pytest.fixture
def meter():
    return Meter()


@pytest.fixture
def client(meter):
    app = create_app(Models(Served(BUNDLE, note=meter.scored)))
    return TestClient(protected(app, meter, Protection(access_log_ratio=0), paths=PATHS))


def _series(text):
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_prometheus_reads_what_was_asked_and_answered(client):
    customers = [GOOD, GOOD | {"spend.30d": None}, GOOD | {"city_tier": "unseen", "spend.30d": None}]
    assert client.post("/v1/score", json={"customers": customers}).status_code == 200
    assert client.post("/v1/score", content=b"{").status_code == 422
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    series = _series(answer.text)
    version = ("model_version", VERSION[0])
    assert series["churnops_customers_total", (version,)] == 3
    assert series["churnops_score_count", (version,)] == 3
    assert series["churnops_model", (version,)] == 1
    assert series["churnops_missing_values_total", (("feature", "spend.30d"),)] == 2
    assert series["churnops_unknown_categories_total", (("feature", "city_tier"),)] == 1
    assert series["churnops_errors_total", (("cause", "invalid"),)] == 1
    assert series["http_server_active_requests", ()] == 1
    route = (
        ("http_request_method", "POST"),
        ("http_response_status_code", "200"),
        ("http_route", "/v1/score"),
    )
    assert series["http_server_request_duration_seconds_count", route] == 1
    assert 0 < series["http_server_request_duration_seconds_sum", route] < 10


def test_what_happens_to_models_is_counted_from_zero_so_that_the_first_time_is_an_alarm(meter):
    models = Models(Served(BUNDLE))
    meter.events = models.counts.items
    before = _series(exposition(meter.samples())[1].decode())
    models.count("refused_bundle")
    after = _series(exposition(meter.samples())[1].decode())
    refused = "churnops_model_events_total", (("event", "refused_bundle"),)
    assert (before[refused], after[refused]) == (0, 1)
    assert {key[1][0][1] for key in before if key[0] == refused[0]} == {*get_args(Event)}


def test_openmetrics_is_written_to_those_who_ask_for_it(client):
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


_VALUES = st.sampled_from([math.nan, 0.0, 1.5])
_LEVELS = st.sampled_from(["", "1", "2", "unseen", "never"])
_SCORES = st.sampled_from([0.0, 0.05, 0.0500001, 0.5, 1.0])
_CUSTOMERS = st.lists(st.tuples(_VALUES, _LEVELS, _SCORES), min_size=1, max_size=40)


@given(requests=st.lists(_CUSTOMERS, max_size=80))
def test_counts_are_exact_however_they_come(requests):
    meter = Meter()
    for customers in requests:
        numbers = np.array([[1, value, 1] for value, _, _ in customers], np.float32)
        others = {}
        texts = [text for _, level, _ in customers for text in ("pro", level)]
        categories = BUNDLE.categories.numbers(texts, others).reshape(-1, 2)
        rows = Rows(numbers, categories, [None] * len(customers), (*others,))
        meter.scored(BUNDLE.manifest, rows, [score for *_, score in customers])
    everyone = [one for customers in requests for one in customers]
    samples = meter.samples()

    def counted(family, *labels):
        return samples.get((family.name, labels), [0])[0]

    assert counted(ROWS, *VERSION) == len(everyone)
    assert counted(MISSING, "spend.30d") == sum(math.isnan(value) for value, _, _ in everyone)
    assert counted(MISSING, "city_tier") == sum(not level for _, level, _ in everyone)
    assert counted(UNKNOWN, "city_tier") == sum(level in {"unseen", "never"} for _, level, _ in everyone)
    *buckets, total = samples.get((SCORES.name, VERSION), [0.0] * 22)
    assert sum(buckets) == len(everyone)
    assert buckets[0] == sum(score <= 0.05 for *_, score in everyone)
    assert total == pytest.approx(sum(score for *_, score in everyone))


def test_a_model_without_columns_of_a_kind_is_counted(meter):
    for kind in ("numeric", "categorical"):
        bundle = make_bundle([column for column in BUNDLE.manifest.inputs if column.kind == kind])
        served = Served(bundle, note=meter.scored)
        assert served.answer(json.dumps({"customers": [bundle.manifest.example]}).encode()).status == 200
    assert sum(key[0] == ROWS.name for key in meter.samples()) == 2


def test_the_example_that_warms_a_model_is_not_counted(meter):
    Served(BUNDLE, note=meter.scored)
    assert meter.samples() == {(ACTIVE.name, ()): [0]}


def test_workers_tell_the_sum_of_all_and_the_dead_count_but_are_not_waited_for(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = {
        (ERRORS.name, ("invalid",)): [2.0],
        (ACTIVE.name, ()): [7.0],
        (MODEL.name, ("old",)): [1.0],
    }
    (tmp_path / f"{ended.pid}.json").write_bytes(msgspec.json.encode([*left.items()]))
    meter = Meter(tmp_path)
    meter.count(ERRORS, "invalid")
    samples = meter.samples()
    assert samples[ERRORS.name, ("invalid",)] == [3]
    assert samples[ACTIVE.name, ()] == [0]
    assert samples[MODEL.name, ("old",)] == [1]


def test_otlp_carries_the_same_counts(meter):
    meter.answered("GET", "/livez", 200, 0.003)
    meter.answered("GET", "/livez", 200, 30.0)
    meter.count(ERRORS, "slow_caller")
    sent = encode_metrics(metrics_data(meter.own(), 1, 2))
    (resource,) = sent.resource_metrics
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    (point,) = metrics[SECONDS.name].histogram.data_points
    assert (point.count, point.sum) == (2, 30.003)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.bucket_counts[-1] == 1
    assert metrics[ERRORS.name].sum.is_monotonic
    assert metrics[ACTIVE.name].gauge.data_points[0].as_double == 0


def test_names_are_those_of_opentelemetry_and_prometheus_accepts_them(meter):
    for family in FAMILIES:
        meter.count(family._replace(bounds=()), *family.labels) if family.kind != "histogram" else None
    assert {family.name for family in FAMILIES} > {
        "http.server.request.duration",
        "http.server.active_requests",
    }
    content_type, text = exposition(meter.samples())
    assert "charset=utf-8" in content_type
    assert _series(text.decode())
