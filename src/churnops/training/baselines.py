"""What the network must beat: one column, a logistic regression, boosted trees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from churnops.evaluation.metrics import auc_of
from churnops.training.dataset import Rows
from churnops.training.fit import Epoch, Fit, OnEpoch, census
from churnops.training.preprocessing import Preprocessing, TreeEncoding, fit_encoding, fit_preprocessing
from churnops.training.recipe import Boosting, Recipe

RECENCY = "recency_days"
_STEPS = 2000
_TOLD_TREES = 50  # one line for so many
_MANY_ROWS = 200_000  # below, a second thread waits longer than it works


@dataclass(frozen=True)
class Linear:
    """A weighted sum of the prepared inputs."""

    preprocessing: Preprocessing
    weight_D: npt.NDArray[np.float64]
    intercept: float

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = self.preprocessing.apply(rows).astype(np.float64)
        return np.asarray(x_ND @ self.weight_D + self.intercept)


@dataclass(frozen=True)
class Boosted:
    """Trees over raw numbers and levels."""

    encoding: TreeEncoding
    booster: lgb.Booster

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = self.encoding.apply(rows)
        return np.asarray(self.booster.predict(x_ND, raw_score=True), dtype=np.float64)


def fit_logistic(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """Logistic regression on all columns; `validation` and `on_epoch` have no part in it."""
    del validation, on_epoch
    census(train, "train")
    return Fit(_linear(fit_preprocessing(train), train, recipe))


def fit_one_column(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """Logistic regression on `RECENCY`; in a table without it, on the column that does best on `train`."""
    del validation, on_epoch
    census(train, "train")
    whole = fit_preprocessing(train)
    if RECENCY in train.columns.numeric:
        return Fit(_linear(_only(whole, RECENCY), train, recipe))
    models = [
        _linear(_only(whole, name), train, recipe)
        for name in (*train.columns.numeric, *train.columns.categorical)
    ]
    return Fit(max(models, key=lambda model: auc_of(train.churned_N, model.logits(train))))


def fit_boosting(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """LightGBM, stopped by the log loss on `validation`.

    Deterministic, and the same on any number of cores. Raises NotEnoughData where either span lacks customers
    who left or who stayed.
    """
    census(train, "train")
    census(validation, "validation")
    encoding, settings = fit_encoding(train), recipe.boosting
    data = lgb.Dataset(encoding.apply(train), train.churned_N, free_raw_data=True)
    watched = data.create_valid(encoding.apply(validation), validation.churned_N)
    losses: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(
        _parameters(settings, rows=len(train), seed=recipe.seed),
        data,
        num_boost_round=settings.max_trees,
        valid_sets=[data, watched],
        valid_names=["train", "validation"],
        callbacks=[
            lgb.early_stopping(settings.patience, first_metric_only=True, verbose=False),
            lgb.record_evaluation(losses),
            _teller(on_epoch),
        ],
    )
    best = lgb.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return Fit(Boosted(encoding, best), _history(losses))


def _linear(preprocessing: Preprocessing, train: Rows, recipe: Recipe) -> Linear:
    x_ND = preprocessing.apply(train).astype(np.float64)
    fitted = LogisticRegression(C=recipe.logistic.c, max_iter=_STEPS).fit(x_ND, train.churned_N)
    return Linear(preprocessing, fitted.coef_[0], float(fitted.intercept_[0]))


def _only(preprocessing: Preprocessing, name: str) -> Preprocessing:
    return Preprocessing(
        tuple(number for number in preprocessing.numeric if number.name == name),
        tuple(category for category in preprocessing.categorical if category.name == name),
    )


def _parameters(settings: Boosting, *, rows: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": max(1, min(settings.least_leaf_rows, rows // 50)),
        "feature_fraction": settings.column_share,
        "bagging_fraction": settings.row_share,
        "bagging_freq": 1,
        "lambda_l2": settings.l2,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if rows < _MANY_ROWS else 0,
        "verbosity": -1,
    }


def _teller(on_epoch: OnEpoch) -> Callable[[lgb.callback.CallbackEnv], None]:
    def tell(trees: lgb.callback.CallbackEnv) -> None:
        if (trees.iteration + 1) % _TOLD_TREES == 0:
            losses = {f"{span}_loss": loss for span, _, loss, *_ in trees.evaluation_result_list or ()}
            on_epoch(Epoch(trees.iteration + 1, losses))

    return tell


def _history(losses: dict[str, dict[str, list[float]]]) -> tuple[Epoch, ...]:
    """One entry per tree."""
    both = zip(losses["train"]["binary_logloss"], losses["validation"]["binary_logloss"], strict=True)
    return tuple(
        Epoch(i, {"train_loss": train, "validation_loss": validation})
        for i, (train, validation) in enumerate(both, 1)
    )
