"""A result and its predictions as a run on purchases leaves them: made up, seeded, with real metrics."""

from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

from churnops.bundle.manifest import Metric
from churnops.evaluation.intervals import bootstrap, intervals, paired_difference
from churnops.evaluation.slices import slices
from churnops.report.result import (
    CandidateResult,
    Churn,
    FeatureUsed,
    FindingMade,
    HorizonChoice,
    Registered,
    RepairDone,
    Result,
    Segment,
    Sources,
    Span,
)

NOISE = {"lightgbm": 0.7, "torch": 0.72, "logistic": 1.0, "recency": 2.0}
"""How far each candidate is from the truth; the first is chosen, `logistic` the best baseline but it."""


@cache
def predictions(rows: int = 3000) -> pa.Table:
    """Test rows with the calibrated score of every candidate."""
    rng = np.random.default_rng(7)
    risk = rng.normal(-0.6, 1.6, rows)
    scores = {name: expit(_shrunk(risk + rng.normal(0, noise, rows), noise)) for name, noise in NOISE.items()}
    return pa.table(
        {
            "customer_id": [f"c{n:06}" for n in range(rows)],
            "as_of": np.full(rows, np.datetime64("2024-04-01", "us")),
            "churned": rng.random(rows) < expit(risk),
            **scores,
        }
    )


def result(**changes: Any) -> Result:
    """The result of `predictions()`; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "name": "shop",
        "shape": "purchases",
        "config_version": 2,
        "sources": SOURCES,
        "churn": CHURN,
        "split": "time",
        "spans": SPANS,
        "findings": (FINDING,),
        "features": features(28),
        "candidates": candidates(),
        "chosen": "lightgbm",
        "best_baseline": "lightgbm",
        "verdict": VERDICT,
        "threshold": 0.62,
        "slices": segments(),
        "model_version": "shop-0123456789ab",
        "bundle_hash": "0123456789ab" + "cd" * 26,
        "registry": Registered(
            version=4,
            run_id="9f2c",
            promoted=False,
            reasons=("gain over champion shop-aa: ROC AUC +0.0021 [-0.0040, +0.0083], not above 0",),
            champion_version=3,
            champion_compared="shop-aa",
        ),
        "paths": {"bundle": "var/runs/shop/bundle", "predictions": "var/runs/shop/predictions.parquet"},
    }
    return Result(**(fields | changes))


VERDICT = (
    "lightgbm is the best candidate: test ROC AUC 0.799 [0.780, 0.813].",
    "The network (torch) does not beat the best baseline beyond chance: -0.004 [-0.011, +0.007] ROC AUC "
    "against lightgbm.",
)
SOURCES = Sources(
    rows_read={"customers": 20_140, "transactions": 412_733},
    rows_kept={"customers": 20_000, "transactions": 411_020},
    repairs=(
        RepairDone(
            table="transactions",
            rule="bad_dates",
            column="date",
            rows=1713,
            action="dropped",
            examples=("orders.csv row 17: date='31/31/2020'", "orders.csv row 44: date='unknown'"),
        ),
        RepairDone(table="customers", rule="duplicates", column="", rows=140, action="dropped", examples=()),
    ),
    notes=("412 customers never bought anything and are not asked about.",),
    fingerprint="fe" * 32,
)
CHURN = Churn(
    horizon_days=90,
    active_days=182,
    proposed_days=84,
    choices=tuple(
        HorizonChoice(
            horizon_days=days, returns_ratio=0.9 * 0.98**days, lapsed_ratio=0.25 + 0.6 * 0.985**days
        )
        for days in (7, 14, 28, 30, 42, 56, 60, 84, 90, 112, 140, 180)
    ),
)
SPANS = {
    "train": Span(
        when=("2023-07-08", "2023-08-05", "2023-09-02", "2023-10-03"),
        rows=11_200,
        customers=4100,
        churn_rate=0.38,
    ),
    "validation": Span(when=("2024-01-01",), rows=2900, customers=2900, churn_rate=0.39),
    "test": Span(when=("2024-04-01",), rows=3000, customers=3000, churn_rate=0.4),
}
FINDING = FindingMade(
    kind="decides_label",
    column="closed_on",
    figure=0.991,
    limit=0.88,
    action="excluded",
    text="closed_on: alone it ranks customers with AUC 0.991; what is known in time is never so sure",
)


def features(n: int) -> tuple[FeatureUsed, ...]:
    """The first matter most, the last not at all."""
    return tuple(
        FeatureUsed(
            name=f"orders_{30 * (i + 1)}d",
            kind="numeric",
            text=f"Orders in the last {30 * (i + 1)} days",
            importance=round(0.09 * 0.75**i - 0.0005, 5),
        )
        for i in range(n)
    )


@cache
def candidates() -> tuple[CandidateResult, ...]:
    """Every candidate with its metrics on `predictions()`."""
    table = predictions()
    scores = {name: table[name].to_numpy() for name in NOISE}
    drawn = bootstrap(table["churned"].to_numpy(), scores, groups=np.arange(table.num_rows), resamples=60)
    return tuple(
        CandidateResult(
            name=name,
            validation_auc=by_metric["roc_auc"].value + 0.004,
            metrics={metric: Metric(**asdict(one)) for metric, one in by_metric.items()},
            gain=_gain(paired_difference(drawn, name, "lightgbm")) if name != "lightgbm" else {},
            epochs=12,
            parity=3.1e-8,
        )
        for name, by_metric in intervals(drawn).items()
    )


@cache
def segments() -> tuple[Segment, ...]:
    """Slices by a made-up country and spend."""
    table, rng = predictions(), np.random.default_rng(8)
    country = rng.choice(np.array(["DE", "FR", "PL", "it's <b>"], dtype=object), table.num_rows)
    found = slices(
        table["churned"].to_numpy(),
        table["lightgbm"].to_numpy(),
        categorical={"country": country},
        numeric={f"spend_{n}d": rng.gamma(2.0, 40.0, table.num_rows) for n in (30, 90, 365)},
    )
    return tuple(
        Segment(**{field: value for field, value in asdict(one).items() if field != "calibration_gap"})
        for one in found
    )


def _gain(by_metric: Any) -> dict[str, Metric]:
    return {metric: Metric(**asdict(one)) for metric, one in by_metric.items()}


def _shrunk(logit: np.ndarray, noise: float) -> np.ndarray:
    """The risk to expect given a noisy look at it, so that scores are calibrated, about."""
    kept = 1.6**2 / (1.6**2 + noise**2)
    return kept * logit - 0.6 * (1.0 - kept)
