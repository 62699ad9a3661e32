"""BG/NBD finds the published figures, and its formula says what simulated customers do."""

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from customers import rows_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.export.parity import TOLERANCE, parity
from churnops.training.bgnbd import (
    COLUMNS,
    BgNbd,
    Histories,
    Parameters,
    fit_bgnbd,
    log_likelihood,
    most_likely,
    silence_logit,
)
from churnops.training.dataset import Columns

TRUTH = Parameters(r=0.8, alpha=30.0, a=0.7, b=2.5)
FEATURES = Columns(COLUMNS, ())


def simulated(n, age, horizon, seed=0):
    """What is known of `n` customers at `age`, and who buys nothing in the `horizon` after it."""
    rng = np.random.default_rng(seed)
    rate_N = rng.gamma(TRUTH.r, 1 / TRUTH.alpha, n)
    leave_N = rng.beta(TRUTH.a, TRUTH.b, n)
    x_N, last_N, silent_N = np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    for i in range(n):
        t = rng.exponential(1 / rate_N[i])
        while t < age + horizon:
            if t >= age:
                silent_N[i] = False
                break
            x_N[i], last_N[i] = x_N[i] + 1, t
            if rng.random() < leave_N[i]:
                break
            t += rng.exponential(1 / rate_N[i])
    return Histories(x_N, last_N, np.full(n, float(age))), silent_N


def features(known, silent_N):
    """The same customers as rows of features."""
    values = np.column_stack([known.x_N + 1, known.age_N, known.age_N - known.last_N])
    return rows_of(FEATURES, values, [()] * silent_N.size, churned_N=silent_N)


def test_the_published_figures_are_found():
    """Of the CDNOW sample in weeks, as `lifetimes` ships it (its code is not imported)."""
    folder = Path(find_spec("lifetimes").submodule_search_locations[0])
    with (folder / "datasets" / "cdnow_customers_summary.csv").open() as file:
        rows = [[float(row[name]) for name in ("frequency", "recency", "T")] for row in csv.DictReader(file)]
    known = Histories(*np.array(rows).T)

    found = most_likely(known)

    assert (len(rows), round(log_likelihood(found, known), 1)) == (2357, -9582.4)
    assert (round(found.r, 3), round(found.alpha, 3)) == (0.243, 4.414)
    assert (round(found.a, 3), round(found.b, 3)) == (0.793, 2.426)


def test_parameters_of_simulated_customers_are_recovered():
    known, _ = simulated(8000, age=365, horizon=0)

    found = most_likely(known)

    for name, true in vars(TRUTH).items():
        assert vars(found)[name] == pytest.approx(true, rel=0.25)


def test_the_chance_of_silence_is_what_happens():
    known, silent_N = simulated(20_000, age=180, horizon=60)

    chance_N = expit(silence_logit(TRUTH, known, 60))

    for low, high in [(0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)]:
        inside = (chance_N > low) & (chance_N <= high)
        assert chance_N[inside].mean() == pytest.approx(silent_N[inside].mean(), abs=0.02)


def test_the_longer_the_horizon_the_likelier_a_purchase_and_the_longer_ago_the_last_the_less():
    known = Histories(np.full(50, 5.0), np.linspace(0, 100, 50), np.full(50, 100.0))

    assert (silence_logit(TRUTH, known, 90) < silence_logit(TRUTH, known, 30)).all()
    assert (np.diff(silence_logit(TRUTH, known, 30)) < 0).all()


def test_it_learns_from_the_last_snapshot_of_training():
    known, silent_N = simulated(4000, age=365, horizon=60)
    as_of_N = np.repeat(np.array(["2024-01-01", "2024-06-01"], dtype="datetime64[us]"), [1000, 3000])
    known.x_N[:1000] = 1000.0  # of another world
    rows = replace(features(known, silent_N), as_of_N=as_of_N, horizon_days=60)

    model = fit_bgnbd(rows).model

    assert model.horizon_days == 60
    assert model.parameters.r == pytest.approx(TRUTH.r, rel=0.3)
    assert model.parameters.alpha == pytest.approx(TRUTH.alpha, rel=0.4)  # in days


_VALUES = (
    st.floats(width=32) | st.floats(0, 2000, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 1e38, 0])
)


@given(values=st.lists(st.tuples(_VALUES, _VALUES, _VALUES), min_size=1, max_size=20))
def test_the_graph_is_the_model_for_missing_and_extreme_values_too(values):
    model, platt = BgNbd(TRUTH, 60, fill=(3.0, 200.0, 40.0)), Platt(slope=1.2, intercept=-0.3)
    rows = rows_of(FEATURES, values, [()] * len(values))

    score_N = platt.apply(model.logits(rows))

    assert np.isfinite(score_N).all()
    assert parity(to_onnx(model, FEATURES, platt), rows, score_N) < TOLERANCE / 10
