"""Trials on record: begun, broken off, gone on with."""

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from customers import make_customers

from churnops.errors import NotEnoughData, RegistryError
from churnops.training.recipe import Boosting, Network, Recipe, Schedule
from churnops.training.rounds import rounds_by_fold, rounds_to_tune
from churnops.training.search import Budget, Search, finished, opened, search
from churnops.training.space import space_of

SMALL = Recipe(
    network=Network(hidden=(8,)),
    schedule=Schedule(max_epochs=12, patience=12),
    boosting=Boosting(max_trees=20),
)
SLOW = Schedule(max_epochs=60, patience=60)
ROWS = make_customers(240)
ROUNDS = rounds_to_tune(rounds_by_fold(np.arange(240) % 3, 3))
TREES = Search("lightgbm", SMALL, ROWS, ROUNDS)
NETWORK = Search("torch", SMALL, ROWS, ROUNDS)


def study():
    """In memory, where nothing waits for the disk."""
    return optuna.create_study()


def go_on(study, what=TREES, *, trials=None, seconds=math.inf, tell=lambda *_: None):
    search(study, what, Budget(seconds, trials), tell=tell)
    return finished(study)


@pytest.fixture(scope="module")
def whole():
    """Fourteen trials without a break: more than the sampler draws at random."""
    return go_on(study(), trials=14)


def test_the_first_trial_is_what_one_starts_from(whole):
    assert whole[0].recipe == SMALL
    assert whole[0].figures.keys() == {"log_loss", "roc_auc"}
    assert [one.number for one in whole] == list(range(14))


def test_no_recipe_is_tried_twice(whole):
    assert len({one.recipe for one in whole}) == len(whole)


@pytest.mark.parametrize("done", [0, 1, 12])
def test_a_study_goes_on_after_a_killed_process_as_without(whole, done):
    killed = study()
    if done:
        go_on(killed, trials=done)
    killed.ask(dict(space_of("lightgbm", SMALL)))  # and then the process was killed

    assert go_on(killed, trials=14) == whole


def test_a_study_is_found_again_in_its_file(tmp_path, whole):
    file = tmp_path / "our studies.db"
    with opened(file, "trees") as begun:
        go_on(begun, trials=2)
    with opened(file, "network") as other:
        assert finished(other) == ()
    with opened(file, "trees") as again:
        assert go_on(again, trials=3) == whole[:3]


def test_a_study_that_has_its_trials_is_left_alone():
    begun = study()
    before = go_on(begun, trials=3)

    assert go_on(begun, trials=2) == before


def test_out_of_time_only_what_one_starts_from_is_tried():
    (only,) = go_on(study(), seconds=0.0)

    assert only.recipe == SMALL


def test_a_trial_cut_short_by_the_budget_is_none_yet():
    begun, slow = study(), replace(NETWORK, start=SMALL.model_copy(update={"schedule": SLOW}))
    before = go_on(begun, slow, trials=1)

    assert go_on(begun, slow, seconds=1e-2) == before
    assert len(begun.get_trials()) == 2


def test_networks_that_lag_behind_are_given_up():
    trials = go_on(study(), NETWORK, trials=9)

    given_up = [one for one in trials if not one.figures]
    assert given_up
    assert all(one.log_loss == math.inf for one in given_up)
    assert all(5 <= len(one.history) <= 12 for one in given_up)
    assert all(one.figures for one in trials[:5])


def test_each_trial_is_told_with_the_best_so_far(whole):
    told = []

    go_on(study(), trials=2, tell=lambda *said: told.append(said))

    losses = [one.log_loss for one in whole[:2]]
    assert told[1] == ("tune lightgbm", f"trial 1  log loss {losses[1]:.4f}  best {min(losses):.4f}")


def test_rows_of_one_kind_are_not_enough():
    stayed = ROWS.take(np.flatnonzero(~ROWS.churned_N))
    rounds = rounds_to_tune(rounds_by_fold(np.arange(len(stayed)) % 3, 3))

    with pytest.raises(NotEnoughData, match="customers left"):
        go_on(study(), replace(TREES, rows=stayed, rounds=rounds), trials=1)


def test_a_file_that_is_no_study_is_named(tmp_path):
    path = tmp_path / "studies.db"
    path.write_text("not a database, but long enough to look like one" * 100)

    with pytest.raises(RegistryError, match=r"studies.db: the study cannot be used"), opened(path, "any"):
        pass
