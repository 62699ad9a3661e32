"""Which models compete, by name; a framework is imported when its candidate is fitted."""

from typing import Literal

from churnops.training.dataset import Rows
from churnops.training.fit import Fit, OnEpoch
from churnops.training.recipe import Recipe

NETWORKS = ("mlp",)
"""Candidates that have to earn their place; the others are baselines."""


def one_column(shape: Literal["purchases", "labelled"]) -> str:
    """The candidate that looks at one column only."""
    return "recency" if shape == "purchases" else "single_column"


def candidates_of(shape: Literal["purchases", "labelled"]) -> tuple[str, ...]:
    """All candidates, the quickest first."""
    return (one_column(shape), "logistic", "lightgbm", *NETWORKS)


def fit(name: str, train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """Fit the candidate `name`; raises ValueError where there is none, and NotEnoughData."""
    match name:
        case "mlp":
            from churnops.training import torch_mlp

            return torch_mlp.fit(train, validation, recipe, on_epoch=on_epoch)
        case "lightgbm":
            from churnops.training import baselines

            return baselines.fit_boosting(train, validation, recipe, on_epoch=on_epoch)
        case "logistic":
            from churnops.training import baselines

            return baselines.fit_logistic(train, validation, recipe, on_epoch=on_epoch)
        case "recency" | "single_column":
            from churnops.training import baselines

            return baselines.fit_one_column(train, validation, recipe, on_epoch=on_epoch)
        case _:
            raise ValueError(f"no candidate is called {name}")
