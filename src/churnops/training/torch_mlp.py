"""The churn network in PyTorch. Shapes: N rows, B rows of a batch, D prepared inputs."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from churnops.training.dataset import Rows
from churnops.training.fit import Epoch, Fit, OnEpoch, both_classes
from churnops.training.network import Dense, NetworkSpec, epoch_batches, first_weights, spec_of
from churnops.training.preprocessing import Preprocessing, fit_preprocessing
from churnops.training.recipe import Recipe

_AT_ONCE = 65_536  # rows scored together


@dataclass(frozen=True)
class TorchMlp:
    """A fitted network and what its inputs look like."""

    preprocessing: Preprocessing
    network: nn.Module
    """[N, D] -> logit [N, 1], in evaluation mode."""

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = torch.from_numpy(self.preprocessing.apply(rows))
        return np.asarray(_logits(self.network, x_ND).double().numpy())


def build(spec: NetworkSpec, weights: tuple[Dense, ...]) -> nn.Sequential:
    """The network of `spec` with these weights."""
    layers: list[nn.Module] = []
    for i, ((inputs, outputs), dense) in enumerate(zip(spec.layers, weights, strict=True)):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(dense.weight))
            linear.bias.copy_(torch.from_numpy(dense.bias))
        layers += [linear, *([nn.ReLU()] if i < len(spec.hidden) else [])]
        layers += [nn.Dropout(spec.dropout)] if i == 0 and spec.dropout else []
    return nn.Sequential(*layers)


def fit(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch) -> Fit:
    """Train on `train`, stop by the log loss on `validation`, keep the best epoch's weights.

    The same rows and recipe give the same weights, bit for bit, on one kind of machine. Raises NotEnoughData
    where either span lacks customers who left or who stayed.
    """
    both_classes(train, "train")
    both_classes(validation, "validation")
    preprocessing = fit_preprocessing(train)
    spec = spec_of(recipe.network, preprocessing.width)
    with _repeatable(recipe.seed):
        network = build(spec, first_weights(spec, float(train.churned_N.mean()), recipe.seed))
        history = _train(
            network,
            _Tensors.of(preprocessing, train),
            _Tensors.of(preprocessing, validation),
            recipe=recipe,
            on_epoch=on_epoch,
        )
    return Fit(TorchMlp(preprocessing, network), history)


@dataclass(frozen=True)
class _Tensors:
    x_ND: Tensor
    y_N: Tensor

    @classmethod
    def of(cls, preprocessing: Preprocessing, rows: Rows) -> "_Tensors":
        return cls(
            torch.from_numpy(preprocessing.apply(rows)), torch.from_numpy(rows.churned_N.astype(np.float32))
        )


def _train(
    network: nn.Sequential, train: _Tensors, validation: _Tensors, *, recipe: Recipe, on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    """Leave the best epoch's weights in `network`."""
    schedule = recipe.schedule
    rows = train.y_N.numel()
    batch_size = max(schedule.batch_size, rows // schedule.batches)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.max_epochs)
    history: list[Epoch] = []
    best_loss, best_weights, best_epoch = float("inf"), copy.deepcopy(network.state_dict()), 0
    for number in range(1, schedule.max_epochs + 1):
        batches = epoch_batches(rows, batch_size, seed=recipe.seed, epoch=number)
        train_loss = _one_epoch(network, optimiser, train, batches)
        falling.step()
        loss = _loss(_logits(network, validation.x_ND), validation.y_N).item()
        history.append(Epoch(number, {"train_loss": train_loss, "validation_loss": loss}))
        on_epoch(history[-1])
        if loss < best_loss:
            best_loss, best_weights, best_epoch = loss, copy.deepcopy(network.state_dict()), number
        elif number - best_epoch >= schedule.patience:
            break
    network.load_state_dict(best_weights)
    network.eval()
    return tuple(history)


def _one_epoch(
    network: nn.Module, optimiser: torch.optim.Optimizer, train: _Tensors, batches: list[npt.NDArray[np.intp]]
) -> float:
    """The mean loss of the steps, dropout on."""
    network.train()
    total = 0.0
    for index_B in batches:
        rows_B = torch.from_numpy(index_B)
        optimiser.zero_grad(set_to_none=True)
        loss = _loss(network(train.x_ND[rows_B]).squeeze(1), train.y_N[rows_B])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        optimiser.step()
        total += loss.item() * len(index_B)
    return total / train.y_N.numel()


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
