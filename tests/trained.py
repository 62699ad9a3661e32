"""Each kind of model, fitted on made-up customers, with its graph and its bundle."""

import functools
import hashlib

from builders import make_bundle
from customers import COLUMNS, make_customers

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import InputColumn
from churnops.evaluation.calibration import Platt
from churnops.export.onnx import to_onnx
from churnops.jobs.steps.reasons import with_reasons
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


def bundle_around(graph, columns=COLUMNS):
    """A bundle of `graph`, without reasons; every column may be missing."""
    kinds = {"numeric": columns.numeric, "categorical": columns.categorical}
    inputs = [
        InputColumn(name=name, kind=kind, nullable=True, text=f"The {name}")
        for kind, names in kinds.items()
        for name in names
    ]
    return Bundle(make_bundle(inputs, model_sha256=hashlib.sha256(graph).hexdigest()).manifest, graph)


def sample(columns=COLUMNS):
    """What reasons are against."""
    rows = make_customers(300, columns, seed=2)
    return rows.numeric_NF, rows.categorical_NC


@functools.cache
def explained(kind, columns=COLUMNS):
    """A bundle of the graph, with reasons."""
    return with_reasons(bundle_around(graph_of(kind, columns), columns), sample(columns))


def scores(model, rows):
    """What the framework says."""
    return PLATT.apply(model.logits(rows))
