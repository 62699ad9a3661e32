"""`result.json`: what one run of the whole job found, in numbers. `docs/result.md` is generated from here."""

from typing import Literal

from pydantic import Field

from churnops.bundle.manifest import Metric
from churnops.config import FrozenModel


class RepairDone(FrozenModel):
    """Rows of one source table that broke one rule."""

    table: str
    rule: str
    column: str
    rows: int
    action: str
    examples: tuple[str, ...]


class Sources(FrozenModel):
    """What was read and what was done to it."""

    rows_read: dict[str, int]
    rows_kept: dict[str, int]
    repairs: tuple[RepairDone, ...]
    notes: tuple[str, ...]
    fingerprint: str = Field(description="SHA-256 over the SHA-256 of every source file, in order.")


class HorizonChoice(FrozenModel):
    """One horizon that could have been chosen."""

    horizon_days: int
    returns_ratio: float = Field(description="Of the customers called lost, the share that comes back.")
    lapsed_ratio: float = Field(description="Of all silences, the share that lasts so long.")


class Churn(FrozenModel):
    """Purchases only: who counts as lapsed, beside what the data would propose."""

    horizon_days: int
    active_days: int
    proposed_days: int | None
    choices: tuple[HorizonChoice, ...]


class Span(FrozenModel):
    """Train, validation or test: when, how many rows, how many of them churned."""

    when: tuple[str, ...] = Field(description="The as_of dates, or the folds.")
    rows: int
    customers: int
    churn_rate: float


class FindingMade(FrozenModel):
    """One suspicion of the leakage audit."""

    kind: str
    column: str
    figure: float
    limit: float
    action: Literal["excluded", "grouped", "reported", "allowed"]
    text: str


class FeatureUsed(FrozenModel):
    """One input of the models, and what the chosen one loses without it."""

    name: str
    kind: Literal["numeric", "categorical"]
    text: str
    importance: float = Field(description="Test ROC AUC lost when the column is shuffled among customers.")


class CandidateResult(FrozenModel):
    """One model on the test span."""

    name: str
    validation_auc: float
    metrics: dict[str, Metric]
    gain: dict[str, Metric] = Field(description="Paired difference to the best baseline; empty for itself.")
    epochs: int
    parity: float


class Segment(FrozenModel):
    """The chosen candidate on one slice of the test rows, the oddest first."""

    column: str
    level: str
    rows: int
    churn_rate: float
    mean_score: float
    roc_auc: float
    brier: float
    distance: float


class Registered(FrozenModel):
    """What became of the bundle in the registry."""

    version: int
    run_id: str
    promoted: bool
    reasons: tuple[str, ...]
    champion_version: int | None
    champion_compared: str | None = Field(description="Model version of the champion it was held against.")


class Result(FrozenModel):
    """One run of `churnops run`."""

    schema_version: Literal[1] = 1
    name: str
    shape: Literal["purchases", "labelled"]
    config_version: int
    sources: Sources
    churn: Churn | None
    split: Literal["time", "folds"] = Field(
        description="`folds`: every row is the test once, scored by a model that never saw it or its twins."
    )
    spans: dict[str, Span]
    findings: tuple[FindingMade, ...]
    features: tuple[FeatureUsed, ...]
    candidates: tuple[CandidateResult, ...] = Field(description="Best on the validation span first.")
    chosen: str = Field(description="The candidate in the bundle: best ROC AUC on the validation span.")
    best_baseline: str
    verdict: str = Field(description="One sentence: which candidate won, and whether the network earned it.")
    threshold: float
    slices: tuple[Segment, ...]
    model_version: str
    bundle_hash: str
    registry: Registered
    paths: dict[str, str] = Field(description="Where the bundle, the report and the scores of the test are.")
