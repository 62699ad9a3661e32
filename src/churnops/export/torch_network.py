"""A PyTorch network as nodes."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from onnx import TensorProto

from churnops.export.graph import OPSETS, Piece, network_piece, node

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
    return network_piece(program.model_proto.graph) + node(
        "Cast", "network_logit", "logit", to=TensorProto.DOUBLE
    )


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
