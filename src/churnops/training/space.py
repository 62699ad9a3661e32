"""What tuning may change in a recipe: keys as the file has them, and the values to choose from."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from churnops.training.candidates import NETWORKS
from churnops.training.recipe import Recipe

Space = Mapping[str, BaseDistribution]
Point = Mapping[str, Any]
"""A value for each key of a space."""

_HIDDEN, _MEMBERS, _BINS = "network.hidden", "network.members", "network.bins"
_SHAPES = ("64", "128", "256", "64-32", "128-64", "256-128", "512-256", "128-128-64", "256-128-64")
_NETWORK: Space = {
    _HIDDEN: CategoricalDistribution(_SHAPES),
    "network.dropout": FloatDistribution(0.0, 0.6),
    _MEMBERS: CategoricalDistribution((1, 4, 8)),
    _BINS: CategoricalDistribution((0, 8, 16, 32)),
    "schedule.learning_rate": FloatDistribution(2e-4, 2e-2, log=True),
    "schedule.weight_decay": FloatDistribution(1e-5, 0.5, log=True),
    "schedule.batch_size": IntDistribution(32, 1024, log=True),
}
_BOOSTING: Space = {
    "boosting.learning_rate": FloatDistribution(0.01, 0.2, log=True),
    "boosting.leaves": IntDistribution(3, 256, log=True),
    "boosting.least_leaf_rows": IntDistribution(2, 200, log=True),
    "boosting.column_share": FloatDistribution(0.2, 1.0),
    "boosting.row_share": FloatDistribution(0.4, 1.0),
    "boosting.l2": FloatDistribution(1e-2, 100.0, log=True),
}
_DIGITS = 3  # a person reads the file, and nobody can tell 0.00213 from 0.0021299


def space_of(framework: str, start: Recipe) -> Space:
    """The keys that matter to `framework`; what `start` has is always among the choices."""
    if framework not in NETWORKS:
        return _BOOSTING
    return {
        key: _with(one, _chosen(_value(start, key))) if isinstance(one, CategoricalDistribution) else one
        for key, one in _NETWORK.items()
    }


def point_of(recipe: Recipe, space: Space) -> dict[str, Any]:
    """Where `recipe` lies in `space`, or the nearest place to it."""
    values = {key: _value(recipe, key) for key in space}
    return {
        key: min(max(values[key], one.low), one.high)
        if isinstance(one, FloatDistribution | IntDistribution)
        else _chosen(values[key])
        for key, one in space.items()
    }


def recipe_at(point: Point, start: Recipe) -> Recipe:
    """`start` with the values of `point` in place of its own, to three digits.

    Members share their weights as those of `start` do, or where it has one only.
    """
    content = start.model_dump()
    for key, value in point.items():
        section, _, name = key.partition(".")
        content[section][name] = _rounded(value)
    if _MEMBERS in point:
        shares = start.network.shared or start.network.members == 1
        content["network"]["shared"] = shares and point[_MEMBERS] > 1
    return Recipe.model_validate(content)


def _value(recipe: Recipe, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(recipe, section), name)


def _chosen(value: Any) -> Any:
    """How a choice is called: Optuna's are texts and numbers."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def _with(choices: CategoricalDistribution, own: Any) -> CategoricalDistribution:
    known = choices.choices
    return choices if own in known else CategoricalDistribution((*known, own))


def _rounded(value: Any) -> Any:
    match value:
        case str():
            return tuple(int(units) for units in value.split("-"))
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case _:
            return value
