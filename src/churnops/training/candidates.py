"""Which models compete, by name; a framework is imported when its candidate is fitted."""

import os
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Literal

from churnops.errors import ConfigError
from churnops.training.dataset import Rows
from churnops.training.fit import Fit, OnEpoch
from churnops.training.group import ALONE, LONE_HOST, Group, Host, Place
from churnops.training.recipe import Recipe

FRAMEWORKS = ("lightgbm", "torch", "tensorflow")
"""What may be asked for; its candidate bears its name."""
NETWORKS = ("torch", "tensorflow")
"""Candidates that have to earn their place, each fitted in a process of its own; the others are baselines."""

Shape = Literal["purchases", "labelled"]


def chosen_frameworks(
    names: Collection[str], *, elsewhere: Collection[str] = (), option: str = "--frameworks"
) -> tuple[str, ...]:
    """Those of FRAMEWORKS that `option` names; raises ConfigError for an unknown or missing one.

    Those that learn `elsewhere` need not be installed here.
    """
    problems = [
        f"no framework is called '{name}': {', '.join(FRAMEWORKS)}"
        for name in names
        if name not in FRAMEWORKS
    ]
    problems += [
        f"{name} is not installed: make setup-{name}, or pip install 'churnops[{name}]'"
        for name in names
        if name in FRAMEWORKS and name not in elsewhere and not is_installed(name)
    ]
    if problems:
        raise ConfigError(option, problems)
    return tuple(name for name in FRAMEWORKS if name in names)


def is_installed(framework: str) -> bool:
    """Whether it can be imported here."""
    return find_spec(framework) is not None


def one_column(shape: Shape) -> str:
    """The candidate that looks at one column only."""
    return "recency" if shape == "purchases" else "single_column"


def candidates_of(shape: Shape, frameworks: Collection[str]) -> tuple[str, ...]:
    """All candidates, the quickest first: plain baselines need no framework and are always there."""
    plain = ("recency", "bgnbd", "logistic") if shape == "purchases" else ("single_column", "logistic")
    return (*plain, *(name for name in FRAMEWORKS if name in frameworks))


def joined(name: str, place: Place | None) -> AbstractContextManager[Group]:
    """The group of processes that fit the network `name` together; without a place, this one alone."""
    match name if place else None:
        case "torch":
            from churnops.training import torch_group

            return torch_group.joined(place)
        case "tensorflow" if place:
            _hush_tensorflow()
            from churnops.training import keras_group

            return keras_group.joined(place)
        case _:
            return nullcontext(ALONE)


def joined_by_torchrun() -> AbstractContextManager[Group]:
    """The group of PyTorch's processes that torchrun has started."""
    from churnops.training import torch_group

    return torch_group.joined(None)


def fit(  # noqa: PLR0913 - the trainers' five, and which of them
    name: str,
    train: Rows,
    validation: Rows,
    recipe: Recipe,
    *,
    on_epoch: OnEpoch,
    host: Host = LONE_HOST,
) -> Fit:
    """Fit the candidate `name`; raises ValueError where there is none, NotEnoughData, and Diverged.

    Networks are fitted by all processes of `host`'s group, which may keep checkpoints; others need neither.
    """
    match name:
        case "torch":
            from churnops.training import torch_mlp

            return torch_mlp.fit(train, validation, recipe, on_epoch=on_epoch, host=host)
        case "tensorflow":
            _hush_tensorflow()
            from churnops.training import keras_mlp

            return keras_mlp.fit(train, validation, recipe, on_epoch=on_epoch, host=host)
        case "lightgbm":
            from churnops.training import baselines

            return baselines.fit_boosting(train, validation, recipe, on_epoch=on_epoch)
        case "logistic":
            from churnops.training import baselines

            return baselines.fit_logistic(train, validation, recipe, on_epoch=on_epoch)
        case "bgnbd":
            from churnops.training.bgnbd import fit_bgnbd

            return fit_bgnbd(train)
        case "recency" | "single_column":
            from churnops.training import baselines

            return baselines.fit_one_column(train, validation, recipe, on_epoch=on_epoch)
        case _:
            raise ValueError(f"no candidate is called {name}")


def _hush_tensorflow() -> None:
    """At every start it tells of the processor and of missing GPUs; what is wrong is raised all the same."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
