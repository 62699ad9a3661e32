"""The churn network in PyTorch. Shapes: N rows, B rows of a batch, D prepared inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from churnops.training.dataset import Rows
from churnops.training.epochs import Batches, learn_epochs
from churnops.training.fit import Fit, OnEpoch, both_classes
from churnops.training.network import Dense, NetworkSpec, first_weights, spec_of
from churnops.training.preprocessing import Preprocessing, fit_preprocessing
from churnops.training.recipe import Recipe

_AT_ONCE = 65_536  # rows scored together


@dataclass(frozen=True)
class TorchMlp:
    """A fitted network and what its inputs look like."""

    framework: ClassVar[Literal["torch"]] = "torch"
    preprocessing: Preprocessing
    network: nn.Module
    """[N, D] -> logit [N, 1], in evaluation mode."""

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = torch.from_numpy(self.preprocessing.apply(rows))
        return np.asarray(_logits(self.network, x_ND).double().numpy())

    def save(self, folder: Path) -> None:
        """The weights as `network.safetensors`, the layers named as in the state dict."""
        save_file(self.network.state_dict(), folder / "network.safetensors")


def build(spec: NetworkSpec, weights: tuple[Dense, ...]) -> nn.Sequential:
    """The network of `spec` with these weights."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(spec.layers):
        layers += [nn.Linear(inputs, outputs), *([nn.ReLU()] if i < len(spec.hidden) else [])]
        layers += [nn.Dropout(spec.dropout)] if i == 0 and spec.dropout else []
    network = nn.Sequential(*layers)
    _set_weights(network, weights)
    return network


def weights_of(network: nn.Module) -> tuple[Dense, ...]:
    """A copy of the weights, as every framework takes them."""
    return tuple(
        Dense(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
        for layer in _dense_layers(network)
    )


def fit(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """Train on `train`, stop by the log loss on `validation`, keep the best epoch's weights.

    The same rows and recipe give the same weights, bit for bit, on one kind of machine. Raises NotEnoughData
    where either span lacks customers who left or who stayed, and Diverged.
    """
    both_classes(train, "train")
    both_classes(validation, "validation")
    preprocessing = fit_preprocessing(train)
    spec = spec_of(recipe.network, preprocessing.width)
    with _repeatable(recipe.seed):
        network = build(spec, first_weights(spec, float(train.churned_N.mean()), recipe.seed))
        learner = _Learner(
            network,
            torch.optim.AdamW(network.parameters(), weight_decay=recipe.schedule.weight_decay),
            _Tensors.of(preprocessing, train),
            _Tensors.of(preprocessing, validation),
        )
        history = learn_epochs(learner, len(train), recipe, on_epoch=on_epoch)
    return Fit(TorchMlp(preprocessing, network.eval()), history)


@dataclass(frozen=True)
class _Tensors:
    x_ND: Tensor
    y_N: Tensor

    @classmethod
    def of(cls, preprocessing: Preprocessing, rows: Rows) -> "_Tensors":
        return cls(
            torch.from_numpy(preprocessing.apply(rows)), torch.from_numpy(rows.churned_N.astype(np.float32))
        )


@dataclass(frozen=True)
class _Learner:
    network: nn.Module
    optimiser: torch.optim.Optimizer
    train: _Tensors
    validation: _Tensors

    def learn(self, batches: Batches, learning_rate: float) -> npt.NDArray[np.float64]:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        return np.array([self._step(torch.from_numpy(index_B)) for index_B in batches])

    def validation_loss(self) -> float:
        return _loss(_logits(self.network, self.validation.x_ND), self.validation.y_N).item()

    def weights(self) -> tuple[Dense, ...]:
        return weights_of(self.network)

    def load(self, weights: tuple[Dense, ...]) -> None:
        _set_weights(self.network, weights)

    def _step(self, rows_B: Tensor) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        loss = _loss(self.network(self.train.x_ND[rows_B]).squeeze(1), self.train.y_N[rows_B])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self.optimiser.step()
        return loss.item()


def _dense_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def _set_weights(network: nn.Module, weights: tuple[Dense, ...]) -> None:
    with torch.no_grad():
        for layer, dense in zip(_dense_layers(network), weights, strict=True):
            layer.weight.copy_(torch.from_numpy(dense.weight))
            layer.bias.copy_(torch.from_numpy(dense.bias))


def _loss(logit_N: Tensor, y_N: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logit_N, y_N)


def _logits(network: nn.Module, x_ND: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(x_BD).squeeze(1) for x_BD in torch.split(x_ND, _AT_ONCE)])


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread, since sums in another order are other sums; the generator is put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
