"""`churnops tune`: look for a better recipe by the validation rows; those of the test are not looked at."""

import datetime as dt
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from churnops.bundle.manifest import canonical_json
from churnops.config import Settings, load_toml
from churnops.data_config import DataConfig
from churnops.errors import ConfigError
from churnops.jobs.run import prepare
from churnops.jobs.steps.apart import apart
from churnops.jobs.steps.workshop import Workshop, working
from churnops.progress import Tell
from churnops.registry.studies import StudyRun, TrialRun, record_study
from churnops.training.candidates import chosen_frameworks
from churnops.training.dataset import Columns, read_rows
from churnops.training.recipe import Recipe
from churnops.training.recipe_file import render_recipe
from churnops.training.rounds import Round, rounds_to_tune
from churnops.training.search import Budget, Search, Trial, finished, opened, search
from churnops.writing import write_whole

_RECIPES = Path("configs/train")
_NAMES = {"log_loss": "log loss", "roc_auc": "ROC AUC"}
_STUDIES = Path("tuning/studies.db")
_CAUTION = (
    "These figures are of the rows it was chosen by, and so too good: churnops run tells how good it is."
)


@dataclass(frozen=True)
class Request:
    """What is tuned, for how long, and where the winner goes."""

    config: DataConfig
    recipe: Path
    """What the winner has to beat, and where its other values come from."""
    framework: str = "torch"
    minutes: float = 10.0
    trials: int | None = None
    out: Path | None = None
    """None: `configs/train/<name>-<framework>.toml`."""


@dataclass(frozen=True)
class Tuned:
    """What came of it."""

    path: Path
    best: Trial
    start: Trial
    """Trial 0: the recipe to beat."""
    trials: tuple[Trial, ...]
    account: tuple[str, ...]
    """In sentences, those at the head of the file."""


@dataclass(frozen=True)
class _Task:
    """What there is to try; crosses to another process."""

    file: Path
    study: str
    framework: str
    start: Recipe
    dataset: str
    columns: Columns
    rounds: tuple[Round, ...]
    budget: Budget


def tune(request: Request, settings: Settings, tell: Tell, *, at: dt.datetime) -> Tuned:
    """Try recipes until the budget is spent, or a person interrupts, and write the best of all there were.

    The study lies in the run folder: the same data, framework and first recipe go on with it. Raises
    ConfigError for a request that makes no sense, what the first steps of `run` raise, and Busy.
    """
    start = _checked(request)
    path = request.out or _RECIPES / f"{request.config.name}-{request.framework}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)  # a folder that may not be written is known at once
    with working(settings, request.config.name, tell) as shop:
        task = _task(request, start, shop)
        step = f"tune {request.framework}"
        tell(step, "started")
        try:
            apart(_search, task, tell)
        except KeyboardInterrupt:
            tell(step, "interrupted")
            if not _trials(task):
                raise
        tell(step, "done")
        tuned = _conclude(request, path, _trials(task))
        write_whole(path, render_recipe(tuned.best.recipe, tuned.account, start=start).encode())
        tell("registry", "started")
        record_study(_study_run(request, task, tuned, at), settings)
        tell("registry", "done")
    return tuned


def _checked(request: Request) -> Recipe:
    """The recipe to start from; raises ConfigError."""
    chosen_frameworks([request.framework], option="--framework")
    if not 0 < request.minutes < math.inf:
        raise ConfigError("--minutes", [f"{request.minutes:g}: must be a number above 0"])
    return load_toml(
        Recipe,
        request.recipe,
        hint="--recipe names another; churnops's own are in configs/train/ of its repository",
    )


def _task(request: Request, start: Recipe, shop: Workshop) -> _Task:
    """The steps of `run` that every model begins with, and a study for just these rows."""
    _, prepared = prepare(request.config, shop)
    file = shop.ledger.folder / _STUDIES
    file.parent.mkdir(exist_ok=True)
    decides = {
        "audit": prepared.audited.key,
        "framework": request.framework,
        "start": start.model_dump(mode="json"),
    }
    return _Task(
        file,
        hashlib.sha256(canonical_json(decides).encode()).hexdigest(),
        request.framework,
        start,
        prepared.address,
        prepared.columns,
        rounds_to_tune(prepared.rounds),
        Budget(60 * request.minutes, request.trials),
    )


def _search(task: _Task, tell: Tell) -> None:
    what = Search(task.framework, task.start, read_rows(task.dataset, task.columns), task.rounds)
    with opened(task.file, task.study) as study:
        search(study, what, task.budget, tell=tell)


def _trials(task: _Task) -> tuple[Trial, ...]:
    with opened(task.file, task.study) as study:
        return finished(study)


def _conclude(request: Request, path: Path, trials: tuple[Trial, ...]) -> Tuned:
    start = trials[0]
    best = min(
        trials, key=lambda trial: trial.log_loss
    )  # the first of equals: the start, if nothing beats it
    return Tuned(path, best, start, trials, tuple(_account(request, trials, best)))


def _account(request: Request, trials: Sequence[Trial], best: Trial) -> list[str]:
    start = trials[0]
    given_up = sum(not one.figures for one in trials)
    told = [
        f"Tuned by `churnops tune` for {request.config.name}, {request.framework}: "
        f"{len(trials)} trials, {given_up} of them given up early."
    ]
    if best is start:
        told.append(f"None did better than {_figures(start)} of {request.recipe}: these are its values.")
    else:
        told.append(f"Trial {best.number} did best: {_figures(best)}. {request.recipe}: {_figures(start)}.")
    told.append(_CAUTION)
    return told


def _figures(trial: Trial) -> str:
    return "validation " + ", ".join(f"{_NAMES[name]} {value:.4f}" for name, value in trial.figures.items())


def _study_run(request: Request, task: _Task, tuned: Tuned, at: dt.datetime) -> StudyRun:
    runs = [
        TrialRun(one.number, one.recipe.model_dump(mode="json"), one.history, one.figures)
        for one in tuned.trials
    ]
    return StudyRun(
        request.config.name, task.study, at, request.framework, runs, tuned.best.number, tuned.path
    )
