"""`result.json`: what one run of the whole job found, in numbers. `docs/result.md` is generated from here."""

from typing import Literal

from pydantic import Field

from churnops.bundle.manifest import Metric
from churnops.config import FrozenModel


class RepairDone(FrozenModel):
    """Rows of one source table that broke one rule."""

    table: str
    rule: str = Field(description="A field of the config's `repairs`, `cancelled`, or `empty_file`.")
    column: str = Field(
        description="The column of the source file; empty where the fault is of the whole row."
    )
    rows: int = Field(description="Of `damaged_file` and `empty_file`, files.")
    action: str = Field(description="`dropped`, `kept` or `made missing`.")
    examples: tuple[str, ...] = Field(description="A few of them, with file, row and value.")


class Sources(FrozenModel):
    """What was read and what was done to it."""

    rows_read: dict[str, int] = Field(description="By table.")
    rows_kept: dict[str, int] = Field(description="By table: the rows that are left after the repairs.")
    repairs: tuple[RepairDone, ...]
    notes: tuple[str, ...] = Field(description="What was seen and left as it is, in sentences.")
    fingerprint: str = Field(description="SHA-256 over the SHA-256 of every source file, in order.")


class HorizonChoice(FrozenModel):
    """One horizon that could have been chosen."""

    horizon_days: int
    returns_ratio: float = Field(description="Of the customers called lost, the share that comes back.")
    lapsed_ratio: float = Field(description="Of all silences, the share that lasts so long.")


class Churn(FrozenModel):
    """Purchases only: who counts as lapsed, beside what the data would propose."""

    horizon_days: int = Field(description="Who buys nothing for so long has lapsed.")
    active_days: int = Field(description="Only who bought within so long before `as_of` is asked about.")
    proposed_days: int | None = Field(description="Null: the history is too short to propose any.")
    choices: tuple[HorizonChoice, ...] = Field(description="The shortest first.")


class Span(FrozenModel):
    """Train, validation or test: when, how many rows, how many of them churned."""

    when: tuple[str, ...] = Field(description="The as_of dates, or the folds.")
    rows: int
    customers: int
    churn_rate: float


class FindingMade(FrozenModel):
    """One suspicion of the leakage audit."""

    kind: str = Field(description="Which rule found it.")
    column: str = Field(description="Empty where it concerns the rows or the test figure.")
    figure: float = Field(description="What was measured, in the rule's own unit.")
    limit: float = Field(description="What the figure passed.")
    action: Literal["excluded", "grouped", "reported", "allowed"]
    text: str = Field(description="The suspicion in one sentence.")


class FeatureUsed(FrozenModel):
    """One input of the models, and what the chosen one loses without it."""

    name: str
    kind: Literal["numeric", "categorical"]
    text: str = Field(description="What it is, in words.")
    importance: float = Field(description="Test ROC AUC lost when the column is shuffled among customers.")


class CandidateResult(FrozenModel):
    """One model on the test span."""

    name: str
    validation_auc: float = Field(description="By folds: the mean over the rounds.")
    metrics: dict[str, Metric] = Field(description="On the test, each with its 95 % bootstrap interval.")
    gain: dict[str, Metric] = Field(description="Paired difference to the best baseline; empty for itself.")
    epochs: int = Field(
        description="Of the fit in the bundle; 0 for a model that is not fitted step by step."
    )
    parity: float = Field(description="The largest difference between its ONNX graph and itself on the test.")


class Segment(FrozenModel):
    """The chosen candidate on one slice of the test rows, the oddest first."""

    column: str
    level: str = Field(description="The category, or a range of the numbers.")
    rows: int
    churn_rate: float
    mean_score: float
    roc_auc: float
    brier: float
    distance: float = Field(
        description="From all rows, in standard errors: of ROC AUC or of calibration, the larger."
    )


class Equivalence(FrozenModel):
    """PyTorch's and TensorFlow's network, held against each other."""

    loss: float = Field(
        description="Same first weights and batches, no dropout, one epoch: how far the losses differ."
    )
    score: float = Field(description="The same: the largest difference of a validation row's score.")
    gain: dict[str, Metric] = Field(
        description="As trained, each with dropout of its own: PyTorch's test figures minus TensorFlow's."
    )


class Registered(FrozenModel):
    """What became of the bundle in the registry."""

    version: int = Field(description="The number of the model version.")
    run_id: str = Field(description="The MLflow run that holds the comparison.")
    promoted: bool = Field(description="Whether the version is the champion now.")
    reasons: tuple[str, ...] = Field(description="Why not: every gate that failed.")
    champion_version: int | None = Field(description="The version that serves now.")
    champion_compared: str | None = Field(description="Model version of the champion it was held against.")


class Result(FrozenModel):
    """One run of `churnops run`."""

    schema_version: Literal[1] = 1
    name: str = Field(description="The name of the data config.")
    shape: Literal["purchases", "labelled"]
    config_version: int
    sources: Sources
    churn: Churn | None = Field(description="Null for labelled tables.")
    split: Literal["time", "folds"] = Field(
        description="`folds`: every row is the test once, scored by a model that never saw it or its twins."
    )
    spans: dict[str, Span] = Field(description="`train`, `validation`, `test`.")
    findings: tuple[FindingMade, ...] = Field(description="What the leakage audit suspects; empty: nothing.")
    features: tuple[FeatureUsed, ...]
    candidates: tuple[CandidateResult, ...] = Field(description="Best on the validation span first.")
    chosen: str = Field(description="The candidate in the bundle: best ROC AUC on the validation span.")
    best_baseline: str = Field(description="The baseline with the best ROC AUC on the validation span.")
    verdict: tuple[str, ...] = Field(
        description="In sentences: which candidate won, whether the network earned its place, what to doubt."
    )
    threshold: float = Field(description="The score from which on the bundle says `churn`.")
    slices: tuple[Segment, ...]
    equivalence: Equivalence | None = Field(default=None, description="Null unless both networks competed.")
    model_version: str = Field(description="The config's name and the first digits of the bundle's hash.")
    bundle_hash: str = Field(description="SHA-256 over graph and manifest: equal for equal bundles.")
    registry: Registered
    paths: dict[str, str] = Field(description="Where the bundle, the report and the scores of the test are.")
