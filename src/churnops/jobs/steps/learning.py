"""How one candidate learns, calibrates, scores its test and becomes a graph: in one process, or in several
that each hold a share of the rows and come to the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from churnops.errors import ProcessLost
from churnops.evaluation.calibration import Platt, fit_platt
from churnops.evaluation.metrics import Array, auc_of
from churnops.export.onnx import to_onnx
from churnops.export.parity import check_parity
from churnops.jobs.steps.ledger import write_json
from churnops.jobs.steps.provenance import code_commit, libraries
from churnops.training.baselines import Boosted, Linear
from churnops.training.bgnbd import BgNbd
from churnops.training.candidates import fit
from churnops.training.dataset import Rows
from churnops.training.fit import Fit, Model, OnEpoch
from churnops.training.group import Group, Host, Index, gather_array, gather_json
from churnops.training.network import digest
from churnops.training.recipe import Recipe
from churnops.training.rounds import Round, Rounds

MODEL = "model.onnx"
SCORES = "scores.parquet"
FACTS = "candidate.json"
FLAVOUR = "mlflow"
_NOT_A_NETWORK = (Linear, Boosted, BgNbd)


@dataclass(frozen=True)
class Assignment:
    """Which candidate learns, by which recipe, and where it leaves checkpoints."""

    name: str
    recipe: Recipe
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Held:
    """The rows one process holds. Every row is held by one."""

    rows: Rows
    number_N: Index
    """The place of each among all rows."""
    rounds: Rounds
    """Places among the rows held."""


@dataclass(frozen=True)
class Facts:
    """What is known of a candidate before it is compared."""

    name: str
    validation_auc: float
    """The mean over the rounds."""
    calibration: Platt
    threshold: float
    """The score that the recipe's top share of the validation customers reaches."""
    parity: float
    history: tuple[Mapping[str, float], ...]
    """One entry per epoch of the fit in the bundle."""
    processes: int
    """How many learnt together."""
    weights_sha256: str
    """Over what the fit in the bundle has learnt, the same in every process; empty for what is no network."""
    code_commit: str
    libraries: Mapping[str, str]


@dataclass(frozen=True)
class Learnt:
    """What came of it, alike in every process."""

    facts: Facts
    model: Model
    graph: bytes
    number_N: Index
    """Of the tested rows, round after round."""
    score_N: Array

    def write(self, to: Path) -> None:
        """The graph, the test scores, the facts; a network in its framework's own format and in MLflow's."""
        (to / MODEL).write_bytes(self.graph)
        if not isinstance(self.model, _NOT_A_NETWORK):
            from churnops.registry.flavours import save_flavour  # MLflow takes seconds to import

            self.model.save(to)
            save_flavour(self.model, to / FLAVOUR)
        pq.write_table(pa.table({"row": self.number_N, "score": self.score_N}), to / SCORES)
        write_json(to / FACTS, asdict(self.facts))


@dataclass(frozen=True)
class _Calibrated:
    fit: Fit
    platt: Platt
    validation_score_N: Array
    """Of all processes."""
    validation_auc: float

    def score(self, rows: Rows) -> Array:
        return self.platt.apply(self.fit.model.logits(rows))


def learn(task: Assignment, held: Held, group: Group, on_epoch: OnEpoch) -> Learnt:
    """Fit in every round, and once more for the bundle where none of these is for it.

    Raises NotEnoughData, Diverged, ParityError, and ProcessLost where processes differ in what they learnt.
    """
    fitted = [
        _fit(task, held, round_, _host(task, held, round_, group, name=f"round-{i}"), on_epoch)
        for i, round_ in enumerate(held.rounds.fits)
    ]
    tested, bundled = fitted[: len(held.rounds.tested)], fitted[-1]
    number_N, score_N = _test(tested, held, group)
    graph, parity = _graph(bundled, held, group)
    above = 1 - task.recipe.threshold_top_percent / 100
    facts = Facts(
        name=task.name,
        validation_auc=float(np.mean([one.validation_auc for one in tested])),
        calibration=bundled.platt,
        threshold=float(np.quantile(bundled.validation_score_N, above)),
        parity=parity,
        history=tuple(dict(epoch.figures) for epoch in bundled.fit.history),
        processes=group.size,
        weights_sha256=_weights_sha256(bundled.fit.model, group),
        code_commit=code_commit(),
        libraries=libraries(),
    )
    return Learnt(facts, bundled.fit.model, graph, number_N, score_N)


def _host(task: Assignment, held: Held, round_: Round, group: Group, *, name: str) -> Host:
    """This process in one fit: its training rows are numbered among those of all processes."""
    own_N = held.number_N[round_.train_N]
    number_N = None if group.size == 1 else np.searchsorted(np.sort(gather_array(group, own_N)), own_N)
    return Host(group, number_N, task.checkpoints / f"{name}.safetensors" if task.checkpoints else None)


def _fit(task: Assignment, held: Held, round_: Round, host: Host, on_epoch: OnEpoch) -> _Calibrated:
    train, validation = held.rows.take(round_.train_N), held.rows.take(round_.validation_N)
    fitted = fit(task.name, train, validation, task.recipe, on_epoch=on_epoch, host=host)
    number_N = held.number_N[round_.validation_N]
    logit_N = _in_order(host.group, number_N, fitted.model.logits(validation))
    churned_N = _in_order(host.group, number_N, validation.churned_N)
    platt = fit_platt(logit_N, churned_N)
    score_N = platt.apply(logit_N)
    return _Calibrated(fitted, platt, score_N, auc_of(churned_N, score_N))


def _test(fitted: Sequence[_Calibrated], held: Held, group: Group) -> tuple[Index, Array]:
    """The numbers of all tested rows, and their scores by the model that has not seen them."""
    places = [round_.test_N for round_ in held.rounds.tested]
    numbers = [held.number_N[place_N] for place_N in places]
    scores = [one.score(held.rows.take(place_N)) for one, place_N in zip(fitted, places, strict=True)]
    return (
        np.concatenate([_in_order(group, number_N, number_N) for number_N in numbers]),
        np.concatenate([_in_order(group, *pair) for pair in zip(numbers, scores, strict=True)]),
    )


def _graph(bundled: _Calibrated, held: Held, group: Group) -> tuple[bytes, float]:
    """The graph, made once, and how far it is from the model on all tested rows."""
    own = to_onnx(bundled.fit.model, held.rows.columns, bundled.platt) if group.rank == 0 else b""
    graph = group.gather(own)[0]
    tested = held.rows.take(held.rounds.test_N)
    return graph, max(gather_json(group, check_parity(graph, tested, bundled.score(tested))))


def _weights_sha256(model: Model, group: Group) -> str:
    if isinstance(model, _NOT_A_NETWORK):
        return ""
    found = gather_json(group, digest(model.weights))
    if len(set(found)) > 1:
        raise ProcessLost(f"the processes have not learnt the same network: {', '.join(found)}")
    return str(found[0])


def _in_order(group: Group, number_N: Index, values_N: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values of all processes, by the numbers of their rows."""
    order_N = np.argsort(gather_array(group, number_N))
    return gather_array(group, values_N)[order_N]
