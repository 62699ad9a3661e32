"""Small things to test with."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from churnops.bundle.bundle import MANIFEST_FILE, Bundle
from churnops.bundle.manifest import InputColumn, Manifest

COLUMNS = (
    InputColumn(
        name="tenure months", kind="numeric", nullable=False, text="Months served.", minimum=0, maximum=72
    ),
    InputColumn(name="spend.30d", kind="numeric", nullable=True, text="Spend.", minimum=-5, maximum=950.25),
    InputColumn(name="class", kind="numeric", nullable=True, text="A flag.", minimum=0, maximum=1),
    InputColumn(name='1st "plan"', kind="categorical", nullable=False, text="Plan.", levels=("basic", "pro")),
    InputColumn(name="city_tier", kind="categorical", nullable=True, text="Tier.", levels=("1", "2", "3")),
)
"""Names as people have them: blanks, dots, quotation marks, a keyword."""

_WIDTH = 512


def make_bundle(inputs: Sequence[InputColumn] = COLUMNS, layers: int = 0, **fields: Any) -> Bundle:
    """A bundle that scores sigmoid(sum of weights * columns): each value, level and absence moves the score.

    So many `layers` change no score and take time, tens of microseconds each. `fields` replace those of the
    manifest.
    """
    model = _graph(inputs, layers).SerializeToString(deterministic=True)
    manifest: dict[str, Any] = {
        "name": "tiny",
        "candidate": "logistic",
        "inputs": tuple(inputs),
        "ignored_columns": ("notes",),
        "threshold": 0.5,
        "shape": "labelled",
        "config_version": 1,
        "horizon_days": None,
        "active_days": None,
        "spans": {"train": ("0", "1"), "test": ("2",)},
        "feature_hash": "f",
        "data_fingerprint": "d",
        "recipe": {},
        "seed": 0,
        "calibration": {},
        "metrics": {},
        "parity": 0.0,
        "findings": (),
        "code_commit": "c",
        "libraries": {},
        "model_sha256": hashlib.sha256(model).hexdigest(),
    }
    return Bundle(Manifest(**(manifest | fields)), model)


def rewrite_manifest(folder: Path, **fields) -> None:
    """Change fields as someone would who also mends the hash."""
    recorded = json.loads((folder / MANIFEST_FILE).read_text())
    recorded.pop("content_hash")
    manifest = Manifest.model_validate(recorded | fields)
    recorded = {"content_hash": manifest.content_hash, **manifest.model_dump(mode="json")}
    (folder / MANIFEST_FILE).write_text(json.dumps(recorded))


def _graph(inputs: Sequence[InputColumn], layers: int) -> ModelProto:
    numeric = [column for column in inputs if column.kind == "numeric"]
    categorical = [column for column in inputs if column.kind == "categorical"]
    nodes: list[NodeProto] = []
    parts: list[str] = []
    feeds, constants = [], [_constant("row", [1], np.int64)]
    if numeric:
        feeds.append(helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", len(numeric)]))
        scales = [max(abs(column.minimum or 0), abs(column.maximum or 0)) or 1 for column in numeric]
        constants += [_constant("absent", [0.25]), _constant("scales", scales)]
        nodes += [
            helper.make_node("Div", ["numeric", "scales"], ["scaled"]),
            helper.make_node("IsNaN", ["numeric"], ["missing"]),
            helper.make_node("Where", ["missing", "absent", "scaled"], ["numbers"]),
        ]
        parts.append("numbers")
    if categorical:
        feeds.append(
            helper.make_tensor_value_info("categorical", TensorProto.STRING, ["N", len(categorical)])
        )
    for j, column in enumerate(categorical):
        levels = ["", *column.levels]
        constants.append(_constant(f"at_{j}", [j], np.int64))
        values = [0.1 * (i - 1) for i in range(len(levels))]
        nodes += [
            helper.make_node("Gather", ["categorical", f"at_{j}"], [f"text_{j}"], axis=1),
            helper.make_node(
                "LabelEncoder",
                [f"text_{j}"],
                [f"level_{j}"],
                domain="ai.onnx.ml",
                keys_strings=levels,
                values_floats=values,
                default_float=-0.7,
            ),
        ]
        parts.append(f"level_{j}")
    weights = [(-1) ** i * (1 + i / 2) for i in range(len(inputs))]
    constants.append(_constant("weights", np.array(weights).reshape(-1, 1)))
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=1),
        helper.make_node("MatMul", ["all", "weights"], ["sums" if layers else "logits"]),
        *(_layers(layers, constants) if layers else ()),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Squeeze", ["scores", "row"], ["score"]),
    ]
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "tiny", feeds, [score], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    checker.check_model(model)
    return model


def _layers(n: int, constants: list[TensorProto]) -> list[NodeProto]:
    """From `sums` to `logits`, which are the same."""
    constants += [
        _constant("wide", np.full((1, _WIDTH), 0.1)),
        _constant("dense", np.full((_WIDTH, _WIDTH), 0.01)),
        _constant("nothing", np.zeros((_WIDTH, 1))),
    ]
    nodes = [helper.make_node("MatMul", ["sums", "wide"], ["hidden_0"])]
    for i in range(n):
        nodes += [
            helper.make_node("MatMul", [f"hidden_{i}", "dense"], [f"product_{i}"]),
            helper.make_node("Tanh", [f"product_{i}"], [f"hidden_{i + 1}"]),
        ]
    return [
        *nodes,
        helper.make_node("MatMul", [f"hidden_{n}", "nothing"], ["zero"]),
        helper.make_node("Add", ["sums", "zero"], ["logits"]),
    ]


def _constant(name: str, values: Any, kind: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=kind), name)
