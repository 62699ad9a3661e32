"""A LightGBM booster as one node of tree ensembles.

Thresholds and leaves stay in float64, so every row reaches the very leaves it reaches in LightGBM; only their
sum is handed on as float32.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from onnx import TensorProto, numpy_helper

from churnops.export.graph import Piece, ml_node, node

_ZERO = float(np.float32(1e-35))


@dataclass(frozen=True)
class _Node:
    """A node of one tree by number; a leaf has neither feature nor children, a branch no weight."""

    tree: int
    number: int
    is_leaf: bool
    feature: int = 0
    threshold: float = 0.0
    left: int = 0
    right: int = 0
    missing_left: bool = False
    weight: float = 0.0


def ensemble(booster: lightgbm.Booster) -> Piece:
    """`prepared` [N, D] to `logit` [N, 1]: the sum of the trees' leaves.

    Raises ValueError for splits that float64 comparisons with `<=` cannot express.
    """
    trees = booster.dump_model()["tree_info"]
    nodes = [one for i, tree in enumerate(trees) for one in _nodes(i, tree["tree_structure"])]
    leaves = [one for one in nodes if one.is_leaf]
    regressor = ml_node(
        "TreeEnsembleRegressor",
        "prepared_wide",
        "leaves",
        n_targets=1,
        nodes_treeids=[one.tree for one in nodes],
        nodes_nodeids=[one.number for one in nodes],
        nodes_modes=["LEAF" if one.is_leaf else "BRANCH_LEQ" for one in nodes],
        nodes_featureids=[one.feature for one in nodes],
        nodes_values_as_tensor=_doubles("nodes_values", [one.threshold for one in nodes]),
        nodes_truenodeids=[one.left for one in nodes],
        nodes_falsenodeids=[one.right for one in nodes],
        nodes_missing_value_tracks_true=[int(one.missing_left) for one in nodes],
        target_treeids=[one.tree for one in leaves],
        target_nodeids=[one.number for one in leaves],
        target_ids=[0] * len(leaves),
        target_weights_as_tensor=_doubles("target_weights", [one.weight for one in leaves]),
    )
    widened = node("Cast", "prepared", "prepared_wide", to=TensorProto.DOUBLE)
    return widened + regressor + node("Cast", "leaves", "logit", to=TensorProto.DOUBLE)


def _nodes(tree: int, root: Mapping[str, Any]) -> Iterator[_Node]:
    """The tree's nodes from the root down, numbered as they come to be known."""
    waiting, known = [(0, root)], 1
    while waiting:
        number, dumped = waiting.pop()
        if "split_feature" not in dumped:
            yield _Node(tree, number, True, weight=dumped["leaf_value"])
            continue
        yield _Node(
            tree,
            number,
            False,
            feature=dumped["split_feature"],
            threshold=_threshold(dumped["threshold"]),
            left=known,
            right=known + 1,
            missing_left=_missing_left(dumped),
        )
        waiting += [(known + 1, dumped["right_child"]), (known, dumped["left_child"])]
        known += 2


def _threshold(dumped: float) -> float:
    """For comparing plain numbers: LightGBM first takes all within `_ZERO` of zero for zero."""
    if abs(dumped) > _ZERO:
        return dumped
    return _ZERO if dumped >= 0 else float(np.nextafter(-_ZERO, -np.inf))


def _missing_left(dumped: Mapping[str, Any]) -> bool:
    """Where NaN goes: as the split learnt, or where zero goes if training saw none missing."""
    match dumped["decision_type"], dumped["missing_type"]:
        case "<=", "NaN":
            return bool(dumped["default_left"])
        case "<=", "None":
            return bool(dumped["threshold"] >= 0)
        case split:
            raise ValueError(f"a split of kind {split} has no counterpart in the graph")


def _doubles(name: str, values: list[float]) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.float64), name)
