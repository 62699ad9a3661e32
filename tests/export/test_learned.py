"""Weights that make more of what walks meet."""

import numpy as np
import pytest

from churnops.export.learned import better_weights, sigmoid, unbiased_effects

RNG = np.random.default_rng(0)
PLAYERS = np.array([0, 0, 1, 2])


def _log_odds(prepared_ND):
    return prepared_ND[:, 0] * prepared_ND[:, 2] + prepared_ND[:, 1] - 2 * prepared_ND[:, 3]


def test_effects_to_learn_from_add_up_and_are_right_on_average():
    prepared_SD = RNG.normal(size=(4000, 4))

    of_log_odds, of_score = unbiased_effects(_log_odds, prepared_SD, PLAYERS, RNG)

    own_S = _log_odds(prepared_SD)
    assert of_log_odds.sum(axis=1) == pytest.approx(own_S - own_S.mean())
    assert of_score.sum(axis=1) == pytest.approx(sigmoid(own_S) - sigmoid(own_S).mean())
    both_S = prepared_SD[:, 0] * prepared_SD[:, 2] / 2
    wanted_SP = np.stack([both_S + prepared_SD[:, 1], both_S, -2 * prepared_SD[:, 3]], axis=1)
    for wanted_S, found_S in zip(wanted_SP.T, of_log_odds.T, strict=True):
        assert np.polyfit(wanted_S, found_S, 1)[0] == pytest.approx(1, abs=0.1)


def test_a_rule_is_found_through_noise():
    value_SX = RNG.normal(size=(2000, 5)) * [1, 100, 1, 0, 1]
    rule_XP = np.array([[1, -1], [0.02, -0.02], [0, 0], [0, 0], [0, 0]])
    noise_S = RNG.normal(size=2000)

    found = better_weights(value_SX, value_SX @ rule_XP + noise_S[:, None] * [1, -1])

    assert (value_SX * [1, 1, 1, 0, 1]).std(axis=0)[:, None] * (found - rule_XP) == pytest.approx(
        np.zeros((5, 2)), abs=0.1
    )
    assert found.sum(axis=1) == pytest.approx(np.zeros(5), abs=1e-12)


def test_where_nothing_is_missed_nothing_changes():
    assert not better_weights(RNG.normal(size=(50, 3)), np.zeros((50, 2))).any()


def test_noise_is_not_learnt():
    value_SX, noise_SP = RNG.normal(size=(200, 150)), RNG.normal(size=(200, 2))

    found = better_weights(value_SX, noise_SP)

    assert (value_SX @ found).std() < 0.2
