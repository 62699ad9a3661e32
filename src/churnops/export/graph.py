"""Pieces of an ONNX graph, and how they become one model.

Shapes: N rows, F numeric and C categorical columns, D prepared inputs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, checker, compose, helper, numpy_helper

from churnops.training.dataset import Columns

# Those of what PyTorch exports, and the first in which tree ensembles hold float64.
OPSETS = {"": 18, "ai.onnx.ml": 3}
_IR_VERSION = 10

PREPARED = "prepared"
"""The tensor [N, D] between the preparation of a row and the model itself."""
CALIBRATED = "calibrated"
"""The tensor [N, 1] of calibrated log-odds in float64."""


@dataclass(frozen=True)
class Piece:
    """Nodes in the order they run, and the constants they read. Pieces meet by the names of their tensors."""

    nodes: tuple[NodeProto, ...] = ()
    constants: tuple[TensorProto, ...] = ()

    def __add__(self, after: "Piece") -> "Piece":
        return Piece((*self.nodes, *after.nodes), (*self.constants, *after.constants))


def node(op: str, inputs: str, output: str, **attributes: Any) -> Piece:
    """One operator of standard ONNX; `inputs` are separated by blanks."""
    return Piece((helper.make_node(op, inputs.split(), [output], name=output, **attributes),))


def ml_node(op: str, inputs: str, output: str, **attributes: Any) -> Piece:
    """One operator of ONNX's classical machine learning."""
    return node(op, inputs, output, domain="ai.onnx.ml", **attributes)


def constant(name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> Piece:
    """One constant, stored in the file."""
    return Piece(constants=(numpy_helper.from_array(np.asarray(values, dtype=dtype), name),))


def joined(pieces: Iterable[Piece]) -> Piece:
    """All of them, in order."""
    return sum(pieces, Piece())


def network_piece(graph: GraphProto) -> Piece:
    """An exporter's nodes under names of their own, without stack traces, which hold paths of this machine.

    Its input and its output keep their names.
    """
    named = compose.add_prefix_graph(graph, "network/", rename_inputs=False, rename_outputs=False)
    nodes = []
    for exported in named.node:
        exported.ClearField("metadata_props")
        exported.ClearField("doc_string")
        nodes.append(exported)
    return Piece(tuple(nodes), tuple(named.initializer))


def model_bytes(whole: Piece, columns: Columns, prepared: Sequence[str]) -> bytes:
    """The checked model around `whole`, which makes `score` [N] of `numeric` and `categorical`.

    Equal models give equal bytes. The column names travel along as metadata: JSON lists of those of either
    matrix, and of the one each of the D `prepared` inputs is made of.
    """
    numeric = helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", len(columns.numeric)])
    categorical = helper.make_tensor_value_info(
        "categorical", TensorProto.STRING, ["N", len(columns.categorical)]
    )
    inputs = [numeric] * bool(columns.numeric) + [categorical] * bool(columns.categorical)
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    model: ModelProto = helper.make_model(
        helper.make_graph(whole.nodes, "churn", inputs, [score], whole.constants),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
        ir_version=_IR_VERSION,
        producer_name="churnops",
    )
    names = {"numeric": columns.numeric, "categorical": columns.categorical, PREPARED: prepared}
    helper.set_model_props(
        model, {key: json.dumps(value, ensure_ascii=False) for key, value in names.items()}
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
