"""The job behind `churnops tune`, on a small labelled table."""

import csv
import dataclasses
import datetime as dt
import math
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from gym import gym_config

from churnops.config import Settings, load_toml
from churnops.data_config import Split
from churnops.errors import ConfigError
from churnops.jobs.tune import Request, tune
from churnops.training.recipe import Recipe

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
CONFIG = gym_config({"visits": "numeric", "points": "numeric"}).model_copy(update={"split": Split(folds=3)})


def quiet(*_):
    pass


@pytest.fixture
def settings(tmp_path, tracking_uri):
    """300 members: who comes seldom tends to leave."""
    rng = np.random.default_rng(0)
    with (tmp_path / "gym.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "visits", "points", "left"])
        for i, visits in enumerate(rng.normal(10, 3, 300)):
            left = rng.random() < 1 / (1 + math.exp(0.4 * (visits - 8)))
            writer.writerow([f"m{i:04d}", f"{visits:.6f}", f"{rng.normal():.6f}", "yes" if left else "no"])
    return Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path), tracking_uri=tracking_uri)


@pytest.fixture
def request_(tmp_path):
    recipe = tmp_path / "start.toml"
    recipe.write_text("[boosting]\nmax_trees = 20\n")
    config = CONFIG.model_copy(update={"name": tmp_path.name.replace("_", "-").lower()})
    return Request(config, recipe, "lightgbm", trials=3, out=tmp_path / "made" / "gym.toml")


def after(trial, error):
    """Whom to tell, who raises `error` when the trial is over."""

    def tell(_, what):
        if what.startswith(f"trial {trial} "):
            raise error

    return tell


def test_the_best_recipe_is_written_and_an_interrupted_study_goes_on(settings, request_):
    early = tune(request_, settings, after(0, KeyboardInterrupt), at=NOON)

    assert 1 <= len(early.trials) <= 2
    assert early.trials[0].recipe == load_toml(Recipe, request_.recipe)

    whole = tune(request_, settings, quiet, at=NOON)

    assert whole.trials[: len(early.trials)] == early.trials
    assert len(whole.trials) == len({one.recipe for one in whole.trials}) == 3
    assert whole.best.log_loss == min(one.log_loss for one in whole.trials)
    assert load_toml(Recipe, whole.path) == whole.best.recipe
    head = whole.path.read_text().partition("\nseed")[0].replace("\n# ", " ")
    assert "3 trials" in head
    assert f"log loss {whole.best.log_loss:.4f}" in head


def test_other_data_are_another_study(settings, request_):
    one = dataclasses.replace(request_, trials=1)
    before = tune(one, settings, quiet, at=NOON)
    with Path(settings.source_dir, "gym.csv").open("a") as file:
        file.write("late,1.5,0.1,yes\n")

    after = tune(one, settings, quiet, at=NOON)

    assert len(before.trials) == len(after.trials) == 1
    assert before.trials != after.trials


def test_where_nothing_does_better_the_file_has_the_first_recipe_and_says_so(settings, request_):
    tuned = tune(dataclasses.replace(request_, trials=1), settings, quiet, at=NOON)

    assert load_toml(Recipe, tuned.path) == load_toml(Recipe, request_.recipe)
    assert "None did better" in tuned.path.read_text()


def begin(request, settings, told):
    tune(request, settings, lambda _, what: told.put(what), at=NOON)


def test_a_killed_study_goes_on(settings, request_):
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    endless = dataclasses.replace(request_, trials=None)
    other = context.Process(target=begin, args=(endless, settings, told))
    other.start()
    while not told.get(timeout=60).startswith("trial 1 "):
        pass
    other.kill()
    other.join()
    assert not request_.out.exists()

    tuned = tune(dataclasses.replace(request_, trials=12), settings, quiet, at=NOON)

    assert len({one.recipe for one in tuned.trials}) == len(tuned.trials) >= 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"framework": "oracle"}, "--framework:\n  - no framework is called 'oracle'"),
        ({"minutes": 0.0}, "--minutes:\n  - 0: must be"),
        ({"minutes": math.nan}, "--minutes:\n  - nan"),
        ({"recipe": Path("nosuch.toml")}, "nosuch.toml:\n  - no such file"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_at_once(settings, request_, changes, message):
    with pytest.raises(ConfigError) as raised:
        tune(dataclasses.replace(request_, **changes), settings, quiet, at=NOON)

    assert message in str(raised.value)
    assert not settings.data_dir.exists()
