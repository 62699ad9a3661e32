"""The churn network as every framework builds it, and the numbers it starts from."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from churnops.training.recipe import Network


@dataclass(frozen=True)
class NetworkSpec:
    """inputs -> hidden[0] -> ReLU -> dropout -> hidden[1] -> ReLU -> ... -> 1 logit."""

    inputs: int
    hidden: tuple[int, ...]
    dropout: float

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each dense layer, the last has one output."""
        widths = (self.inputs, *self.hidden, 1)
        return tuple(pairwise(widths))


@dataclass(frozen=True)
class Dense:
    """The weights of one dense layer: `weight` [outputs, inputs], `bias` [outputs]."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


def spec_of(network: Network, inputs: int) -> NetworkSpec:
    """The spec for so many prepared inputs."""
    return NetworkSpec(inputs, network.hidden, network.dropout)


def first_weights(spec: NetworkSpec, churn_rate: float, seed: int) -> tuple[Dense, ...]:
    """The same for every framework: He's uniform weights (He et al. 2015, ICCV), biases 0.

    The last bias is the logit of `churn_rate`, so that training starts from everybody's rate.
    """
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in spec.layers:
        bound = np.sqrt(6.0 / inputs)
        weight = rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
        layers.append(Dense(weight, np.zeros(outputs, dtype=np.float32)))
    rate = np.float32(np.log(churn_rate / (1.0 - churn_rate)))
    return (*layers[:-1], Dense(layers[-1].weight * np.float32(0.1), np.array([rate], dtype=np.float32)))


def epoch_batches(rows: int, batch_size: int, *, seed: int, epoch: int) -> list[npt.NDArray[np.intp]]:
    """The rows of each step of one epoch, shuffled: the same for every framework.

    Batches differ by one row at most, so that no leftover pulls as hard as a whole batch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return list(np.array_split(order, max(1, round(rows / batch_size))))
