"""Where tuning may look, and that every place there is a recipe."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.training.recipe import Boosting, Network, Recipe, Schedule
from churnops.training.space import point_of, recipe_at, space_of

FRAMEWORKS = ("torch", "tensorflow", "lightgbm")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@given(seed=st.integers(0, 10_000))
def test_every_point_is_a_recipe_that_differs_in_the_spaces_keys_only(framework, seed):
    start = Recipe(seed=3, threshold_top_percent=20)
    space = space_of(framework, start)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    point = {key: sampler.sample_independent(None, None, key, one) for key, one in space.items()}

    recipe = recipe_at(point, start)

    ours, theirs = recipe.model_dump(), start.model_dump()
    differing = {
        f"{section}.{key}"
        for section in ("network", "schedule", "logistic", "boosting")
        for key in ours[section]
        if ours[section][key] != theirs[section][key]
    }
    assert differing <= space.keys() | {"network.shared"}
    assert recipe.network.shared == (recipe.network.members > 1)
    assert (recipe.seed, recipe.threshold_top_percent) == (3, 20)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_default_recipe_lies_in_the_space(framework):
    space = space_of(framework, Recipe())

    assert recipe_at(point_of(Recipe(), space), Recipe()) == Recipe()


def test_both_frameworks_of_the_network_share_one_space():
    assert space_of("torch", Recipe()) == space_of("tensorflow", Recipe())


@pytest.mark.parametrize(
    ("framework", "recipe", "nearest"),
    [
        ("torch", Recipe(network=Network(hidden=(7,))), {"network.hidden": "7"}),
        ("torch", Recipe(schedule=Schedule(weight_decay=0.0)), {"schedule.weight_decay": 1e-5}),
        ("torch", Recipe(schedule=Schedule(batch_size=5000)), {"schedule.batch_size": 1024}),
        ("lightgbm", Recipe(boosting=Boosting(leaves=1000)), {"boosting.leaves": 256}),
    ],
)
def test_a_recipe_outside_stands_at_the_nearest_place(framework, recipe, nearest):
    point = point_of(recipe, space_of(framework, recipe))

    assert {key: point[key] for key in nearest} == nearest


def test_values_have_three_digits():
    recipe = recipe_at({"schedule.learning_rate": 0.00212987, "network.hidden": "32-16"}, Recipe())

    assert recipe.schedule.learning_rate == 0.00213
    assert recipe.network.hidden == (32, 16)
