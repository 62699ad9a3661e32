"""Shapley values by walks: from another customer's values to one's own, a column at a time.

What a column changes when its turn comes is its share; Shapley's value is the mean over all orders of columns
(Castro, Gómez and Tejada 2009). A walk is taken in both directions, which is exact where no more than two
columns act together (Mitchell, Cooper, Frank and Holmes 2022, JMLR 23).

Shapes: P columns, W walks, R = W (P - 1) + 1 customers on the way, the last of them oneself.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Walks:
    """Fixed orders of columns; the second half are those of the first, reversed, unless there is only one."""

    order_WP: npt.NDArray[np.intp]

    @property
    def pairs(self) -> int:
        """How many other customers there are: walk w begins at number w modulo this."""
        return max(len(self.order_WP) // 2, 1)

    @property
    def other_R(self) -> npt.NDArray[np.intp]:
        """Which of them stands behind the columns that have not had their turn."""
        walks, columns = self.order_WP.shape
        return np.append(np.repeat(np.arange(walks) % self.pairs, columns - 1), 0)

    @property
    def own_RP(self) -> npt.NDArray[np.bool_]:
        """Which columns had their turn."""
        turn_WP = np.argsort(self.order_WP, axis=1)
        taken = np.arange(1, turn_WP.shape[1])
        way_RP = (turn_WP[:, None, :] < taken[None, :, None]).reshape(-1, turn_WP.shape[1])
        return np.concatenate([way_RP, np.ones((1, turn_WP.shape[1]), dtype=bool)])

    @property
    def weight_RP(self) -> Array:
        """What the value of each on the way adds to the share of each column."""
        walks, columns = self.order_WP.shape
        walk_W, weight_RP = np.arange(walks), np.zeros((walks * (columns - 1) + 1, columns))
        for turn in range(1, columns):
            on_way_W = walk_W * (columns - 1) + turn - 1
            weight_RP[on_way_W, self.order_WP[:, turn - 1]] += 1 / walks
            weight_RP[on_way_W, self.order_WP[:, turn]] -= 1 / walks
        np.add.at(weight_RP[-1], self.order_WP[:, -1], 1 / walks)
        return weight_RP

    def begun(self, value_of_other: Array) -> Array:
        """What is subtracted from each column's share for where the walks begin [P]."""
        walks, columns = self.order_WP.shape
        begun_P = np.zeros(columns)
        np.add.at(begun_P, self.order_WP[:, 0], np.resize(value_of_other, walks) / walks)
        return begun_P


def walks(rng: np.random.Generator, columns: int, *, rows: int, most_pairs: int) -> Walks:
    """As many pairs of walks as meet about `rows` customers on the way; if that is none, one walk alone."""
    pairs = min(rows // (2 * max(columns - 1, 1)), most_pairs)
    order_WP = np.array([rng.permutation(columns) for _ in range(max(pairs, 1))])
    return Walks(np.concatenate([order_WP, order_WP[:, ::-1]]) if pairs else order_WP)
