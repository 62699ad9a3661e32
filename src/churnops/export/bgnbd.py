"""BG/NBD as nodes, in float64: `training.bgnbd.histories` and `silence_logit` as a graph."""

import numpy as np
from onnx import TensorProto

from churnops.export.front import picked
from churnops.export.graph import PREPARED, Piece, constant, joined, node
from churnops.training.bgnbd import COLUMNS, LIMIT, LONGEST_DAYS, MOST_ORDERS, BgNbd
from churnops.training.dataset import Columns


def bgnbd_nodes(model: BgNbd, columns: Columns) -> Piece:
    """`numeric` [N, F] to `logit` [N, 1]."""
    return _histories(model, columns) + _silence_logit(model)


def _histories(model: BgNbd, columns: Columns) -> Piece:
    """`x`, `last` and `age`, each [N, 1]."""
    pieces = [
        picked("numeric", PREPARED, COLUMNS, columns.numeric),
        constant("fill", model.fill, np.float64),
        constant("zero", 0.0, np.float64),
        constant("one", 1.0, np.float64),
        constant("longest", LONGEST_DAYS, np.float64),
        constant("most", MOST_ORDERS, np.float64),
        node("IsNaN", PREPARED, "missing"),
        node("Cast", PREPARED, "wide", to=TensorProto.DOUBLE),
        node("Where", "missing fill wide", "filled"),
    ]
    for i, name in enumerate(("orders", "tenure", "silent")):
        pieces += [constant(f"{name}_at", [i], np.int64), node("Gather", f"filled {name}_at", name, axis=1)]
    pieces += [
        node("Sub", "orders one", "repeated"),
        node("Clip", "repeated zero most", "x"),
        node("Clip", "tenure zero longest", "age"),
        node("Sub", "age silent", "until"),
        node("Min", "until age", "not_later"),
        node("Max", "not_later zero", "last"),
    ]
    return joined(pieces)


def _silence_logit(model: BgNbd) -> Piece:
    named = vars(model.parameters) | {"horizon": model.horizon_days, "lowest": -LIMIT, "highest": LIMIT}
    pieces = [constant(name, value, np.float64) for name, value in named.items()]
    pieces += [
        node("Add", "x r", "n"),
        node("Add", "age alpha", "alpha_age"),
        node("Add", "last alpha", "alpha_last"),
        node("Add", "alpha_age horizon", "alpha_end"),
        # The logarithm of the odds of being gone.
        node("Div", "alpha_age alpha_last", "waited"),
        node("Log", "waited", "log_waited"),
        node("Mul", "n log_waited", "silence"),
        node("Max", "x one", "at_least_one"),
        node("Sub", "at_least_one one", "further"),
        node("Add", "further b", "stays"),
        node("Div", "a stays", "leaves"),
        node("Log", "leaves", "log_leaves"),
        node("Add", "silence log_leaves", "odds"),
        # -log(1 + e^odds), without overflow: being here still. After no repeat purchase, certainly.
        node("Abs", "odds", "far"),
        node("Neg", "far", "near"),
        node("Exp", "near", "little"),
        node("Add", "little one", "little_more"),
        node("Log", "little_more", "rest"),
        node("Max", "odds zero", "most_of_it"),
        node("Add", "most_of_it rest", "gone"),
        node("Neg", "gone", "log_here"),
        node("Greater", "x zero", "returned"),
        node("Where", "returned log_here zero", "here"),
        # The logarithm of buying at all, and of not.
        node("Div", "alpha_age alpha_end", "shrunk"),
        node("Log", "shrunk", "log_shrunk"),
        node("Mul", "n log_shrunk", "log_silent"),
        node("Exp", "log_silent", "silent_chance"),
        node("Sub", "one silent_chance", "some"),
        node("Log", "some", "log_some"),
        node("Add", "here log_some", "log_buys"),
        node("Exp", "log_buys", "buys"),
        node("Sub", "one buys", "none"),
        node("Log", "none", "log_none"),
        node("Sub", "log_none log_buys", "unbounded"),
        node("Clip", "unbounded lowest highest", "logit"),
    ]
    return joined(pieces)
