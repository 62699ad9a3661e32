"""What is wrong with the rows of a table: in how many, and in which first."""

from collections.abc import Iterable, Iterator

import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.categories import MISSING

Problem = tuple[str, np.ndarray]
"""What no row of a good table has, in words, and which rows have it [N]."""


class Problems:
    """Those that were found, some rows at a time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, problems: Iterable[Problem], row: int) -> None:
        """Those of the rows from number `row` on."""
        for problem, is_it_N in problems:
            n = int(np.count_nonzero(is_it_N))
            if n:
                before, first = self._found.get(problem, (0, row + int(is_it_N.argmax())))
                self._found[problem] = before + n, first

    def told(self) -> list[str]:
        """In words, those found first at the top."""
        return [
            f"{problem} in row {first:,}" if n == 1 else f"{problem} in {n:,} rows, first in row {first:,}"
            for problem, (n, first) in self._found.items()
        ]


def value_problems(bundle: Bundle, numeric_NF: np.ndarray, number_NC: np.ndarray) -> Iterator[Problem]:
    """What is wrong with the columns of the model; categories by number."""
    infinite_NF = np.isinf(numeric_NF)
    if infinite_NF.any():  # to look by column takes ten times as long
        for column, infinite_N in zip(bundle.numeric, infinite_NF.T, strict=True):
            yield f"{column.name}: infinite or beyond 32 bits", infinite_N
    for column, values_N in zip(bundle.numeric, numeric_NF.T, strict=True):
        if not column.nullable:
            yield f"{column.name}: null", np.isnan(values_N)
    for column, values_N in zip(bundle.categorical, number_NC.T, strict=True):
        if not column.nullable:
            yield f"{column.name}: null or blank", values_N == MISSING
