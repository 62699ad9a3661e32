"""LightGBM's trees: the same leaf for every row, also on the edge of a split."""

import lightgbm as lgb
import numpy as np
import pytest
from customers import rows_of
from trained import PLATT, scores

from churnops.export.onnx import to_onnx
from churnops.export.parity import parity
from churnops.training.baselines import Boosted
from churnops.training.dataset import Columns
from churnops.training.preprocessing import TreeEncoding

COLUMNS = Columns(("x",), ())
_SETTINGS = {
    "objective": "binary",
    "min_data_in_leaf": 1,
    "min_data_in_bin": 1,
    "num_threads": 1,
    "verbosity": -1,
}


def _boosted(x_N, churned_N, **settings):
    data = lgb.Dataset(np.reshape(x_N, (-1, 1)), np.asarray(churned_N, dtype=float))
    return Boosted(TreeEncoding(("x",), ()), lgb.train(_SETTINGS | settings, data, num_boost_round=10))


def _difference(model, x_N):
    rows = rows_of(COLUMNS, np.reshape(x_N, (-1, 1)), [()] * len(x_N))
    return parity(to_onnx(model, COLUMNS, PLATT), rows, scores(model, rows))


def test_rows_at_and_beside_a_threshold_fall_on_its_side():
    x_N = np.random.default_rng(0).normal(size=400).astype(np.float32)
    model = _boosted(x_N, np.sin(9 * x_N) > 0)
    edge_N = np.float32([node["threshold"] for node in _branches(model)])
    beside = [np.nextafter(edge_N, np.float32(side)) for side in (-np.inf, np.inf)]

    assert len(edge_N) > 100
    assert _difference(model, np.concatenate([edge_N, *beside])) < 1e-6


def _branches(model):
    waiting = [tree["tree_structure"] for tree in model.booster.dump_model()["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            yield node
            waiting += [node["left_child"], node["right_child"]]


@pytest.mark.parametrize("missing", ["left", "right", "never"])
def test_a_missing_number_goes_where_the_booster_sends_it(missing):
    x_N = np.linspace(-1, 1, 200)
    churned_N = x_N > 0.2
    if missing != "never":
        x_N[::5] = np.nan
        churned_N[::5] = missing == "right"

    assert _difference(_boosted(x_N, churned_N), [np.nan, 0.0, -0.5, 0.5]) < 1e-6


def test_a_tree_may_be_a_single_leaf():
    model = _boosted(np.ones(50), np.arange(50) < 10)

    assert model.booster.dump_model()["tree_info"][0]["num_leaves"] == 1
    assert _difference(model, [1.0, np.nan, -3.0]) < 1e-6


def test_a_booster_that_takes_zero_for_missing_is_refused():
    x_N = np.linspace(-1, 1, 200)

    with pytest.raises(ValueError, match="Zero"):
        to_onnx(_boosted(x_N, x_N > 0.2, zero_as_missing=True), COLUMNS, PLATT)
