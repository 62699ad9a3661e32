"""What a few walks leave out, learnt from many customers, of each of whom other walks are asked.

A walk's values weigh as Shapley says when nothing is known of the model. Against noisy but unbiased effects
of customers of training, ridge regression finds what weights do better: regression adjustment (Witter, Liu
and Musco 2025, arXiv 2506.11849) by labels that need not be exact (Covert, Kim, Lee, Zou and Hashimoto 2024,
NeurIPS). Where columns only add up, walks miss nothing, and nothing is changed.

Shapes: S customers, D prepared inputs, P columns, X values of which effects are made.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from churnops.export.walks import Array

_PAIRS = 2  # walks there and back for each customer to learn from
_PENALTIES = 10.0 ** np.arange(-3, 3)
_NOTHING = 1e-9  # less than any value varies by


def unbiased_effects(
    log_odds: Callable[[Array], Array],
    prepared_SD: Array,
    player_D: npt.NDArray[np.intp],
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Shapley values [S, P] of everybody's log-odds and of their probability, each by a pair of walks or two
    of one's own, from customers of the same sample. They add up to how far one is from the mean."""
    customers, columns = len(prepared_SD), int(player_D.max()) + 1
    own_S = log_odds(prepared_SD)
    of_log_odds, of_probability = np.zeros((2, customers, columns))
    for _ in range(_PAIRS):
        order_SP = rng.permuted(np.tile(np.arange(columns), (customers, 1)), axis=1)
        other_S = rng.permutation(customers)
        for turn_SP in (np.argsort(order_SP, axis=1), np.argsort(order_SP[:, ::-1], axis=1)):
            steps = [
                log_odds(np.where((turn_SP < turn)[:, player_D], prepared_SD, prepared_SD[other_S]))
                for turn in range(1, columns)
            ]
            way_SY = np.column_stack([own_S[other_S], *steps, own_S])
            for way, found in ((way_SY, of_log_odds), (sigmoid(way_SY), of_probability)):
                found += np.take_along_axis(np.diff(way, axis=1), turn_SP, axis=1) / (2 * _PAIRS)
    return _summing_to(own_S, of_log_odds), _summing_to(sigmoid(own_S), of_probability)


def better_weights(value_SX: Array, missed_SP: Array) -> Array:
    """Weights [X, P] of values by which, less their means, they make most of what was missed.

    The penalty is the one by which customers left out are met best.
    """
    centred_SX, centred_SP = value_SX - value_SX.mean(axis=0), missed_SP - missed_SP.mean(axis=0)
    scale_X = np.maximum(centred_SX.std(axis=0), _NOTHING)
    standard_SX = centred_SX / scale_X
    size_X, turned_XX = np.linalg.eigh(standard_SX.T @ standard_SX)
    size_X = np.maximum(size_X, _NOTHING)
    left_SX = standard_SX @ turned_XX / size_X**0.5
    shared_XP = left_SX.T @ centred_SP

    def shrunk(penalty: float) -> Array:
        return np.asarray(size_X / (size_X + penalty * len(value_SX)))

    def missed_by_others(penalty: float) -> float:
        weight_S = 1 - 1 / len(value_SX) - left_SX**2 @ shrunk(penalty)
        rest_SP = centred_SP - left_SX @ (shrunk(penalty)[:, None] * shared_XP)
        return float(((rest_SP / np.maximum(weight_S, 1e-9)[:, None]) ** 2).sum())

    penalty = min(_PENALTIES, key=missed_by_others)
    solved_XP = (shrunk(penalty) / size_X**0.5)[:, None] * shared_XP
    return np.asarray(turned_XX @ solved_XP / scale_X[:, None])


def sigmoid(log_odds: Array) -> Array:
    """The probability."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _summing_to(value_S: Array, effect_SP: Array) -> Array:
    missing_S = value_S - value_S.mean() - effect_SP.sum(axis=1)
    return np.asarray(effect_SP + missing_S[:, None] / effect_SP.shape[1])
