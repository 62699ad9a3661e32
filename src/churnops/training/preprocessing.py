"""What a model's inputs look like: fitted on the training rows alone, and carried into the exported graph.

Shapes: N rows, F numeric columns, C categorical columns, D prepared inputs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import skew

from churnops.training.dataset import Rows

Matrix = npt.NDArray[np.float32]

CLIP = 10.0  # standard deviations: what lies beyond is an accident, not information
_HEAVY_SKEW = 2.0  # an exponential distribution's; taken from there on the logarithm tells more
_MOST_LEVELS = 50
_LEAST_LEVEL_ROWS = 10  # a rarer level says nothing that could be learnt, and is as good as unknown


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


@dataclass(frozen=True)
class Category:
    """A categorical column: one input per level, and one for any other. '' among the levels is missing."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Preprocessing:
    """For models that weigh their inputs: D = F numbers, then a flag per flagged one, then the levels."""

    numeric: tuple[Number, ...]
    categorical: tuple[Category, ...]

    @property
    def width(self) -> int:
        """D, the number of prepared inputs."""
        flags = sum(number.flagged for number in self.numeric)
        return len(self.numeric) + flags + sum(len(category.levels) + 1 for category in self.categorical)

    def apply(self, rows: Rows) -> Matrix:
        """Finite numbers in [-10, 10] for any rows. Computed in float64, as the exported graph does."""
        raw_NF = _picked(rows, [number.name for number in self.numeric])
        missing_NF = np.isnan(raw_NF)
        x_NF = np.where(missing_NF, [number.fill for number in self.numeric], raw_NF)
        is_log_F = np.array([number.log for number in self.numeric], dtype=bool)
        x_NF = np.where(is_log_F, np.sign(x_NF) * np.log(np.abs(x_NF) + 1.0), x_NF)
        x_NF = (x_NF - [number.mean for number in self.numeric]) / [number.scale for number in self.numeric]
        flags = missing_NF[:, [number.flagged for number in self.numeric]]
        parts = [x_NF.clip(-CLIP, CLIP), flags, *_one_hot(self.categorical, rows)]
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


@dataclass(frozen=True)
class TreeEncoding:
    """For trees, which mind neither scale nor missing values: D = raw numbers, then the levels."""

    numeric: tuple[str, ...]
    categorical: tuple[Category, ...]

    def apply(self, rows: Rows) -> Matrix:
        """NaN where a number is missing."""
        parts = [_picked(rows, self.numeric), *_one_hot(self.categorical, rows)]
        return np.concatenate(parts, axis=1, dtype=np.float32)


def fit_preprocessing(train: Rows) -> Preprocessing:
    """Read off `train` what each column needs. A column without any value, or with one only, becomes 0."""
    numbers = [
        _number(name, x_N) for name, x_N in zip(train.columns.numeric, train.numeric_NF.T, strict=True)
    ]
    return Preprocessing(tuple(numbers), _categories(train))


def fit_encoding(train: Rows) -> TreeEncoding:
    """The same levels as `fit_preprocessing` finds."""
    return TreeEncoding(train.columns.numeric, _categories(train))


def _number(name: str, x_N: npt.NDArray[np.float32]) -> Number:
    flagged = bool(np.isnan(x_N).any())
    known_N = x_N[np.isfinite(x_N)].astype(np.float64)
    if known_N.size == 0 or known_N.min() == known_N.max():
        fill = float(known_N[0]) if known_N.size else 0.0
        return Number(name, fill, flagged=flagged, log=False, mean=fill, scale=1.0)
    log = bool(abs(skew(known_N)) > _HEAVY_SKEW)
    tamed_N = np.sign(known_N) * np.log(np.abs(known_N) + 1.0) if log else known_N
    mean, scale = float(tamed_N.mean()), float(tamed_N.std())
    return Number(name, float(np.median(known_N)), flagged=flagged, log=log, mean=mean, scale=scale)


def _categories(train: Rows) -> tuple[Category, ...]:
    return tuple(
        Category(name, _levels(texts_N))
        for name, texts_N in zip(train.columns.categorical, train.categorical_NC.T, strict=True)
    )


def _levels(texts_N: npt.NDArray[np.object_]) -> tuple[str, ...]:
    """The most frequent levels, sorted; ties go to the first in the alphabet."""
    counts = Counter(texts_N.tolist())
    often = [level for level, n in counts.items() if n >= min(_LEAST_LEVEL_ROWS, len(texts_N) / 100)]
    return tuple(sorted(sorted(often, key=lambda level: (-counts[level], level))[:_MOST_LEVELS]))


def _picked(rows: Rows, names: Sequence[str]) -> Matrix:
    return rows.numeric_NF[:, [rows.columns.numeric.index(name) for name in names]]


def _one_hot(categories: Sequence[Category], rows: Rows) -> list[npt.NDArray[np.bool_]]:
    """[N, levels + 1] per category; the last is for any other text."""
    parts = []
    for category in categories:
        texts_N = rows.categorical_NC[:, rows.columns.categorical.index(category.name)]
        place = {level: i for i, level in enumerate(category.levels)}
        place_N = np.fromiter((place.get(text, len(place)) for text in texts_N), np.intp, len(texts_N))
        parts.append(place_N[:, None] == np.arange(len(place) + 1))
    return parts
