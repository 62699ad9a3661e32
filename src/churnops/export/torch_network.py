"""A PyTorch network as nodes. The one module of this package that imports torch."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from onnx import GraphProto, TensorProto, compose

from churnops.export.graph import OPSETS, Piece, node

_REGISTRATION = logging.getLogger("torch.onnx._internal.exporter._registration")


def network_nodes(network: torch.nn.Module, width: int) -> Piece:
    """`prepared` [N, width] to `logit` [N, 1]: the network as it predicts, without dropout."""
    with _quietly():
        program = torch.onnx.export(
            copy.deepcopy(network).cpu().eval(),
            (torch.zeros(2, width),),  # one row would be taken for a constant
            dynamo=True,
            opset_version=OPSETS[""],
            external_data=False,
            input_names=["prepared"],
            output_names=["network_logit"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    if program is None:  # only with an option that is not used here
        raise TypeError("torch exported nothing")
    return _plain(program.model_proto.graph) + node("Cast", "network_logit", "logit", to=TensorProto.DOUBLE)


def _plain(graph: GraphProto) -> Piece:
    """Its nodes under names of their own, without stack traces, which hold paths of this machine."""
    named = compose.add_prefix_graph(graph, "network/", rename_inputs=False, rename_outputs=False)
    nodes = []
    for exported in named.node:
        exported.ClearField("metadata_props")
        exported.ClearField("doc_string")
        nodes.append(exported)
    return Piece(tuple(nodes), tuple(named.initializer))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without a warning that torch gives of its own code, and a word on torchvision, which nobody needs."""
    level = _REGISTRATION.level
    _REGISTRATION.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)
            yield
    finally:
        _REGISTRATION.setLevel(level)
