"""Which columns move a score, as one graph: a customer's row in, the effect of every column on the score out.

On the log-odds, where models come closest to adding up, walks from a few made-up customers give the effect of
each column; less what customers of training have on average, it is the effect against them all. Walks over
sums of such effects, which ask no model, carry them to the probability. docs/decisions/0010-reasons.md says
why, from where, and how close it comes.

Shapes: N customers, S of them a sample of training, F numeric and C categorical columns, D prepared inputs,
P columns the model uses, K made-up customers, R and T customers on the way of the first and second walks.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, checker, helper

from churnops.export.graph import CALIBRATED, PREPARED, Piece, constant, joined, node
from churnops.export.walks import Array, Walks, walks

Matrices = tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]
"""Rows as graphs take them: `numeric` [N, F] and `categorical` [N, C]."""

_SCORED = 160  # rows the model scores for one customer: what an answer may cost
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
    rng = np.random.default_rng(seed)

    way = walks(rng, used_P.size, rows=_SCORED, most_pairs=_MADE_UP)
    others = made_up(sample, way.pairs, rng)
    prepared_KD = _run(_part(graph, PREPARED, TensorProto.FLOAT), others)
    logit_K = _run(_part(graph, CALIBRATED, TensorProto.DOUBLE), others).ravel()
    on_way = _on_way(way, prepared_KD, np.searchsorted(used_P, owner_D))
    begun_P = way.begun(logit_K)
    first = _on_the_way(graph, on_way, _deltas(way, begun_P), "deltas", TensorProto.DOUBLE)
    effect_SP = _run(first, sample, each=way.other_R.size)
    logit_S = effect_SP.sum(axis=1) + logit_K.mean()

    mean_P = effect_SP.mean(axis=0)
    sums = _sums(effect_SP - mean_P, logit_S, rng)
    placed_PX = np.eye(len(names))[used_P]
    tail = _deltas(way, begun_P + mean_P) + sums.piece(
        sums.effects(effect_SP - mean_P).mean(axis=0), placed_PX
    )
    whole = _on_the_way(graph, on_way, tail, "effects", TensorProto.FLOAT)
    checker.check_model(whole, full_check=True)
    content = bytes(whole.SerializeToString(deterministic=True))
    return ReasonsGraph(content, float(_sigmoid(logit_S).mean()), way.other_R.size)


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
class _Sums:
    """Walks from customers of the sample, known by the effects of their columns, over sums of effects."""

    way: Walks
    offset_T: Array
    """The log-odds without the columns that had their turn."""
    begun_P: Array

    def effects(self, effect_NP: Array) -> Array:
        score_NT = _sigmoid(effect_NP @ self.way.own_RP.T + self.offset_T)
        return np.asarray(score_NT @ self.way.weight_RP - self.begun_P)

    def piece(self, mean_P: Array, placed_PX: Array) -> Piece:
        """`deltas` [N, P] to `effects` [N, X], by `placed_PX` columns among all; 0 on average."""
        pieces = [
            constant("sums_own", self.way.own_RP.T, np.float32),
            constant("sums_offset", self.offset_T, np.float32),
            constant("sums_weight", self.way.weight_RP @ placed_PX, np.float32),
            constant("sums_begun", (self.begun_P + mean_P) @ placed_PX, np.float32),
            node("Cast", "deltas", "narrow_deltas", to=TensorProto.FLOAT),
            node("MatMul", "narrow_deltas sums_own", "sums_of_own"),
            node("Add", "sums_of_own sums_offset", "sums"),
            node("Sigmoid", "sums", "sums_scores"),
            node("MatMul", "sums_scores sums_weight", "sums_effects"),
            node("Sub", "sums_effects sums_begun", "effects"),
        ]
        return joined(pieces)


def _sums(effect_SP: Array, logit_S: Array, rng: np.random.Generator) -> _Sums:
    """From customers whose scores are quantiles of all, so that a few stand for everybody."""
    way = walks(rng, effect_SP.shape[1], rows=_SUMMED, most_pairs=_OTHERS)
    rank_K = ((np.arange(way.pairs) + 0.5) / way.pairs * logit_S.size).astype(int)
    effect_KP = effect_SP[rng.permutation(np.argsort(logit_S, kind="stable")[rank_K])]
    mean = logit_S.mean()
    offset_T = mean + (~way.own_RP * effect_KP[way.other_R]).sum(axis=1)
    return _Sums(way, offset_T, way.begun(_sigmoid(mean + effect_KP.sum(axis=1))))


def _on_way(way: Walks, prepared_KD: Array, player_D: npt.NDArray[np.intp]) -> Piece:
    """`prepared` [N, D] to `on_way` [N R, D]: the customer's own inputs where they had their turn."""
    pieces = [
        constant("own", way.own_RP[:, player_D], np.bool_),
        constant("theirs", prepared_KD[way.other_R], np.float32),
        constant("way_axis", [1], np.int64),
        constant("way_shape", [-1, player_D.size], np.int64),
        node("Unsqueeze", f"{PREPARED} way_axis", "prepared_once"),
        node("Where", "own prepared_once theirs", "ways"),
        node("Reshape", "ways way_shape", "on_way"),
    ]
    return joined(pieces)


def _deltas(way: Walks, begun_P: Array) -> Piece:
    """`calibrated` [N R, 1] to `deltas` [N, P] in log-odds."""
    pieces = [
        constant("log_odds_shape", [-1, way.other_R.size], np.int64),
        constant("weights", way.weight_RP, np.float64),
        constant("begun", begun_P, np.float64),
        node("Reshape", f"{CALIBRATED} log_odds_shape", "log_odds"),
        node("MatMul", "log_odds weights", "shares"),
        node("Sub", "shares begun", "deltas"),
    ]
    return joined(pieces)


def _part(graph: ModelProto, tensor: str, kind: int) -> ModelProto:
    """What makes `tensor` of the graph's inputs."""
    return _model(graph, _before(graph, tensor), tensor, kind)


def _on_the_way(graph: ModelProto, on_way: Piece, tail: Piece, output: str, kind: int) -> ModelProto:
    """The graph, with everybody on the way in place of the customer between its preparation and its model."""
    front = _before(graph, PREPARED)
    names = {one.name for one in front.nodes}
    body = Piece(
        tuple(_rewired(one) for one in _before(graph, CALIBRATED).nodes if one.name not in names),
        tuple(graph.graph.initializer),
    )
    return _model(graph, joined([front, on_way, body, tail]), output, kind)


def _rewired(one: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(one)
    copied.input[:] = ["on_way" if name == PREPARED else name for name in one.input]
    return copied


def _before(graph: ModelProto, tensor: str) -> Piece:
    """The nodes that `tensor` depends on, in the order they run."""
    wanted, found = {tensor}, []
    for one in reversed(graph.graph.node):
        if wanted.intersection(one.output):
            wanted.update(one.input)
            found.append(one)
    return Piece(tuple(reversed(found)), tuple(graph.graph.initializer))


def _model(graph: ModelProto, whole: Piece, output: str, kind: int) -> ModelProto:
    read = {name for one in whole.nodes for name in one.input}
    constants = {one.name: one for one in whole.constants if one.name in read}
    made = helper.make_graph(
        whole.nodes,
        "reasons",
        graph.graph.input,
        [helper.make_tensor_value_info(output, kind, ["N", None])],
        list(constants.values()),
    )
    return helper.make_model(
        made,
        opset_imports=graph.opset_import,
        ir_version=graph.ir_version,
        producer_name=graph.producer_name,
    )


def _run(model: ModelProto, rows: Matrices, *, each: int = 1) -> Array:
    """The one output of `model` for all of `rows`, each of which becomes `each` on the way."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    matrices = dict(zip(("numeric", "categorical"), rows, strict=True))
    step = max(_ROWS_AT_ONCE // each, 1)
    parts = [
        session.run(None, {name: matrices[name][start : start + step] for name in names})[0]
        for start in range(0, len(rows[0]), step)
    ]
    return np.concatenate(parts).astype(np.float64)


def _sigmoid(logit: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logit)))
