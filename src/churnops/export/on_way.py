"""A model's graph with everybody on the way of some walks in place of each customer.

The customer's row is prepared once. Where the model begins with a linear layer, as networks do, that layer
weighs every column once, alone: those on the way differ in which of them are added.

Shapes: N customers, D prepared inputs, P columns the model uses, R customers on the way, H outputs of a
layer.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference

from churnops.export.graph import CALIBRATED, PREPARED, Piece, constant, joined, node
from churnops.export.walks import Array, Walks

_ON_WAY = "on_way"
_LINEAR = ("Cast", "MatMul", "Gemm", "Mul", "Add")
_MOST_ROWS = 160
_MOST_WORK = 8_000_000  # products of two numbers: some 0.15 ms
_TREE_WORK = 1000  # for one tree
_ROWS_AT_ONCE = 8192


def on_the_way(graph: ModelProto, way: Walks, prepared_KD: Array, player_D: npt.NDArray[np.intp]) -> Piece:
    """`graph` until `calibrated` [N R, 1], in its order: N customers, and of each all on the way.

    Walks begin at `prepared_KD`; `player_D` says which of the P columns each prepared input is made of.
    """
    front, body = part(graph, PREPARED), list(_body(graph))
    readers = [one for one in body if PREPARED in one.input]
    theirs_RD = prepared_KD[way.other_R]
    if len(readers) == 1 and readers[0].op_type in ("Gemm", "MatMul") and readers[0].input[0] == PREPARED:
        (layer,) = readers
        way_in = _layer_on_way(graph, layer, way, theirs_RD, player_D)
        body.remove(layer)
    else:
        way_in = _rows_on_way(way, theirs_RD, player_D)
        body = [_rewired(one, {PREPARED: _ON_WAY}) for one in body]
    return joined([front, way_in, Piece(tuple(body), tuple(graph.graph.initializer))])


def part(graph: ModelProto, tensor: str) -> Piece:
    """The nodes that `tensor` depends on, in the order they run."""
    wanted, found = {tensor}, []
    for one in reversed(graph.graph.node):
        if wanted.intersection(one.output):
            wanted.update(one.input)
            found.append(one)
    return Piece(tuple(reversed(found)), tuple(graph.graph.initializer))


def log_odds_of(graph: ModelProto) -> Callable[[Array], Array]:
    """What `graph` makes of rows that are prepared: [N, D] to [N]."""
    body = Piece(_body(graph), tuple(graph.graph.initializer))
    run = _runner(graph, body, (CALIBRATED, TensorProto.DOUBLE))
    return lambda prepared_ND: run(prepared_ND).ravel()


def rows_for(graph: ModelProto) -> int:
    """How many rows the model may score for one customer's reasons, by the work that one takes it.

    A linear model needs no more than one walk.
    """
    body = _body(graph)
    if all(one.op_type in _LINEAR for one in body):
        return 1
    shapes = {one.name: tuple(one.dims) for one in graph.graph.initializer}
    known = shape_inference.infer_shapes(graph).graph.value_info
    shapes |= {
        one.name: tuple(size.dim_value or 1 for size in one.type.tensor_type.shape.dim) for one in known
    }
    work = sum(_work(one, shapes) for one in body)
    return max(min(_MOST_ROWS, _MOST_WORK // max(work, 1)), 1)


def _work(one: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many products of two numbers a node takes for one row, or could make in the time it takes."""
    match one.op_type:
        case "MatMul":
            return math.prod(shapes[one.output[0]]) * shapes[one.input[1]][-2]
        case "Gemm":
            return math.prod(shapes[one.input[1]])
        case "TreeEnsembleRegressor":
            return _TREE_WORK * len(set(helper.get_node_attr_value(one, "nodes_treeids")))
        case _:
            return 0


def _body(graph: ModelProto) -> tuple[NodeProto, ...]:
    """The nodes of the model itself, after the preparation of rows."""
    front = {one.name for one in part(graph, PREPARED).nodes}
    return tuple(one for one in part(graph, CALIBRATED).nodes if one.name not in front)


def _rows_on_way(way: Walks, theirs_RD: Array, player_D: npt.NDArray[np.intp]) -> Piece:
    """`prepared` [N, D] to `on_way` [N R, D]: the customer's own inputs where they had their turn."""
    pieces = [
        constant("own", way.own_RP[:, player_D], np.bool_),
        constant("theirs", theirs_RD, np.float32),
        constant("way_axis", [1], np.int64),
        constant("way_shape", [-1, player_D.size], np.int64),
        node("Unsqueeze", f"{PREPARED} way_axis", "prepared_once"),
        node("Where", "own prepared_once theirs", "ways"),
        node("Reshape", "ways way_shape", _ON_WAY),
    ]
    return joined(pieces)


def _layer_on_way(
    graph: ModelProto, layer: NodeProto, way: Walks, theirs_RD: Array, player_D: npt.NDArray[np.intp]
) -> Piece:
    """`prepared` [N, D] to what the linear `layer` makes of all on the way [N R, H], under its own name."""
    own_RP, columns = way.own_RP, way.own_RP.shape[1]
    rest_RD = np.where(own_RP[:, player_D], 0, theirs_RD)
    alone = Piece((layer,), tuple(graph.graph.initializer))
    rows_XD = np.vstack([rest_RD, np.zeros(player_D.size)])
    layer_XH = _runner(graph, alone, (layer.output[0], TensorProto.FLOAT))(rows_XD)
    rest_RH, bias_H = layer_XH[:-1], layer_XH[-1]
    pieces = [
        constant("own", own_RP, np.float32),
        constant("columns", player_D == np.arange(columns)[:, None], np.float32),
        constant("theirs", rest_RH - own_RP.sum(axis=1, keepdims=True) * bias_H, np.float32),
        constant("way_axis", [1], np.int64),
        constant("alone_shape", [-1, player_D.size], np.int64),
        constant("weighed_shape", [-1, columns, bias_H.size], np.int64),
        constant("layer_shape", [-1, bias_H.size], np.int64),
        node("Unsqueeze", f"{PREPARED} way_axis", "prepared_once"),
        node("Mul", "prepared_once columns", "each_alone"),
        node("Reshape", "each_alone alone_shape", "alone"),
        Piece((_rewired(layer, {PREPARED: "alone", layer.output[0]: "weighed_alone"}),)),
        node("Reshape", "weighed_alone weighed_shape", "weighed"),
        node("MatMul", "own weighed", "added"),
        node("Add", "added theirs", "layer_on_way"),
        node("Reshape", "layer_on_way layer_shape", layer.output[0]),
    ]
    return joined(pieces)


def _runner(graph: ModelProto, nodes: Piece, output: tuple[str, int]) -> Callable[[Array], Array]:
    """What makes `output` of rows that are prepared, by `nodes`."""
    taken = helper.make_tensor_value_info(PREPARED, TensorProto.FLOAT, [None, None])
    session = session_of(model_of(graph, nodes, [taken], output))

    def run(prepared_ND: Array) -> Array:
        narrow_ND = prepared_ND.astype(np.float32)
        starts = range(0, len(narrow_ND), _ROWS_AT_ONCE)
        parts = [session.run(None, {PREPARED: narrow_ND[i : i + _ROWS_AT_ONCE]})[0] for i in starts]
        return np.concatenate(parts).astype(np.float64)

    return run


def _rewired(one: NodeProto, names: dict[str, str]) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(one)
    copied.input[:] = [names.get(name, name) for name in one.input]
    copied.output[:] = [names.get(name, name) for name in one.output]
    return copied


def model_of(
    graph: ModelProto, whole: Piece, inputs: Sequence[ValueInfoProto], output: tuple[str, int]
) -> ModelProto:
    """`whole` as a model of the same operators as `graph`, with the constants it reads."""
    read = {name for one in whole.nodes for name in one.input}
    constants = {one.name: one for one in whole.constants if one.name in read}
    name, kind = output
    made = helper.make_graph(
        whole.nodes,
        "reasons",
        inputs,
        [helper.make_tensor_value_info(name, kind, ["N", None])],
        list(constants.values()),
    )
    return helper.make_model(
        made,
        opset_imports=graph.opset_import,
        ir_version=graph.ir_version,
        producer_name=graph.producer_name,
    )


def session_of(model: ModelProto) -> ort.InferenceSession:
    """On one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
