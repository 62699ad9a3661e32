"""Training the network: ours beside the textbook's script of the same framework, on the same rows.

    python benchmarks/training.py [torch tensorflow] [--rows 100_000] [--columns 20] [--rounds 3]

The textbook's trains for 20 epochs (benchmarks/textbook/). Ours stops by itself; how long it took until its
weights first had the textbook's last validation AUC is found afterwards, from its checkpoints. Both get the
rows standardised by the same code, whose time counts for both, and use one thread. A process holds one
framework. Then the share of our time that is no forward, backward or optimiser step, each part by itself.
"""

import argparse
import importlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import expit

from churnops.evaluation.metrics import auc_of
from churnops.training.candidates import fit
from churnops.training.dataset import Columns, Rows
from churnops.training.fit import Epoch
from churnops.training.group import Host
from churnops.training.network import epoch_batches, spec_of
from churnops.training.preprocessing import fit_preprocessing
from churnops.training.recipe import Recipe, Schedule

TEXTBOOK = {"torch": "textbook.in_torch", "tensorflow": "textbook.in_keras"}
OURS = {"torch": "churnops.training.torch_mlp", "tensorflow": "churnops.training.keras_mlp"}
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Asked:
    """The size of the problem, and how often it is drawn anew."""

    framework: str
    rows: int
    columns: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.framework}, {self.rows:,} rows x {self.columns} columns, a fifth as many to validate"

    def drawn(self, seed: int) -> tuple[Rows, Rows]:
        """To learn from, and a fifth as many to validate."""
        train, validation = (made_up(n, self.columns, [seed, n]) for n in (self.rows, self.rows // 5))
        return train, validation


def main() -> None:
    """Each framework in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frameworks", nargs="*", choices=[*OURS, []], default=[])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    frameworks = given.frameworks or list(OURS)
    if len(frameworks) > 1:
        for framework in frameworks:
            sizes = [f"--{name}={getattr(given, name)}" for name in ("rows", "columns", "rounds")]
            command = [sys.executable, __file__, framework, *sizes]
            subprocess.run(command, check=True, env=os.environ | ONE_THREAD)
        return
    (framework,) = frameworks
    asked = Asked(framework, given.rows, given.columns, given.rounds)
    os.environ |= ONE_THREAD
    print(asked)
    ratios = [compare(asked, seed) for seed in range(asked.rounds)]
    print(f"  ratio, median of {asked.rounds}: {statistics.median(ratios):.1f}x")
    take_apart(asked)


def compare(asked: Asked, seed: int) -> float:
    """How many times sooner ours had the textbook's AUC; 0 where it never had."""
    train, validation = asked.drawn(seed)
    textbook_seconds, textbook_auc = textbook(asked.framework, train, validation, seed)
    with tempfile.TemporaryDirectory() as folder:
        seconds = ours(asked.framework, train, validation, Path(folder), seed)
        aucs = [
            auc_after(asked.framework, train, validation, path)
            for path in sorted(Path(folder).glob("*.epoch"))
        ]
    reached = next((i for i, auc in enumerate(aucs) if auc >= textbook_auc), None)
    ratio = 0.0 if reached is None else textbook_seconds / seconds[reached]
    when = (
        "never as good" if reached is None else f"as good after epoch {reached + 1}, {seconds[reached]:.1f} s"
    )
    print(
        f"  textbook {textbook_seconds:5.1f} s, AUC {textbook_auc:.4f}   ours {when}; "
        f"{len(aucs)} epochs, {seconds[-1]:.1f} s, AUC {max(aucs):.4f}   {ratio:.1f}x",
        flush=True,
    )
    return ratio


def textbook(framework: str, train: Rows, validation: Rows, seed: int) -> tuple[float, float]:
    """Seconds to train, and the validation AUC, which is looked at afterwards."""
    module = importlib.import_module(TEXTBOOK[framework])
    one_thread(framework)
    started = time.perf_counter()
    standardised = fit_preprocessing(train).apply
    logits = module.train(standardised(train), train.churned_N.astype(np.float32), seed)
    seconds = time.perf_counter() - started
    return seconds, auc_of(validation.churned_N, logits(standardised(validation)))


def ours(framework: str, train: Rows, validation: Rows, folder: Path, seed: int) -> list[float]:
    """Seconds until each epoch was over; its weights are in a file of `folder`. The default recipe."""
    importlib.import_module(OURS[framework])
    kept, seconds, copying = folder / "kept", [], 0.0
    started = time.perf_counter()

    def on_epoch(epoch: Epoch) -> None:
        nonlocal copying
        now = time.perf_counter()
        seconds.append(now - started - copying)
        shutil.copy(kept, folder / f"{epoch.number:03}.epoch")
        copying += time.perf_counter() - now

    fit(framework, train, validation, Recipe(seed=seed), on_epoch=on_epoch, host=Host(checkpoint=kept))
    return seconds


def auc_after(framework: str, train: Rows, validation: Rows, checkpoint: Path) -> float:
    """The validation AUC of an epoch's weights."""
    module: Any = importlib.import_module(OURS[framework])
    preprocessing = fit_preprocessing(train)
    tensors = load_file(checkpoint)
    weights = {name.removeprefix("weights/"): t for name, t in tensors.items() if name.startswith("weights/")}
    network = module.build(spec_of(Recipe().network, preprocessing.width), weights)
    model = module.TorchMlp if framework == "torch" else module.KerasMlp
    return auc_of(validation.churned_N, model(preprocessing, network).logits(validation))


def one_thread(framework: str) -> None:
    """For PyTorch; TensorFlow reads it from the environment."""
    if framework == "torch":
        importlib.import_module("torch").set_num_threads(1)


def take_apart(asked: Asked) -> None:
    """What of an epoch is not forward, backward and optimiser."""
    train, validation = asked.drawn(0)
    epochs = 4
    recipe = Recipe(schedule=Schedule(max_epochs=epochs, patience=epochs))
    fit(asked.framework, train, validation, Recipe(schedule=Schedule(max_epochs=1)), on_epoch=lambda _: None)
    seconds: list[float] = []
    started = time.perf_counter()
    fit(
        asked.framework,
        train,
        validation,
        recipe,
        on_epoch=lambda _: seconds.append(time.perf_counter() - started),
    )
    epoch = statistics.median(np.diff(seconds))
    module = importlib.import_module(OURS[asked.framework])
    batches = epoch_batches(len(train), max(256, len(train) // 500), seed=0, epoch=1)
    preprocessing = fit_preprocessing(train)
    x_ND, x_validation_ND = preprocessing.apply(train), preprocessing.apply(validation)
    assembly = assemble(asked.framework, x_ND, train.churned_N.astype(np.float32), batches)
    network = module.build(
        spec_of(recipe.network, preprocessing.width),
        module.first_weights(spec_of(recipe.network, preprocessing.width), 0.2, 0),
    )
    judging = median_seconds(lambda: module._logits(network, tensor(asked.framework, x_validation_ND)))
    rest = epoch - assembly - judging
    print(
        f"  an epoch: {epoch:.2f} s; batches put together {assembly / epoch:.0%}, "
        f"validation {judging / epoch:.0%}, forward, backward and optimiser {rest / epoch:.0%}",
        flush=True,
    )


def assemble(framework: str, x_ND: np.ndarray, y_N: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Seconds to draw all batches of an epoch and do nothing with them, as our steps draw them."""
    x, y = tensor(framework, x_ND), tensor(framework, y_N)
    if framework == "torch":
        torch = importlib.import_module("torch")
        return median_seconds(lambda: [(x[i], y[i]) for i in map(torch.from_numpy, batches)])
    tf = importlib.import_module("tensorflow")
    order, edges = (
        np.concatenate(batches).astype(np.int32),
        np.cumsum([0, *map(len, batches)], dtype=np.int32),
    )

    @tf.function
    def draw() -> Any:
        total = tf.constant(0.0)
        for i in tf.range(len(batches)):
            index = tf.constant(order)[tf.constant(edges)[i] : tf.constant(edges)[i + 1]]
            total += tf.gather(x, index)[0, 0] + tf.gather(y, index)[0]
        return total

    return median_seconds(draw)


def tensor(framework: str, array: np.ndarray) -> Any:
    """The array as the framework has it."""
    module: ModuleType = importlib.import_module(framework)
    return module.from_numpy(array) if framework == "torch" else module.constant(array)


def median_seconds(work: Any) -> float:
    """Of five times, after one for warmth."""
    work()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def made_up(rows: int, columns: int, seed: list[int]) -> Rows:
    """Columns of which half matter: in a straight line, in pairs, and in a bend. About one in five leaves."""
    rng = np.random.default_rng(seed)
    x_NF = rng.standard_normal((rows, columns), dtype=np.float32)
    a_N, b_N, c_N, d_N = x_NF[:, :4].T
    line_N = x_NF[:, : columns // 2] @ np.linspace(0.8, 0.1, columns // 2)
    logit_N = line_N + 0.7 * a_N * b_N + np.abs(c_N) - 0.5 * (d_N > 1.0) - 3.2
    return Rows(
        Columns(tuple(f"x{i}" for i in range(columns)), ()),
        x_NF,
        np.empty((rows, 0), dtype=object),
        churned_N=rng.random(rows) < expit(logit_N),
        customer_id_N=np.arange(rows).astype(str).astype(object),
        as_of_N=np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]"),
    )


if __name__ == "__main__":
    main()
