"""A trained model, with its preprocessing and its calibration, as one ONNX graph."""

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from churnops.evaluation.calibration import Platt
from churnops.export.bgnbd import bgnbd_nodes
from churnops.export.front import encoded, preprocessed
from churnops.export.graph import CALIBRATED, Piece, constant, joined, model_bytes, node
from churnops.export.trees import ensemble
from churnops.training.baselines import Boosted, Linear
from churnops.training.bgnbd import COLUMNS as BGNBD_COLUMNS
from churnops.training.bgnbd import BgNbd
from churnops.training.dataset import Columns

if TYPE_CHECKING:  # a process that exports a baseline needs no framework
    from churnops.training.keras_mlp import KerasMlp
    from churnops.training.torch_mlp import TorchMlp


def to_onnx(model: "TorchMlp | KerasMlp | Linear | Boosted | BgNbd", columns: Columns, platt: Platt) -> bytes:
    """A graph from raw rows to calibrated scores.

    Takes `numeric` [N, F] float32 (NaN: missing) and `categorical` [N, C] text ('' : missing), each left out
    when `columns` has none, gives `score` [N] float32. The model may use fewer columns than there are. Equal
    models give equal bytes.
    """
    match model:
        case Boosted():
            body = encoded(model.encoding, columns) + ensemble(model.booster)
            prepared = model.encoding.columns
        case BgNbd():
            body = bgnbd_nodes(model, columns)
            prepared = BGNBD_COLUMNS
        case Linear():
            body = preprocessed(model.preprocessing, columns) + _linear(model)
            prepared = model.preprocessing.columns
        case _:
            body = preprocessed(model.preprocessing, columns) + _network(model)
            prepared = model.preprocessing.columns
    return model_bytes(body + _calibrated(platt), columns, prepared)


def _network(model: "TorchMlp | KerasMlp") -> Piece:
    """Imports the framework that made it, which is there already."""
    match model.framework:
        case "torch":
            from churnops.export.torch_network import network_nodes
        case "tensorflow":
            from churnops.export.keras_network import network_nodes
    return network_nodes(model.network, model.preprocessing.width)


def _linear(model: Linear) -> Piece:
    """In float64, as the model itself: a sum of large terms that cancel keeps its digits."""
    pieces = [
        constant("weight", np.reshape(model.weight_D, (-1, 1)), np.float64),
        constant("bias", [model.intercept], np.float64),
        node("Cast", "prepared", "prepared_wide", to=TensorProto.DOUBLE),
        node("MatMul", "prepared_wide weight", "weighted"),
        node("Add", "weighted bias", "logit"),
    ]
    return joined(pieces)


def _calibrated(platt: Platt) -> Piece:
    """`logit` [N, 1] float64 to `score` [N] float32."""
    pieces = [
        constant("slope", platt.slope, np.float64),
        constant("intercept", platt.intercept, np.float64),
        constant("last_axis", [1], np.int64),
        node("Mul", "logit slope", "tilted"),
        node("Add", "tilted intercept", CALIBRATED),
        node("Sigmoid", CALIBRATED, "probability"),
        node("Squeeze", "probability last_axis", "probabilities"),
        node("Cast", "probabilities", "score", to=TensorProto.FLOAT),
    ]
    return joined(pieces)
