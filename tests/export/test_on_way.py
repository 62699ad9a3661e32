"""Everybody on the way of walks, in place of a customer."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from trained import KINDS, graph_of, sample

from churnops.export.graph import CALIBRATED, PREPARED
from churnops.export.on_way import log_odds_of, model_of, on_the_way, part, rows_for, session_of
from churnops.export.walks import walks


def _run(graph, nodes, output, kind):
    numeric, categorical = sample()
    session = session_of(model_of(graph, nodes, graph.graph.input, (output, kind)))
    return session.run(None, {"numeric": numeric[:9], "categorical": categorical[:9]})[0]


@pytest.mark.parametrize("kind", KINDS)
def test_those_on_the_way_have_the_log_odds_they_have_alone(kind):
    graph = onnx.load_from_string(graph_of(kind))
    prepared_ND = _run(graph, part(graph, PREPARED), PREPARED, TensorProto.FLOAT)
    player_D = np.minimum(np.arange(prepared_ND.shape[1]), 4)
    way = walks(np.random.default_rng(0), int(player_D.max()) + 1, rows=40, most_pairs=3)
    others_KD = prepared_ND[6:][: way.pairs]

    found = _run(graph, on_the_way(graph, way, others_KD, player_D), CALIBRATED, TensorProto.DOUBLE)

    on_way = np.where(way.own_RP[:, player_D], prepared_ND[:, None, :], others_KD[way.other_R])
    alone = log_odds_of(graph)(on_way.reshape(-1, prepared_ND.shape[1]))
    assert found.ravel() == pytest.approx(alone, abs=1e-5)


def test_a_linear_model_needs_one_walk_and_a_small_one_may_take_more():
    rows = {kind: rows_for(onnx.load_from_string(graph_of(kind))) for kind in KINDS}

    assert rows["logistic"] == 1
    assert rows["torch"] == rows["lightgbm"] > 100


def test_the_more_trees_the_fewer_rows():
    graph = onnx.load_from_string(graph_of("lightgbm"))
    (trees,) = (one for one in graph.graph.node if one.op_type == "TreeEnsembleRegressor")
    (numbers,) = (one for one in trees.attribute if one.name == "nodes_treeids")
    numbers.ints[:] = range(len(numbers.ints))

    assert 1 <= rows_for(graph) < 20
