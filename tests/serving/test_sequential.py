"""The promise of the test that stops a canary, by simulation."""

import math

import numpy as np
import pytest

from churnops.serving.sequential import SequentialTest

ALPHA = 0.05
RUNS, STEPS = 2000, 3000


def _fortunes(test: SequentialTest) -> np.ndarray:
    """The fortune of each measure by itself."""
    return np.logaddexp.reduce(test.log_wealth_KL, axis=1) - math.log(test.log_wealth_KL.shape[1])


def _share_of_alarms(observe, tolerance: float) -> float:
    """How many of many tests ever reach an alarm, each looked at after every observation."""
    test, alarmed_R = SequentialTest([tolerance] * RUNS, [1.0] * RUNS), np.zeros(RUNS, dtype=bool)
    for _ in range(STEPS):
        test.add(observe())
        alarmed_R |= _fortunes(test) >= -math.log(ALPHA)
    return float(alarmed_R.mean())


@pytest.mark.parametrize("kind", ["rare faults", "moved and back", "as it may be at most"])
def test_false_alarms_stay_below_alpha_however_often_one_looks(kind):
    rng = np.random.default_rng(7)
    observe = {
        "rare faults": lambda: (rng.random(RUNS) < 0.01).astype(float),
        "moved and back": lambda: rng.choice([-1.0, 0.0, 1.0], RUNS, p=[0.2, 0.5, 0.3]),
        "as it may be at most": lambda: rng.choice([0.0, 1.0], RUNS, p=[0.9, 0.1]),
    }
    tolerance = 0.01 if kind == "rare faults" else 0.1  # on the very edge of what is borne
    alarms = _share_of_alarms(observe[kind], tolerance)
    assert alarms <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def test_a_usual_test_looked_at_so_often_would_cry_wolf():
    rng = np.random.default_rng(7)
    d_SR = rng.choice([-1.0, 0.0, 1.0], (STEPS, RUNS), p=[0.25, 0.5, 0.25])
    n_S1 = np.arange(1, STEPS + 1)[:, None]
    z_SR = np.cumsum(d_SR, axis=0) / np.sqrt(0.5 * n_S1)
    assert (np.abs(z_SR[50:]) > 1.96).any(axis=0).mean() > 0.3


def test_the_whole_of_many_measures_keeps_the_promise():
    rng, runs, alarms = np.random.default_rng(11), 200, 0
    for _ in range(runs):
        test = SequentialTest([0.01, *[0.1] * 9], [1.0, *[1 / 9] * 9])
        common = rng.random((300, 1)) < 0.1  # the measures of one customer hang together
        for d_K in np.hstack([rng.random((300, 1)) < 0.01, np.repeat(common, 9, axis=1)]).astype(float):
            test.add(d_K)
            if test.log_evidence >= -math.log(ALPHA):
                alarms += 1
                break
    assert alarms / runs <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize(
    ("rate", "measure", "within"), [(1.0, 0, 20), (0.1, 0, 400), (0.3, 1, 400), (0.6, 1, 60)]
)
def test_a_real_fault_is_found_soon_and_named(rate, measure, within):
    rng = np.random.default_rng(3)
    for _ in range(30):
        test = SequentialTest([0.01, 0.1, 0.1], [1.0, 1.0, 1.0])
        for _ in range(within):
            d_K = np.zeros(3)
            d_K[measure] = rng.random() < rate
            test.add(d_K)
            if test.log_evidence >= -math.log(0.01):
                break
        assert test.log_evidence >= -math.log(0.01)
        assert test.worst == measure


def test_what_was_not_measured_changes_nothing():
    test = SequentialTest([0.1, 0.1], [1.0, 3.0])
    assert test.log_evidence == pytest.approx(0)
    test.add(np.array([math.nan, 1.0]))
    assert not test.log_wealth_KL[0].any()
    assert test.worst == 1
