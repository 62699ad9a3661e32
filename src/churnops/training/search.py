"""The search for a better recipe: trials on record, one after another, until the budget is spent."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from churnops.errors import Diverged, RegistryError
from churnops.evaluation.metrics import auc_of
from churnops.progress import Tell
from churnops.training.candidates import NETWORKS, fit
from churnops.training.dataset import Rows
from churnops.training.fit import Epoch, OnEpoch
from churnops.training.recipe import Recipe
from churnops.training.rounds import Round
from churnops.training.space import Space, point_of, recipe_at, space_of

_RECIPE, _LOSS, _AUC = "recipe", "log_loss", "roc_auc"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_UNPRUNED_TRIALS, _UNPRUNED_EPOCHS = 5, 5
_FIRST_FIT = 1_000_000  # as the step of a report: later than any epoch


@dataclass(frozen=True)
class Budget:
    """When to stop."""

    seconds: float
    """Of this process; the first trial of a study is finished in any case."""
    trials: int | None = None
    """Of the study, those of earlier processes among them; None: as many as there is time for."""


@dataclass(frozen=True)
class Search:
    """What is tuned, from where, and on which rows."""

    framework: str
    start: Recipe
    """Trial 0: what the others have to beat."""
    rows: Rows
    rounds: Sequence[Round]
    """A trial is as good as its mean over them."""


@dataclass(frozen=True)
class Trial:
    """A finished one."""

    number: int
    recipe: Recipe
    history: tuple[float, ...]
    """Log loss on the validation rows after each epoch of a network's first fit."""
    figures: Mapping[str, float]
    """`log_loss` and `roc_auc` on the validation rows, means over the rounds; none if it was given up."""

    @property
    def log_loss(self) -> float:
        """Infinite where it was given up: worse than any."""
        return self.figures.get(_LOSS, math.inf)


@contextmanager
def opened(file: Path, name: str) -> Iterator[optuna.Study]:
    """The study `name` in the SQLite `file`, begun if it is not there.

    What SQLite or Optuna cannot do with the file in the block is a RegistryError.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna.create_study(storage=f"sqlite:///{file.resolve()}", study_name=name, load_if_exists=True)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RegistryError(
            f"{file}: the study cannot be used: {error}; without the file, it begins anew"
        ) from error


def finished(study: optuna.Study) -> tuple[Trial, ...]:
    """All trials that came to an end, in order, numbered from 0."""
    found = study.get_trials(deepcopy=False, states=_FINISHED)
    return tuple(_trial(number, one) for number, one in enumerate(found))


def search(study: optuna.Study, what: Search, budget: Budget, *, tell: Tell) -> None:
    """Try recipes until the budget is spent; the study keeps each as soon as it is finished.

    What is asked for next depends on the finished trials and the seed alone: a study goes on after a killed
    process as it would have gone on without, and a trial that was running then counts as none. One process at
    a time. Raises NotEnoughData, and Diverged where `start` does.
    """
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)
    study.pruner = MedianPruner(_UNPRUNED_TRIALS, n_warmup_steps=_UNPRUNED_EPOCHS)
    space = space_of(what.framework, what.start)
    deadline = time.monotonic() + budget.seconds
    while (done := len(study.get_trials(deepcopy=False, states=_FINISHED))) < (budget.trials or math.inf):
        if done and time.monotonic() > deadline:
            return
        trial = _ask(study, what.start, space, done)
        recipe = recipe_at(trial.params, what.start) if done else what.start
        trial.set_user_attr(_RECIPE, recipe.model_dump(mode="json"))
        try:
            log_loss, roc_auc = _judge(trial, recipe, what, deadline if done else math.inf)
        except _OutOfTime:
            study.tell(trial, state=TrialState.FAIL)
            return
        except (optuna.TrialPruned, Diverged):
            if not done:
                raise
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr(_AUC, roc_auc)
            study.tell(trial, log_loss)
        tell(f"tune {what.framework}", _line(finished(study)))


class _OutOfTime(Exception):
    pass


def _ask(study: optuna.Study, start: Recipe, space: Space, done: int) -> optuna.Trial:
    """The next point to try; the first is where `start` lies, so that the sampler knows of it.

    Each has a seed of its own: with one for all, the next process would draw the same again.
    """
    study.sampler = TPESampler(seed=int(np.random.SeedSequence([start.seed, done]).generate_state(1)[0]))
    if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(point_of(start, space))
    return study.ask(dict(space))


def _judge(trial: optuna.Trial, recipe: Recipe, what: Search, deadline: float) -> tuple[float, float]:
    """Log loss and ROC AUC on the validation rows; raises TrialPruned, _OutOfTime and Diverged.

    The first fit decides whether the others are made: a network's while it learns, trees when it is done,
    since those that learn slowly, and often well, look bad until then.
    """

    def in_time(_: Epoch) -> None:
        if time.monotonic() > deadline:
            raise _OutOfTime

    def watch(epoch: Epoch) -> None:
        in_time(epoch)
        _report(trial, epoch.figures["validation_loss"], epoch.number)

    losses, aucs = [], []
    for place, round_ in enumerate(what.rounds):
        is_watched = place == 0 and what.framework in NETWORKS
        loss, auc = _fit(recipe, what, round_, watch if is_watched else in_time)
        losses.append(loss)
        aucs.append(auc)
        if place == 0 and len(what.rounds) > 1:
            _report(trial, loss, _FIRST_FIT)
    return fmean(losses), fmean(aucs)


def _report(trial: optuna.Trial, loss: float, step: int) -> None:
    trial.report(loss, step)
    if trial.should_prune():
        raise optuna.TrialPruned


def _fit(recipe: Recipe, what: Search, round_: Round, on_epoch: OnEpoch) -> tuple[float, float]:
    validation = what.rows.take(round_.validation_N)
    fitted = fit(what.framework, what.rows.take(round_.train_N), validation, recipe, on_epoch=on_epoch)
    loss = min(epoch.figures["validation_loss"] for epoch in fitted.history)
    return loss, auc_of(validation.churned_N, fitted.model.logits(validation))


def _trial(number: int, found: FrozenTrial) -> Trial:
    history = sorted(found.intermediate_values.items())
    noted = found.user_attrs
    return Trial(
        number,
        Recipe.model_validate(noted[_RECIPE]),
        tuple(loss for step, loss in history if step != _FIRST_FIT),
        {_LOSS: float(found.value), _AUC: noted[_AUC]} if found.value is not None and _AUC in noted else {},
    )


def _line(trials: Sequence[Trial]) -> str:
    """The last trial in words, and the best so far."""
    last, best = trials[-1], min(one.log_loss for one in trials)
    came_to = f"log loss {last.log_loss:.4f}" if last.figures else "given up"
    return f"trial {last.number}  {came_to}  best {best:.4f}"
