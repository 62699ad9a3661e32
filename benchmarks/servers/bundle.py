"""Writes the bundle that all servers answer with: 15 numbers, 5 categories, the default network.

python -m servers.bundle FOLDER
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from churnops.bundle.bundle import Bundle, write_bundle
from churnops.bundle.manifest import InputColumn, Manifest
from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.training.candidates import fit
from churnops.training.dataset import Columns, Rows
from churnops.training.recipe import Recipe, Schedule

NUMERIC = tuple(f"amount_{i}" for i in range(15))
LEVELS = {
    "plan": ("basic", "plus", "pro"),
    "city": tuple(f"city {i}" for i in range(12)),
    "channel": ("mail", "phone", "shop", "web"),
    "device": ("phone", "tablet", "desktop"),
    "currency": ("EUR", "GBP", "USD"),
}
_ROWS = 4_000


def main() -> None:
    """One epoch: how good the model is does not matter here."""
    rng = np.random.default_rng(0)
    train, validation = (_made_up(rng, rows) for rows in (_ROWS, _ROWS // 4))
    recipe = Recipe(schedule=Schedule(max_epochs=1))
    fitted = fit("torch", train, validation, recipe, on_epoch=lambda _: None)
    model = to_onnx(fitted.model, train.columns, Platt(1.0, 0.0))
    write_bundle(Bundle(_manifest(train, hashlib.sha256(model).hexdigest()), model), Path(sys.argv[1]))


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
