"""Each kind of model, fitted on made-up customers, with its graph."""

import functools

from customers import COLUMNS, make_customers

from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.training.candidates import fit
from churnops.training.recipe import Boosting, Recipe, Schedule

KINDS = ("recency", "logistic", "lightgbm", "torch")
PLATT = Platt(slope=1.7, intercept=-0.6)

_RECIPE = Recipe(schedule=Schedule(max_epochs=3), boosting=Boosting(max_trees=30, least_leaf_rows=5))


@functools.cache
def trained(kind, columns=COLUMNS):
    """The model of the candidate `kind`. Cached, like its graph: torch takes seconds over an export."""
    train, validation = make_customers(600, columns), make_customers(300, columns, seed=1)
    return fit(kind, train, validation, _RECIPE, on_epoch=lambda _: None).model


@functools.cache
def graph_of(kind, columns=COLUMNS):
    """Its graph, calibrated by `PLATT`."""
    return to_onnx(trained(kind, columns), columns, PLATT)


def scores(model, rows):
    """What the framework says."""
    return PLATT.apply(model.logits(rows))
