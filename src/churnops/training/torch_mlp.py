"""The churn network in PyTorch. Shapes: N rows, B rows of a batch, D prepared inputs, M members."""

from collections import OrderedDict
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
from torch.nn.parallel import DistributedDataParallel

from churnops.training.dataset import Rows
from churnops.training.epochs import Lesson, Span, learn_epochs
from churnops.training.fit import Fit, OnEpoch, census
from churnops.training.group import LONE_HOST, Host
from churnops.training.network import Layer, NetworkSpec, Weights, first_weights, spec_of
from churnops.training.preprocessing import Preprocessing, fit_preprocessing
from churnops.training.recipe import Recipe

_AT_ONCE = 65_536  # rows scored together


@dataclass(frozen=True)
class TorchMlp:
    """A fitted network and what its inputs look like."""

    framework: ClassVar[Literal["torch"]] = "torch"
    preprocessing: Preprocessing
    network: nn.Module
    """[N, D] -> logit [N, 1], in evaluation mode, on the CPU."""

    def logits(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The logit of churn [N], not calibrated yet."""
        x_ND = torch.from_numpy(self.preprocessing.apply(rows))
        return np.asarray(_logits(self.network, x_ND).double().numpy())

    @property
    def weights(self) -> Weights:
        """A copy of what it has learnt."""
        return weights_of(self.network)

    def save(self, folder: Path) -> None:
        """The weights as `network.safetensors`, the layers named as in the state dict."""
        save_file(self.network.state_dict(), folder / "network.safetensors")


def build(spec: NetworkSpec, weights: Weights) -> nn.Sequential:
    """The network of `spec` with these weights. While it trains it gives each member's logit: [M, N, 1]."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(spec.layers):
        parts[layer.name] = _Members(layer) if layer.members > 1 else nn.Linear(layer.inputs, layer.outputs)
        if i < len(spec.hidden):
            parts[f"relu_{i}"] = nn.ReLU()
        if i == 0 and spec.dropout:
            parts["dropout"] = nn.Dropout(spec.dropout)
    if spec.members > 1:
        parts["mean"] = _Mean()
    network = nn.Sequential(parts)
    _set_weights(network, weights)
    return network


def weights_of(network: nn.Module) -> Weights:
    """A copy of the weights, named and shaped as in every framework."""
    return {name: tensor.cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def fit(train: Rows, validation: Rows, recipe: Recipe, *, on_epoch: OnEpoch, host: Host = LONE_HOST) -> Fit:
    """Train on `train`, stop by the log loss on `validation`, keep the best epoch's weights.

    In a group each process hands in the rows it holds and comes to the same network as one would with all of
    them. The same rows and recipe give the same weights, bit for bit, on one kind of machine and in a group
    of one size. Raises NotEnoughData where either span lacks customers who left or who stayed, and Diverged.
    """
    trained = census(train, "train", host.group)
    census(validation, "validation", host.group)
    span = Span(trained.rows, validation.churned_N)
    preprocessing = fit_preprocessing(train, bins=recipe.network.bins, group=host.group)
    spec = spec_of(recipe.network, preprocessing.width)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with _repeatable():
        network = build(spec, first_weights(spec, trained.left / trained.rows, recipe.seed)).to(device)
        learner = _Learner(
            network,
            DistributedDataParallel(network) if host.group.size > 1 else network,
            torch.optim.AdamW(network.parameters(), weight_decay=recipe.schedule.weight_decay),
            _Tensors.of(preprocessing, train, device),
            torch.from_numpy(preprocessing.apply(validation)).to(device),
            host.group.size,
            bfloat16=recipe.schedule.precision == "bfloat16",
        )
        history = learn_epochs(learner, span, recipe, on_epoch=on_epoch, host=host)
    return Fit(TorchMlp(preprocessing, network.cpu().eval()), history)


class _Members(nn.Module):
    """A dense layer of several members, each with inputs of its own or, in the first layer, the same."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.shared = layer.shared
        for name, shape in layer.shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    def forward(self, x_MBI: Tensor) -> Tensor:
        """[M, B, I] or [B, I] -> [M, B, O]."""
        part = dict(self.named_parameters())
        if self.shared:
            return (x_MBI * part["scale_in"]) @ part["weight"] * part["scale_out"] + part["bias"]
        return x_MBI @ part["weight"] + part["bias"]


class _Mean(nn.Module):
    """What the members say together, once they have learnt."""

    def forward(self, logit_MB1: Tensor) -> Tensor:
        return logit_MB1 if self.training else logit_MB1.mean(0)


@dataclass(frozen=True)
class _Tensors:
    x_ND: Tensor
    y_N: Tensor

    @classmethod
    def of(cls, preprocessing: Preprocessing, rows: Rows, device: torch.device) -> "_Tensors":
        return cls(
            torch.from_numpy(preprocessing.apply(rows)).to(device),
            torch.from_numpy(rows.churned_N.astype(np.float32)).to(device),
        )


@dataclass(frozen=True)
class _Learner:
    network: nn.Module
    stepping: nn.Module
    """The network itself, or what takes the mean of its gradients over the group."""
    optimiser: torch.optim.AdamW
    train: _Tensors
    x_validation_ND: Tensor
    processes: int
    bfloat16: bool

    def learn(self, lesson: Lesson) -> npt.NDArray[np.float64]:
        torch.manual_seed(lesson.seed)
        for group in self.optimiser.param_groups:
            group["lr"] = lesson.learning_rate
        self.network.train()
        pairs = zip(lesson.batches, lesson.sizes, strict=True)
        return np.array([self._step(torch.from_numpy(index_B), size) for index_B, size in pairs])

    def validation_logits(self) -> npt.NDArray[np.float64]:
        return np.asarray(_logits(self.network, self.x_validation_ND).double().cpu().numpy())

    def weights(self) -> Weights:
        return weights_of(self.network)

    def load(self, weights: Weights) -> None:
        _set_weights(self.network, weights)

    def momentum(self) -> Weights:
        by_number = self.optimiser.state_dict()["state"]
        return {
            f"{number}/{name}": tensor.cpu().numpy().copy()
            for number, remembered in by_number.items()
            for name, tensor in remembered.items()
        }

    def load_momentum(self, momentum: Weights) -> None:
        by_number: dict[int, dict[str, Tensor]] = {}
        for place, array in momentum.items():
            number, _, name = place.partition("/")
            by_number.setdefault(int(number), {})[name] = torch.from_numpy(array.copy())
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": by_number})

    def _step(self, rows_B: Tensor, size: int) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(rows_B.device.type, torch.bfloat16, enabled=self.bfloat16):
            logit = self.stepping(self.train.x_ND[rows_B]).squeeze(-1)
        losses = _losses(logit.float(), self.train.y_N[rows_B])
        members = logit.shape[0] if logit.dim() > 1 else 1
        loss = losses.sum() / (size * members)
        # Of the gradients in a group the mean is taken, and their sum is wanted.
        (loss * self.processes).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self.optimiser.step()
        return loss.item()


def _set_weights(network: nn.Module, weights: Weights) -> None:
    network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})


def _losses(logit: Tensor, y_N: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logit, y_N.expand_as(logit), reduction="none")


def _logits(network: nn.Module, x_ND: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(x_BD).squeeze(1) for x_BD in torch.split(x_ND, _AT_ONCE)])


@contextmanager
def _repeatable() -> Iterator[None]:
    """One thread, since sums in another order are other sums; the generator is put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
