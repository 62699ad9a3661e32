"""Each kind of model, fitted on made-up customers, with its graph."""

import functools

from customers import COLUMNS, make_customers

from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.training.candidates import fit
from churnops.training.recipe import Boosting, Network, Recipe, Schedule

KINDS = ("recency", "logistic", "lightgbm", "torch", "tabm")
PLATT = Platt(slope=1.7, intercept=-0.6)

_RECIPE = Recipe(schedule=Schedule(max_epochs=3), boosting=Boosting(max_trees=30, least_leaf_rows=5))
_TABM = Recipe(
    network=Network(hidden=(32, 16), members=3, shared=True, bins=6), schedule=Schedule(max_epochs=3)
)


@functools.cache
def trained(kind, columns=COLUMNS):
    """The model of the candidate `kind`; `tabm` is torch with members that share, and bins. Cached, like its
    graph: torch takes seconds over an export."""
    train, validation = make_customers(600, columns), make_customers(300, columns, seed=1)
    name, recipe = ("torch", _TABM) if kind == "tabm" else (kind, _RECIPE)
    return fit(name, train, validation, recipe, on_epoch=lambda _: None).model


@functools.cache
def graph_of(kind, columns=COLUMNS):
    """Its graph, calibrated by `PLATT`."""
    return to_onnx(trained(kind, columns), columns, PLATT)


def scores(model, rows):
    """What the framework says."""
    return PLATT.apply(model.logits(rows))
