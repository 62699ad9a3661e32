"""Who learns, who calibrates, who is tested."""

import numpy as np
import pytest

from churnops.training.rounds import rounds_by_fold, rounds_by_time, rounds_to_tune


def test_by_time_the_model_that_was_tested_is_the_bundle() -> None:
    rounds = rounds_by_time(np.array(["train", "test", "validation", "train"], dtype=object))

    assert len(rounds.tested) == 1
    assert rounds.bundled is rounds.tested[0]
    assert rounds.bundled.train_N.tolist() == [0, 3]
    assert rounds.bundled.validation_N.tolist() == [2]
    assert rounds.test_N.tolist() == rounds.unseen_N.tolist() == [1]


@pytest.mark.parametrize("folds", [3, 5])
def test_by_fold_every_row_is_tested_once_by_a_model_that_has_not_seen_it(folds: int) -> None:
    fold_N = np.arange(20) % folds

    rounds = rounds_by_fold(fold_N, folds)

    assert sorted(rounds.test_N) == list(range(20))
    for one in rounds.tested:
        parts = [set(one.train_N), set(one.validation_N), set(one.test_N)]
        assert set.union(*parts) == set(range(20))
        assert sum(map(len, parts)) == 20
        assert len(set(fold_N[one.validation_N])) == len(set(fold_N[one.test_N])) == 1


def test_by_fold_the_bundle_learns_from_all_but_what_calibrates_it() -> None:
    rounds = rounds_by_fold(np.array([0, 1, 2, 0, 1, 2]), 3)

    assert rounds.bundled.train_N.tolist() == [1, 2, 4, 5]
    assert rounds.bundled.validation_N.tolist() == rounds.unseen_N.tolist() == [0, 3]
    assert rounds.bundled.test_N.size == 0


def test_no_recipe_is_chosen_by_a_row_of_the_test() -> None:
    (one,) = rounds_to_tune(rounds_by_time(np.array(["train", "test", "validation", "train"], dtype=object)))

    assert (one.train_N.tolist(), one.validation_N.tolist(), one.test_N.size) == ([0, 3], [2], 0)


@pytest.mark.parametrize("folds", [3, 5])
def test_by_fold_the_first_is_seen_by_no_recipe_and_each_other_judges_once(folds: int) -> None:
    fold_N = np.arange(20) % folds

    rounds = rounds_to_tune(rounds_by_fold(fold_N, folds))

    assert [set(fold_N[one.validation_N]) for one in rounds] == [{fold} for fold in range(1, folds)]
    for one in rounds:
        assert set(fold_N[one.train_N]) == set(range(1, folds)) - set(fold_N[one.validation_N])
        assert one.test_N.size == 0
