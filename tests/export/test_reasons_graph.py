"""The graph of reasons, beside the Shapley values it stands for."""

from itertools import product
from math import comb

import numpy as np
import onnx
import pytest
from customers import COLUMNS, make_customers
from trained import KINDS, bundle_around, explained, graph_of, sample

from churnops.export.reasons import made_up, reasons_graph

FEW = make_customers(12, seed=5)
_P = len(COLUMNS.numeric) + len(COLUMNS.categorical)


def exact(bundle, numeric_F, categorical_C):
    """Shapley values of one customer's score against every customer of the sample."""
    numeric_SF, categorical_SC = sample()
    mean = {}
    for own in product([False, True], repeat=_P):
        is_own = np.array(own)
        numeric = np.where(is_own[: numeric_F.size], numeric_F, numeric_SF)
        categorical = np.where(is_own[numeric_F.size :], categorical_C, categorical_SC)
        mean[own] = bundle.score(numeric, categorical).mean()
    share_P = np.zeros(_P)
    for own, value in mean.items():
        for i in range(_P):
            size = sum(own) - own[i]
            share_P[i] += (1 if own[i] else -1) * value / (_P * comb(_P - 1, size))
    return share_P


@pytest.mark.parametrize(
    ("kind", "most"), [("recency", 0.001), ("logistic", 0.02), ("lightgbm", 0.04), ("torch", 0.01)]
)
def test_effects_are_close_to_exact_shapley_values(kind, most):
    bundle = explained(kind)
    wanted = [exact(bundle, *row) for row in zip(FEW.numeric_NF, FEW.categorical_NC, strict=True)]

    found = bundle.effects(FEW.numeric_NF, FEW.categorical_NC)

    assert np.abs(found - wanted).mean() < most / 2
    assert np.abs(found - wanted).max(axis=1).mean() < most


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_equal_bytes(kind):
    assert reasons_graph(graph_of(kind), sample(), seed=0).content == explained(kind).reasons
    assert (
        kind == "recency"
        or reasons_graph(graph_of(kind), sample(), seed=1).content != explained(kind).reasons
    )


@pytest.mark.parametrize("kind", KINDS)
def test_effects_start_from_the_mean_score_and_are_nothing_on_average(kind):
    bundle = explained(kind)

    assert bundle.manifest.reasons.base_score == pytest.approx(bundle.score(*sample()).mean(), abs=1e-6)
    assert bundle.effects(*sample()).mean(axis=0) == pytest.approx(np.zeros(_P), abs=1e-5)


def test_columns_the_model_does_not_use_have_no_effect():
    effects_NX = explained("recency").effects(FEW.numeric_NF, FEW.categorical_NC)

    assert effects_NX[:, 0].all()
    assert not effects_NX[:, 1:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_graph_is_valid_and_takes_what_the_model_takes(kind):
    graph, model = onnx.load_from_string(explained(kind).reasons), onnx.load_from_string(graph_of(kind))

    onnx.checker.check_model(graph, full_check=True)
    assert graph.graph.input == model.graph.input


def test_made_up_customers_have_the_values_of_the_sample_as_often_as_it_has():
    numeric_SF, categorical_SC = sample()

    numeric_KF, categorical_KC = made_up(sample(), 30, np.random.default_rng(0))

    for drawn_K, known_S in zip(numeric_KF.T, numeric_SF.T, strict=True):
        assert np.isin(drawn_K[~np.isnan(drawn_K)], known_S).all()
        assert np.isnan(drawn_K).mean() == pytest.approx(np.isnan(known_S).mean(), abs=1 / 30)
    for drawn_K, known_S in zip(categorical_KC.T, categorical_SC.T, strict=True):
        for level in set(known_S):
            assert (drawn_K == level).mean() == pytest.approx((known_S == level).mean(), abs=1 / 15)


def test_made_up_customers_are_nobody():
    known = {(*n.tolist(), *c) for n, c in zip(*sample(), strict=True)}
    made = {(*n.tolist(), *c) for n, c in zip(*made_up(sample(), 16, np.random.default_rng(0)), strict=True)}

    assert not known & made


def test_one_row_is_sample_enough():
    one = tuple(matrix[:1] for matrix in sample())
    graph = reasons_graph(graph_of("logistic"), one, seed=0)

    assert graph.base_score == pytest.approx(bundle_around(graph_of("logistic")).score(*one)[0], abs=1e-6)
