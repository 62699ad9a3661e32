"""Writes what the servers answer with into a folder.

    python -m servers.models FOLDER

`bundle`: 15 numbers, 5 categories, the default network. `plain.onnx`: a network of the same layers that takes
20 numbers, which is what the others know to feed. `mlflow`: the same as a model of MLflow. `many.json` and
`many.arrow`: 1,000 customers; `more.arrow`: 10,000.
"""

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from churnops.bundle.bundle import Bundle, write_bundle
from churnops.bundle.manifest import InputColumn, Manifest
from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.jobs.steps.reasons import with_reasons
from churnops.training.candidates import fit
from churnops.training.dataset import Columns, Rows
from churnops.training.recipe import Recipe, Schedule
from servers import LEVELS, NUMERIC

_ROWS = 4_000
_MANY = 1_000
_SAMPLED = 2048  # customers whom reasons compare with


def main() -> None:
    """All three, from one seed; how good they are does not matter here."""
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(0)
    train, validation = (_made_up(rng, rows) for rows in (_ROWS, _ROWS // 4))
    recipe = Recipe(schedule=Schedule(max_epochs=1))
    fitted = fit("torch", train, validation, recipe, on_epoch=lambda _: None)
    model = to_onnx(fitted.model, train.columns, Platt(1.0, 0.0))
    bundle = Bundle(_manifest(train, hashlib.sha256(model).hexdigest()), model)
    sample = train.take(np.arange(_SAMPLED))
    write_bundle(with_reasons(bundle, (sample.numeric_NF, sample.categorical_NC)), folder / "bundle")
    _write_many(train.take(np.arange(_MANY)), folder)
    plain = _plain(rng)
    onnx.save(plain, folder / "plain.onnx")
    mlflow.onnx.save_model(
        plain,
        folder / "mlflow",
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
        pip_requirements=["onnxruntime"],
    )


def _write_many(rows: Rows, folder: Path) -> None:
    """As a list of customers, and as a table."""
    columns = dict(zip(rows.columns.numeric, rows.numeric_NF.T.astype(float), strict=True))
    columns |= dict(zip(rows.columns.categorical, rows.categorical_NC.T, strict=True))
    table = pa.table(
        {"customer_id": [f"c-{i}" for i in range(len(rows))]}
        | {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    )
    (folder / "many.json").write_text(json.dumps({"customers": table.to_pylist()}))
    for name, times in (("many", 1), ("more", 10)):
        with pa.ipc.new_stream(folder / f"{name}.arrow", table.schema) as writer:
            writer.write_table(pa.concat_tables([table] * times).combine_chunks())


def _plain(rng: np.random.Generator) -> onnx.ModelProto:
    sizes = [20, 128, 64, 1]
    nodes, weights, last = [], [], "numbers"
    for i, (before, after) in enumerate(pairwise(sizes)):
        drawn = rng.normal(0.0, before**-0.5, (before, after)).astype(np.float32)
        weights += [
            numpy_helper.from_array(drawn, f"w{i}"),
            numpy_helper.from_array(np.zeros(after, np.float32), f"b{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"sum{i}"]))
        last = "score" if after == 1 else f"layer{i}"
        nodes.append(helper.make_node("Sigmoid" if after == 1 else "Relu", [f"sum{i}"], [last]))
    numbers, score = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in (("numbers", sizes[0]), ("score", 1))
    )
    graph = helper.make_graph(nodes, "plain", [numbers], [score], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _made_up(rng: np.random.Generator, rows: int) -> Rows:
    numeric_NF = rng.gamma(2.0, 30.0, (rows, len(NUMERIC))).astype(np.float32)
    numeric_NF[rng.random(numeric_NF.shape) < 0.02] = np.nan
    categorical_NC = np.stack([rng.choice(levels, rows) for levels in LEVELS.values()], axis=1).astype(object)
    return Rows(
        Columns(NUMERIC, tuple(LEVELS)),
        numeric_NF,
        categorical_NC,
        churned_N=rng.random(rows) < 0.2,
        customer_id_N=np.arange(rows).astype(str).astype(object),
        as_of_N=np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]"),
    )


def _manifest(rows: Rows, model_sha256: str) -> Manifest:
    ranges = zip(NUMERIC, np.nanmin(rows.numeric_NF, axis=0), np.nanmax(rows.numeric_NF, axis=0), strict=True)
    numbers = [
        InputColumn(name=name, kind="numeric", nullable=True, text=name, minimum=low, maximum=high)
        for name, low, high in ranges
    ]
    categories = [
        InputColumn(name=name, kind="categorical", nullable=True, text=name, levels=levels)
        for name, levels in LEVELS.items()
    ]
    return Manifest(
        name="benchmark",
        inputs=(*numbers, *categories),
        shape="labelled",
        config_version=1,
        horizon_days=None,
        active_days=None,
        spans={},
        feature_hash="",
        data_fingerprint="",
        findings=(),
        candidate="torch",
        threshold=0.5,
        recipe={},
        seed=0,
        calibration={},
        metrics={},
        parity=0.0,
        code_commit="",
        libraries={},
        model_sha256=model_sha256,
    )


if __name__ == "__main__":
    main()
