"""What a model's inputs look like: fitted on the training rows alone, and carried into the exported graph.

Shapes: N rows, F numeric columns, C categorical columns, D prepared inputs, K bins.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import skew

from churnops.training.dataset import Rows
from churnops.training.group import ALONE, Group, gather_array, gather_json

Matrix = npt.NDArray[np.float32]

CLIP = 10.0  # standard deviations: what lies beyond is an accident, not information
_HEAVY_SKEW = 2.0  # an exponential distribution's; taken from there on the logarithm tells more
_MOST_LEVELS = 50
_LEAST_LEVEL_ROWS = 10  # a rarer level says nothing that could be learnt, and is as good as unknown
_FEWEST_EDGES = 2  # one bin alone says no more than the number
_AT_ONCE = 16_384  # rows whose float64 copies are in memory together


@dataclass(frozen=True)
class Number:
    """A numeric column: fill what is missing, tame a heavy tail, standardise, clip."""

    name: str
    fill: float
    """The median of the known training values."""
    flagged: bool
    """Whether a further input says that the value was missing; so where training saw it missing."""
    log: bool
    """Whether sign(x) * log(1 + |x|) stands in for x."""
    mean: float
    scale: float
    edges: tuple[float, ...] = ()
    """Ascending, on the standardised scale, a bin between each two; none where it is given whole only."""


@dataclass(frozen=True)
class Category:
    """A categorical column: one input per level, and one for any other. '' among the levels is missing."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """For models that weigh their inputs: D = F numbers, a flag per flagged one, the bins, the levels.

    A bin says how much of it lies below the number, from 0 to 1: the piecewise-linear encoding of Gorishniy,
    Rubachev and Babenko (2022, NeurIPS; arXiv 2203.05556), beside the number rather than in its place.
    """

    numeric: tuple[Number, ...]
    categorical: tuple[Category, ...]

    @property
    def width(self) -> int:
        """D, the number of prepared inputs."""
        return len(self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that each of the D inputs is made of."""
        names = [number.name for number in self.numeric]
        flags = [number.name for number in self.numeric if number.flagged]
        return (*names, *flags, *(names[i] for i in self.bins.number_K), *_level_columns(self.categorical))

    @property
    def bins(self) -> "Bins":
        """Where the K bins of all numbers lie."""
        each = [(i, *ends) for i, number in enumerate(self.numeric) for ends in pairwise(number.edges)]
        number_K, from_K, to_K = np.array(each, dtype=np.float64).reshape(-1, 3).T
        return Bins(number_K.astype(np.int64), from_K, to_K - from_K)

    def apply(self, rows: Rows) -> Matrix:
        """Finite numbers in [-10, 10] for any rows. Computed in float64, as the exported graph does."""
        x_ND = np.zeros((len(rows), self.width), dtype=np.float32)
        raw_NF = _picked(rows, [number.name for number in self.numeric])
        flagged_F = np.array([number.flagged for number in self.numeric], dtype=bool)
        bins = self.bins
        flags = flagged_F.size
        first_bin = flags + int(flagged_F.sum())
        levels = first_bin + bins.from_K.size
        for start in range(0, len(rows), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            x_BF = self._standardised(raw_NF[some])
            x_ND[some, :flags] = x_BF
            x_ND[some, flags:first_bin] = np.isnan(raw_NF[some, flagged_F])
            x_ND[some, first_bin:levels] = bins.apply(x_BF)
        _mark_levels(x_ND, self.categorical, rows, first=levels)
        return x_ND

    def _standardised(self, raw_BF: Matrix) -> npt.NDArray[np.float64]:
        x_BF = np.where(np.isnan(raw_BF), [number.fill for number in self.numeric], raw_BF)
        is_log_F = np.array([number.log for number in self.numeric], dtype=bool)
        x_BF[:, is_log_F] = _logarithm(x_BF[:, is_log_F])
        x_BF -= [number.mean for number in self.numeric]
        x_BF /= [number.scale for number in self.numeric]
        return x_BF.clip(-CLIP, CLIP)


@dataclass(frozen=True)
class Bins:
    """K bins: of which number each is, where it begins and how wide it is."""

    number_K: npt.NDArray[np.int64]
    from_K: npt.NDArray[np.float64]
    width_K: npt.NDArray[np.float64]

    def apply(self, x_BF: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """How much of each bin lies below each row's standardised number [B, K]."""
        return ((x_BF[:, self.number_K] - self.from_K) / self.width_K).clip(0.0, 1.0)


@dataclass(frozen=True)
class TreeEncoding:
    """For trees, which mind neither scale nor missing values: D = raw numbers, then the levels."""

    numeric: tuple[str, ...]
    categorical: tuple[Category, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that each of the D inputs is made of."""
        return (*self.numeric, *_level_columns(self.categorical))

    def apply(self, rows: Rows) -> Matrix:
        """NaN where a number is missing."""
        n_numbers = len(self.numeric)
        width = n_numbers + sum(len(category.levels) + 1 for category in self.categorical)
        x_ND = np.zeros((len(rows), width), dtype=np.float32)
        x_ND[:, :n_numbers] = _picked(rows, self.numeric)
        _mark_levels(x_ND, self.categorical, rows, first=n_numbers)
        return x_ND


def fit_preprocessing(train: Rows, *, bins: int = 0, group: Group = ALONE) -> Preprocessing:
    """Read off the training rows what each column needs; `bins` cuts numbers into so many.

    In a group each process hands in its rows, a column at a time, and all come to the same. A column without
    any value, or with one only, becomes 0.
    """
    numbers = [
        _number(name, gather_array(group, x_N), bins)
        for name, x_N in zip(train.columns.numeric, train.numeric_NF.T, strict=True)
    ]
    return Preprocessing(tuple(numbers), _categories(train, group))


def fit_encoding(train: Rows) -> TreeEncoding:
    """The same levels as `fit_preprocessing` finds."""
    return TreeEncoding(train.columns.numeric, _categories(train, ALONE))


def _number(name: str, x_N: npt.NDArray[np.float32], bins: int) -> Number:
    flagged = bool(np.isnan(x_N).any())
    known_N = x_N[np.isfinite(x_N)].astype(np.float64)
    if known_N.size == 0 or known_N.min() == known_N.max():
        fill = float(known_N[0]) if known_N.size else 0.0
        return Number(name, fill, flagged=flagged, log=False, mean=fill, scale=1.0)
    # Next to 1, the smallest numbers vanish: what is left must still differ.
    log = bool(abs(skew(known_N)) > _HEAVY_SKEW and np.ptp(_logarithm(known_N)) > 0.0)
    tamed_N = _logarithm(known_N) if log else known_N
    mean, scale = float(tamed_N.mean()), float(tamed_N.std())
    edges = _edges((tamed_N - mean) / scale, bins) if bins else ()
    return Number(
        name, float(np.median(known_N)), flagged=flagged, log=log, mean=mean, scale=scale, edges=edges
    )


def _edges(known_N: npt.NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Cuts with equally many rows between them, fewer where rows are equal; none where one bin is left."""
    edges = np.unique(np.quantile(known_N.clip(-CLIP, CLIP), np.linspace(0.0, 1.0, bins + 1)))
    return tuple(edges.tolist()) if edges.size > _FEWEST_EDGES else ()


def _logarithm(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sign(x) * np.log(np.abs(x) + 1.0))


def _categories(train: Rows, group: Group) -> tuple[Category, ...]:
    own = [Counter(texts_N.tolist()) for texts_N in train.categorical_NC.T]
    everyone = gather_json(group, {"rows": len(train), "counts": own})
    rows = sum(one["rows"] for one in everyone)
    merged = [sum((Counter(one["counts"][c]) for one in everyone), Counter()) for c in range(len(own))]
    return tuple(
        Category(name, _levels(counts, rows))
        for name, counts in zip(train.columns.categorical, merged, strict=True)
    )


def _levels(counts: Counter[str], rows: int) -> tuple[str, ...]:
    """The most frequent levels, sorted; ties go to the first in the alphabet."""
    often = [level for level, n in counts.items() if n >= min(_LEAST_LEVEL_ROWS, rows / 100)]
    return tuple(sorted(sorted(often, key=lambda level: (-counts[level], level))[:_MOST_LEVELS]))


def _level_columns(categories: Sequence[Category]) -> list[str]:
    """A category's name for each of its levels, and once more for any other."""
    return [category.name for category in categories for _ in range(len(category.levels) + 1)]


def _picked(rows: Rows, names: Sequence[str]) -> Matrix:
    return rows.numeric_NF[:, [rows.columns.numeric.index(name) for name in names]]


def _mark_levels(x_ND: Matrix, categories: Sequence[Category], rows: Rows, *, first: int) -> None:
    """Put a one where each row's level stands, from column `first` on; each category's last is any other."""
    for category in categories:
        texts_N = pa.array(rows.categorical_NC[:, rows.columns.categorical.index(category.name)], pa.string())
        levels = pa.array(category.levels, pa.string())
        level_N = pc.index_in(texts_N, value_set=levels).fill_null(len(levels)).to_numpy()
        x_ND[np.arange(len(rows)), first + level_N] = 1.0
        first += len(levels) + 1
