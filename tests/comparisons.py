"""Comparisons to record."""

import datetime as dt
from pathlib import Path
from typing import Any

from builders import make_bundle

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import Metric
from churnops.registry.promotion import Evidence
from churnops.registry.tracking import CandidateRun, Comparison

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


def make_comparison(folder: Path, threshold: float = 0.5, **fields: Any) -> Comparison:
    """Two candidates, for the data config named like `folder`; another threshold is another bundle."""
    bundle = make_bundle(name=folder.name, candidate="torch", threshold=threshold, data_fingerprint="d" * 64)
    plot = folder / "roc.svg"
    plot.write_text("<svg/>")
    given: dict[str, Any] = {
        "key": f"{folder.name}-{threshold}",
        "at": NOON,
        "params": {"seed": 7, "spans": {"train": ["2024-01-01"], "test": ["2024-04-01"]}},
        "data_source": "orders.csv",
        "candidates": (
            CandidateRun("recency", {}, metrics={"roc_auc": Metric(value=0.7, low=0.6, high=0.8)}),
            CandidateRun(
                "torch",
                {"schedule": {"epochs": 2, "rate": 1e-3}, "hidden": (128, 64), "framework": "torch"},
                history=({"loss": 0.6, "auc": 0.7}, {"loss": 0.5, "auc": 0.8}),
                metrics={"roc_auc": Metric(value=0.84, low=0.8, high=0.88)},
                files=(plot,),
            ),
        ),
        "bundle": write_bundle(bundle, folder / f"bundle {threshold}"),
        "evidence": good_evidence(),
        "files": (plot,),
    }
    return Comparison(**(given | fields))


def good_evidence(**changes: Any) -> Evidence:
    """Evidence that passes every gate, for the first champion."""
    good: dict[str, Any] = {
        "candidate": "torch",
        "gain_over_recency": Metric(value=0.05, low=0.03, high=0.07),
        "calibration_error": 0.02,
        "parity": 1e-7,
        "labels_mature": True,
        "open_findings": (),
    }
    return Evidence(**(good | changes))
