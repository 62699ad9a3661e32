"""Copies that were altered on the way: every number shifted by a constant, or blurred by a trace of noise.

Array names end in their axes: N rows, F numeric columns, C categorical ones (as codes), P pairs.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Codes = npt.NDArray[np.int64]

_TOLERANCE = 1e-9  # of a sum of standardised columns: far above rounding, far below what means something
_LEAST_COMPLETE = 0.5
_LOOKS = 8_000_000  # pairs of rows looked at: 512 rows against all of 15,000, or 80 against all of 100,000
_MOST_SAMPLED = 512
_LEAST_HITS = 6
_STANDS_OUT = 4.0
_BACKGROUND = 6  # up to six shifts may be real (four copies of a table); the next most common one is chance
_MOST_HITS = 1.5  # partners per row
_MOST_PARTNERS = 3
_MOST_PATTERNS = 32
_FAR = 100.0  # where a missing number stands: near other missing ones only
_NEARER = 0.1  # than the second nearest row
_LEAST_NEAR = 0.12
_LEAST_DIMENSIONS = 2
_LEAST_ROWS = 100


@dataclass(frozen=True)
class Links:
    """Pairs of rows that belong together, and what makes them so."""

    left: Index
    right: Index
    text: str


def translated(numeric_NF: Array, category_NC: Codes) -> Links:
    """Rows whose numbers differ by one constant vector, where known, and whose categories mostly agree.

    Among the differences of a sample of rows to all rows, a vector that recurs several times as often as the
    others, and leads each row to one partner, is a trace of copying; in a table that merely has few values,
    many vectors recur and each row has many partners. A shift of one column alone is not taken: neighbours in
    a coarse table differ so.
    """
    known = _well_filled(numeric_NF)
    weight_F = np.random.default_rng(0).normal(size=(known.shape[1],))  # tells vectors apart by one number
    shifts = _recurring_shifts(known, weight_F) if known.shape[1] > 1 else []
    pairs = [_confirmed(category_NC, *_matched(known, weight_F, shift_F)) for shift_F in shifts]
    left, right = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.intp)
    return _links(
        left, right, "pairs of rows differ by a constant shift of their numbers, or in categories only"
    )


def _well_filled(numeric_NF: Array) -> Array:
    """The standardised columns that vary, without the emptiest until half of the rows are complete."""
    spread_F = _spread(numeric_NF)
    by_filling = np.argsort(np.isnan(numeric_NF).sum(axis=0), kind="stable")
    columns = [f for f in by_filling if spread_F[f] > 0]
    while len(columns) > 1 and np.isnan(numeric_NF[:, columns]).any(axis=1).mean() > _LEAST_COMPLETE:
        columns.pop()
    return numeric_NF[:, columns] / spread_F[columns]


def _recurring_shifts(known_NF: Array, weight_F: Array) -> list[Array]:
    """The differences between rows that stand out, each in one of its two directions."""
    complete = np.flatnonzero(~np.isnan(known_NF).any(axis=1))
    sum_M = known_NF[complete] @ weight_F
    sample = _sample(complete.size)
    # Without its sign: in a pair of copies, each row is evidence for the shift.
    shift_SM = np.rint(np.abs(sum_M - sum_M[sample, None]) / _TOLERANCE).astype(np.int64)
    shift_SM[np.arange(sample.size), sample] = -1
    shifts, counts = np.unique(shift_SM, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[: 4 * _BACKGROUND]
    seen = []
    for shift in shifts[commonest][(counts[commonest] > 1) & (shifts[commonest] >= 0)]:
        row, partner = np.nonzero(shift_SM == shift)
        vector_F = known_NF[complete[partner[0]]] - known_NF[complete[sample[row[0]]]]
        seen.append((np.unique(row).size, row.size, vector_F))
    seen.sort(key=lambda hit: -hit[0])
    background = seen[_BACKGROUND][0] if len(seen) > _BACKGROUND else 1
    return [
        vector_F
        for rows, hits, vector_F in seen
        if rows >= max(_LEAST_HITS, _STANDS_OUT * background)
        and hits <= _MOST_HITS * rows
        and np.count_nonzero(np.abs(vector_F) > _TOLERANCE) != 1
    ]


def _matched(known_NF: Array, weight_F: Array, shift_F: Array) -> tuple[Index, Index]:
    """Every row and its partners at `shift_F`, comparing the columns known in both; rows with many have none.

    Rows are joined by which columns they know, so that a cell missing in one copy hides nothing.
    """
    patterns, pattern_N, counts = np.unique(
        ~np.isnan(known_NF), axis=0, return_inverse=True, return_counts=True
    )
    commonest = np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]
    left, right = [], []
    for one, other in product(commonest, repeat=2):
        both = patterns[one] & patterns[other]
        if both.sum() >= max(2.0, patterns.shape[1] / 2.0):
            rows, partners = np.flatnonzero(pattern_N == one), np.flatnonzero(pattern_N == other)
            i, j = _joined(
                (known_NF[np.ix_(rows, both)] + shift_F[both]) @ weight_F[both],
                known_NF[np.ix_(partners, both)] @ weight_F[both],
            )
            left.append(rows[i])
            right.append(partners[j])
    return np.concatenate(left), np.concatenate(right)


def _joined(wanted_N: Array, offered_N: Array) -> tuple[Index, Index]:
    """Where the two agree; what agrees with too many is left out."""
    order = np.argsort(offered_N, kind="stable")
    start = np.searchsorted(offered_N[order], wanted_N - _TOLERANCE)
    many = np.searchsorted(offered_N[order], wanted_N + _TOLERANCE) - start
    many[many > _MOST_PARTNERS] = 0
    within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    return np.repeat(np.arange(wanted_N.size), many), order[np.repeat(start, many) + within]


def _confirmed(category_NC: Codes, left: Index, right: Index) -> tuple[Index, Index]:
    """For each row the pairs that agree in most categories; none if agreement is little more than chance."""
    other = left != right
    left, right = left[other], right[other]
    alike_P = (category_NC[left] == category_NC[right]).sum(axis=1)
    best_left, best_right = np.zeros((2, category_NC.shape[0]), dtype=np.int64)
    np.maximum.at(best_left, left, alike_P)
    np.maximum.at(best_right, right, alike_P)
    best = (alike_P == best_left[left]) | (alike_P == best_right[right])
    left, right, alike_P = left[best], right[best], alike_P[best]
    by_chance = sum(((np.unique(c, return_counts=True)[1] / c.size) ** 2).sum() for c in category_NC.T)
    if left.size == 0 or alike_P.mean() < (by_chance + category_NC.shape[1]) / 2.0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    return left, right


def jittered(numeric_NF: Array, category_NC: Codes) -> Links:
    """Rows alike in every category whose numbers are far nearer to each other than to any third row's.

    Noise of 1 % of a column's spread is seen through when several columns are continuous. In real tables
    without copies up to 6 % of rows have so near a neighbour; below 12 % it is taken for chance.
    """
    spread_F = _spread(numeric_NF)
    point_NF = numeric_NF[:, spread_F > 0] / spread_F[spread_F > 0]
    point_NF = np.where(np.isnan(point_NF), _FAR, point_NF)
    rows = np.arange(point_NF.shape[0])
    if point_NF.shape[1] < _LEAST_DIMENSIONS or rows.size < _LEAST_ROWS:
        return Links(rows[:0], rows[:0], "")
    tree = KDTree(point_NF)
    sample = _sample(rows.size)
    left, right, gap = _nearest(tree, sample, np.inf)
    alike = (category_NC[left] == category_NC[right]).all(axis=1)
    if alike.sum() < _LEAST_NEAR * sample.size:
        return Links(rows[:0], rows[:0], "")
    left, right, _ = _nearest(tree, rows, float(gap[alike].max()) / _NEARER)
    alike = (category_NC[left] == category_NC[right]).all(axis=1)
    return _links(left[alike], right[alike], "pairs of rows differ by a trace of noise")


def _nearest(tree: KDTree, rows: Index, within: float) -> tuple[Index, Index, Array]:
    """Of `rows`, those far nearer to one other row than to a second; that row, and how near."""
    distance_P3, neighbour_P3 = tree.query(tree.data[rows], k=3, distance_upper_bound=within)
    # The first of the three is the row itself. At distance 0 numbers are equal, not blurred.
    nearest = distance_P3[:, 1]
    near = (nearest > _TOLERANCE) & (nearest < _NEARER * np.minimum(distance_P3[:, 2], within))
    return rows[near], neighbour_P3[near, 1], nearest[near]


def _links(left: Index, right: Index, text: str) -> Links:
    """Each pair once, whichever of its rows found the other."""
    left, right = np.unique(np.sort([left, right], axis=0), axis=1)
    return Links(left, right, text)


def _sample(rows: int) -> Index:
    """Rows to compare with all the others, the same ones each time."""
    size = min(rows, _MOST_SAMPLED, _LOOKS // max(1, rows))
    return np.random.default_rng(1).choice(rows, size, replace=False)


def _spread(numeric_NF: Array) -> Array:
    """The standard deviation of each column's known values, 0 without any."""
    return np.array([np.std(x[~np.isnan(x)]) if (~np.isnan(x)).any() else 0.0 for x in numeric_NF.T])
