"""The churn network as every framework builds it, and the numbers it starts from.

Shapes: M members, I inputs and O outputs of a layer.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from churnops.training.recipe import Network

Weights = Mapping[str, npt.NDArray[np.float32]]
"""The tensors of every layer as `dense_0.weight`, `dense_0.bias` and so on, shaped as `Layer` says."""


@dataclass(frozen=True)
class Layer:
    """A dense layer: what each member makes of its inputs.

    One network alone: `weight` [O, I], `bias` [O]. Several: `weight` [M, I, O], `bias` [M, 1, O]; if they
    share, `weight` [I, O], with `scale_in` [M, 1, I] before it and `scale_out` [M, 1, O] after it.
    """

    name: str
    inputs: int
    outputs: int
    members: int
    shared: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each of its tensors."""
        if self.members == 1:
            return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}
        bias = {"bias": (self.members, 1, self.outputs)}
        if not self.shared:
            return {"weight": (self.members, self.inputs, self.outputs), **bias}
        scales = {"scale_in": (self.members, 1, self.inputs), "scale_out": (self.members, 1, self.outputs)}
        return {"weight": (self.inputs, self.outputs), **bias, **scales}


@dataclass(frozen=True)
class NetworkSpec:
    """inputs -> hidden[0] -> ReLU -> dropout -> hidden[1] -> ReLU -> ... -> 1 logit, for each of the members.

    The answer is the mean of their logits, but each learns from its own loss. Members that share their
    weights are TabM (Gorishniy, Kotelnikov and Babenko 2025, ICLR; arXiv 2410.24210), but for the mean, which
    is of probabilities there; their last layer is each one's own.
    """

    inputs: int
    hidden: tuple[int, ...]
    dropout: float
    members: int = 1
    shared: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The dense layers, the last of which has one output."""
        widths = list(pairwise((self.inputs, *self.hidden, 1)))
        return tuple(
            Layer(f"dense_{i}", *width, self.members, shared=self.shared and i < len(self.hidden))
            for i, width in enumerate(widths)
        )


def spec_of(network: Network, inputs: int) -> NetworkSpec:
    """The spec for so many prepared inputs."""
    return NetworkSpec(inputs, network.hidden, network.dropout, network.members, network.shared)


def first_weights(spec: NetworkSpec, churn_rate: float, seed: int) -> Weights:
    """The same for every framework: He's uniform weights (He et al. 2015, ICCV), biases 0.

    The last bias is the logit of `churn_rate`, so that training starts from everybody's rate. Members that
    share begin to differ by the sign they give each input of the first layer.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for layer in spec.layers:
        bound = np.sqrt(6.0 / layer.inputs)
        for tensor, shape in layer.shapes.items():
            match tensor:
                case "weight":
                    first = rng.uniform(-bound, bound, shape)
                case "bias":
                    first = np.zeros(shape)
                case "scale_in" if layer == spec.layers[0]:
                    first = rng.choice([-1.0, 1.0], shape)
                case _:
                    first = np.ones(shape)
            weights[f"{layer.name}.{tensor}"] = first.astype(np.float32)
    weights[f"{layer.name}.weight"] *= np.float32(0.1)
    weights[f"{layer.name}.bias"] += np.float32(np.log(churn_rate / (1.0 - churn_rate)))
    return weights


def digest(weights: Weights) -> str:
    """The SHA-256 of all tensors, in the order of their names: equal networks, equal digests."""
    contents = (f"{name}{weights[name].shape}".encode() + weights[name].tobytes() for name in sorted(weights))
    return hashlib.sha256(b"".join(contents)).hexdigest()


def epoch_batches(rows: int, batch_size: int, *, seed: int, epoch: int) -> list[npt.NDArray[np.intp]]:
    """The rows of each step of one epoch, shuffled: the same for every framework.

    Batches differ by one row at most, so that no leftover pulls as hard as a whole batch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return list(np.array_split(order, max(1, round(rows / batch_size))))
