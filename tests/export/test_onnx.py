"""What is in the graph, beyond agreeing with its model (that is `tests/seams`)."""

import copy
import json

import numpy as np
import onnx
import pytest
from customers import COLUMNS, make_customers, rows_of
from trained import KINDS, PLATT, bundle_around, graph_of, scores, trained

from churnops.bundle.bundle import read_bundle, write_bundle
from churnops.export.onnx import to_onnx
from churnops.export.parity import parity
from churnops.training.baselines import Linear
from churnops.training.dataset import Columns
from churnops.training.preprocessing import Category, Number, Preprocessing
from churnops.training.torch_mlp import TorchMlp


@pytest.mark.parametrize("kind", KINDS)
def test_equal_models_give_equal_bytes(kind):
    assert to_onnx(trained(kind), COLUMNS, PLATT) == graph_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_graph_is_valid_and_says_nothing_of_the_machine(kind):
    model = onnx.load_from_string(graph_of(kind))

    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("churnops", "")
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert b"site-packages" not in graph_of(kind)


def test_names_of_the_columns_travel_along():
    props = {
        prop.key: json.loads(prop.value)
        for prop in onnx.load_from_string(graph_of("logistic")).metadata_props
    }

    prepared = props.pop("prepared")
    assert props == {"numeric": [*COLUMNS.numeric], "categorical": [*COLUMNS.categorical]}
    assert set(prepared) == {*COLUMNS.numeric, *COLUMNS.categorical}
    assert len(prepared) == trained("logistic").preprocessing.width


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_runs_the_graph(kind, tmp_path):
    rows = make_customers(50, seed=3)

    bundle = read_bundle(write_bundle(bundle_around(graph_of(kind)), tmp_path / "bundle"))

    score_N = bundle.score(rows.numeric_NF, rows.categorical_NC)
    assert score_N == pytest.approx(scores(trained(kind), rows), abs=1e-6)


def test_model_may_use_some_columns_in_its_own_order():
    numbers = [
        Number(name, fill=0.0, flagged=True, log=False, mean=40.0, scale=20.0)
        for name in ("age", "spend_30d")
    ]
    preprocessing = Preprocessing(tuple(numbers), (Category("city", ("東京",)),))
    model = Linear(preprocessing, weight_D=np.array([1.0, -2.0, 0.5, 0.25, 3.0, -1.0]), intercept=0.1)
    rows = make_customers(200)

    assert parity(to_onnx(model, COLUMNS, PLATT), rows, scores(model, rows)) < 1e-6


def test_one_level_means_different_things_in_two_columns():
    categories = (Category("home", ("a", "b")), Category("work", ("b", "c")))
    model = Linear(
        Preprocessing((), categories), weight_D=np.array([1.0, 2, 4, 8, 16, 32]) / 10, intercept=-3.0
    )
    columns = Columns((), ("home", "work"))
    rows = rows_of(columns, [()] * 4, [("a", "b"), ("b", "a"), ("b", "c"), ("c", "")])

    assert parity(to_onnx(model, columns, PLATT), rows, scores(model, rows)) < 1e-6


def test_logarithm_keeps_apart_what_float32_would_not():
    hardly_varies = Number("age", fill=19000.0, flagged=False, log=True, mean=np.log(19001.0), scale=2.6e-4)
    model = Linear(Preprocessing((hardly_varies,), ()), weight_D=np.array([1.0]), intercept=0.0)
    columns = Columns(("age",), ())
    rows = rows_of(columns, [[18990], [18999], [19000], [19001]], [()] * 4)

    assert parity(to_onnx(model, columns, PLATT), rows, scores(model, rows)) < 1e-6


def test_dropout_has_no_part_in_the_graph():
    model = trained("torch")
    learning = TorchMlp(model.preprocessing, copy.deepcopy(model.network).train())

    assert to_onnx(learning, COLUMNS, PLATT) == graph_of("torch")
    assert learning.network.training
