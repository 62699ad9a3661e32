"""Which columns move a score, as one graph: a customer's row in, the effect of every column on the score out.

On the log-odds, where models come closest to adding up, walks from a few made-up customers give the effect of
each column, by weights that are learnt from many customers. Walks over sums of such effects, which ask no
model, carry them to the probability; what they miss there is learnt too. docs/decisions/0010-reasons.md says
why, from where, and how close it comes.

Shapes: N customers, S of them a sample of training, F numeric and C categorical columns, D prepared inputs,
P columns the model uses, X of all columns, K made-up customers, R and T customers on the way of the first and
second walks, Y = 2 R.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, checker
from threadpoolctl import threadpool_limits

from churnops.export.graph import CALIBRATED, PREPARED, Piece, constant, joined, node
from churnops.export.learned import better_weights, sigmoid, unbiased_effects
from churnops.export.on_way import log_odds_of, model_of, on_the_way, part, rows_for, session_of
from churnops.export.walks import Array, Walks, walks

Matrices = tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]
"""Rows as graphs take them: `numeric` [N, F] and `categorical` [N, C]."""

_MADE_UP = 16
_SUMMED = 1200  # sums for one customer
_OTHERS = 32
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class ReasonsGraph:
    """A graph that takes what the model's takes and gives `effects` [N, F + C], numeric columns first."""

    content: bytes
    base_score: float
    """The mean score of the sample: a score is this and all its effects."""
    rows: int
    """How many rows it scores for one customer."""


# The sums of two threads are rounded otherwise than those of one.
@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]  # threadpoolctl has no types
def reasons_graph(model: bytes, sample: Matrices, *, seed: int) -> ReasonsGraph:
    """How the graph `model` comes from the mean score of `sample`, rows of training, to that of a customer.

    No row of the sample stays, only what sums it up: quantiles of single columns, and effects in log-odds.
    Equal arguments give equal bytes.
    """
    graph = onnx.load_from_string(model)
    said = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
    names = [*said["numeric"], *said["categorical"]]
    owner_D = np.array([names.index(name) for name in said["prepared"]])
    used_P = np.unique(owner_D)
    player_D = np.searchsorted(used_P, owner_D)
    rng = np.random.default_rng(seed)

    way = walks(rng, used_P.size, rows=rows_for(graph), most_pairs=_MADE_UP)
    taken = graph.graph.input
    prepare = model_of(graph, part(graph, PREPARED), taken, (PREPARED, TensorProto.FLOAT))
    on_way = on_the_way(graph, way, _run(prepare, made_up(sample, way.pairs, rng)), player_D) + _log_odds(way)
    asked = model_of(graph, on_way, taken, ("log_odds", TensorProto.DOUBLE))
    log_odds_SR = _run(asked, sample, each=way.other_R.size)
    wanted_SP, wanted_scores_SP = unbiased_effects(log_odds_of(graph), _run(prepare, sample), player_D, rng)

    weight_RP = way.weight_RP + better_weights(log_odds_SR, wanted_SP - log_odds_SR @ way.weight_RP)
    deltas = _Deltas(weight_RP, (log_odds_SR @ weight_RP).mean(axis=0))
    sums = _sums(deltas.effects(log_odds_SR), log_odds_SR[:, -1], rng)
    summed_SP = sums.effects(deltas.effects(log_odds_SR))
    rest = _rest(log_odds_SR, wanted_scores_SP - summed_SP)

    placed_PX = np.eye(len(names))[used_P]
    tail = [
        deltas.piece(),
        sums.piece(placed_PX),
        rest.piece(placed_PX),
        _added(summed_SP.mean(axis=0) @ placed_PX),
    ]
    whole = model_of(graph, on_way + joined(tail), taken, ("effects", TensorProto.FLOAT))
    checker.check_model(whole, full_check=True)
    content = bytes(whole.SerializeToString(deterministic=True))
    return ReasonsGraph(content, float(sigmoid(log_odds_SR[:, -1]).mean()), way.other_R.size)


def made_up(sample: Matrices, n: int, rng: np.random.Generator) -> Matrices:
    """`n` customers who are nobody: each column's n quantiles, missing values and levels as often as in
    `sample`, shuffled apart from the other columns."""
    numeric_SF, categorical_SC = sample
    rank_K = ((np.arange(n) + 0.5) / n * len(numeric_SF)).astype(int)
    numeric_KF = np.sort(numeric_SF, axis=0)[rank_K]  # NaN comes last
    categorical_KC = np.empty((n, categorical_SC.shape[1]), dtype=object)
    for j, text_S in enumerate(categorical_SC.T):
        levels, times = np.unique(text_S.astype(str), return_counts=True)
        often = np.argsort(-times, kind="stable")
        categorical_KC[:, j] = np.repeat(levels[often], times[often])[rank_K]
    return rng.permuted(numeric_KF, axis=0), rng.permuted(categorical_KC, axis=0)


@dataclass(frozen=True)
class _Deltas:
    """Effects on the log-odds, of those of all on the way."""

    weight_RP: Array
    mean_P: Array

    def effects(self, log_odds_NR: Array) -> Array:
        return np.asarray(log_odds_NR @ self.weight_RP - self.mean_P)

    def piece(self) -> Piece:
        """`log_odds` [N, R] to `deltas` [N, P]."""
        pieces = [
            constant("weights", self.weight_RP, np.float64),
            constant("mean_shares", self.mean_P, np.float64),
            node("MatMul", "log_odds weights", "shares"),
            node("Sub", "shares mean_shares", "wide_deltas"),
            node("Cast", "wide_deltas", "deltas", to=TensorProto.FLOAT),
        ]
        return joined(pieces)


@dataclass(frozen=True)
class _Sums:
    """Walks from customers of the sample, known by the effects of their columns, over sums of effects."""

    way: Walks
    offset_T: Array
    """The log-odds without the columns that had their turn."""

    def effects(self, effect_NP: Array) -> Array:
        return np.asarray(sigmoid(effect_NP @ self.way.own_RP.T + self.offset_T) @ self.way.weight_RP)

    def piece(self, placed_PX: Array) -> Piece:
        """`deltas` [N, P] to `sums_effects` [N, X], by `placed_PX` columns among all."""
        pieces = [
            constant("sums_own", self.way.own_RP.T, np.float32),
            constant("sums_offset", self.offset_T, np.float32),
            constant("sums_weight", self.way.weight_RP @ placed_PX, np.float32),
            node("MatMul", "deltas sums_own", "sums_of_own"),
            node("Add", "sums_of_own sums_offset", "sums"),
            node("Sigmoid", "sums", "sums_scores"),
            node("MatMul", "sums_scores sums_weight", "sums_effects"),
        ]
        return joined(pieces)


@dataclass(frozen=True)
class _Rest:
    """What sums of effects miss, as far as log-odds and scores of those on the way tell."""

    lowest: float
    highest: float
    """Log-odds between which this was learnt."""
    weight_YP: Array
    mean_P: Array

    def piece(self, placed_PX: Array) -> Piece:
        """`log_odds` [N, R] to `rest_effects` [N, X], 0 on average."""
        pieces = [
            constant("told_lowest", self.lowest, np.float64),
            constant("told_highest", self.highest, np.float64),
            # In 64 bits: large weights cancel, and the sum over columns must be nothing.
            constant("rest_weight", self.weight_YP @ placed_PX, np.float64),
            node("Clip", "log_odds told_lowest told_highest", "told_log_odds"),
            node("Sigmoid", "told_log_odds", "told_scores"),
            node("Concat", "told_log_odds told_scores", "told", axis=1),
            constant("rest_mean", self.mean_P @ placed_PX, np.float64),
            node("MatMul", "told rest_weight", "rest_shares"),
            node("Sub", "rest_shares rest_mean", "wide_rest_effects"),
            node("Cast", "wide_rest_effects", "rest_effects", to=TensorProto.FLOAT),
        ]
        return joined(pieces)


def _rest(log_odds_SR: Array, missed_SP: Array) -> _Rest:
    lowest, highest = float(log_odds_SR.min()), float(log_odds_SR.max())
    told_SY = np.hstack([log_odds_SR, sigmoid(log_odds_SR)])
    weight_YP = better_weights(told_SY, missed_SP)
    return _Rest(lowest, highest, weight_YP, (told_SY @ weight_YP).mean(axis=0))


def _sums(effect_SP: Array, logit_S: Array, rng: np.random.Generator) -> _Sums:
    """From customers whose scores are quantiles of all, so that a few stand for everybody."""
    way = walks(rng, effect_SP.shape[1], rows=_SUMMED, most_pairs=_OTHERS)
    rank_K = ((np.arange(way.pairs) + 0.5) / way.pairs * logit_S.size).astype(int)
    effect_KP = effect_SP[rng.permutation(np.argsort(logit_S, kind="stable")[rank_K])]
    return _Sums(way, logit_S.mean() + (~way.own_RP * effect_KP[way.other_R]).sum(axis=1))


def _log_odds(way: Walks) -> Piece:
    """`calibrated` [N R, 1] to `log_odds` [N, R]."""
    shape = constant("log_odds_shape", [-1, way.other_R.size], np.int64)
    return shape + node("Reshape", f"{CALIBRATED} log_odds_shape", "log_odds")


def _added(mean_X: Array) -> Piece:
    """`sums_effects`, less their means, and `rest_effects`: `effects` [N, X]."""
    pieces = [
        constant("sums_mean", mean_X, np.float32),
        node("Sub", "sums_effects sums_mean", "centred_sums"),
        node("Add", "centred_sums rest_effects", "effects"),
    ]
    return joined(pieces)


def _run(model: ModelProto, rows: Matrices, *, each: int = 1) -> Array:
    """The one output of `model` for all of `rows`, each of which becomes `each` on the way."""
    session = session_of(model)
    names = [one.name for one in session.get_inputs()]
    matrices = dict(zip(("numeric", "categorical"), rows, strict=True))
    step = max(_ROWS_AT_ONCE // each, 1)
    parts = [
        session.run(None, {name: matrices[name][start : start + step] for name in names})[0]
        for start in range(0, len(rows[0]), step)
    ]
    return np.concatenate(parts).astype(np.float64)
