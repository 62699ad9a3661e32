"""Categories by number: rows hold numbers, and each text is there once."""

from collections.abc import Sequence

import numpy as np

from churnops.bundle.manifest import InputColumn

MISSING = 0
"""The number of what was not sent, and of blank text."""

_LONGEST_BYTES = 63


class Categories:
    """The texts that a model's categories may be, each with one number in all columns.

    Texts beside them are allowed. They are numbered by each request that has some: -1, -2, ... in the order
    of its `others`, as if they stood at the end, the last one first.
    """

    def __init__(self, columns: Sequence[InputColumn]) -> None:
        levels = (category_text(level) for column in columns for level in column.levels)
        self._texts = tuple(dict.fromkeys(["", *levels]))
        self._numbers: dict[str | int | None, int] = {text: i for i, text in enumerate(self._texts)}
        self._numbers[None] = MISSING
        self._objects = np.array(self._texts, dtype=object)
        self._fed = _bytes(self._texts)

    def numbers(self, values: Sequence[str | int | None], others: dict[str, int]) -> np.ndarray:
        """The number of each value; texts that are new get one in `others`."""
        try:
            return np.fromiter(map(self._numbers.__getitem__, values), np.intp, len(values))
        except KeyError:  # a level that training did not see, a whole number, or blanks
            texts = map(category_text, values)
            known = ((text, self._numbers.get(text)) for text in texts)
            found = [
                others.setdefault(text, -1 - len(others)) if number is None else number
                for text, number in known
            ]
            return np.array(found, dtype=np.intp)

    def known(self, columns: Sequence[InputColumn]) -> np.ndarray:
        """By column and number: whether it is missing or a level of the column. The last: all others."""
        known_CT = np.zeros((len(columns), len(self._texts) + 1), dtype=bool)
        known_CT[:, MISSING] = True
        for known_T, column in zip(known_CT, columns, strict=True):
            known_T[[self._numbers[category_text(level)] for level in column.levels]] = True
        return known_CT

    def texts(self, number_NC: np.ndarray, others: Sequence[str] = ()) -> np.ndarray:
        """What the numbers stand for."""
        known = self._objects
        return (np.append(known, np.array(others[::-1], dtype=object)) if others else known).take(number_NC)

    def fed(self, number_NC: np.ndarray, others: Sequence[str] = ()) -> np.ndarray:
        """The same, for the graph: ONNX Runtime reads short bytes a fifth sooner than Python's texts."""
        return self.texts(number_NC, others) if others or self._fed is None else self._fed.take(number_NC)


def category_text(value: str | int | None) -> str:
    """A category as the graph knows it: blank text is missing, a whole number is its digits."""
    text = "" if value is None else str(value)
    return "" if text.isspace() else text


def _bytes(texts: Sequence[str]) -> np.ndarray | None:
    """In UTF-8 with a zero after each; None where one is long, or has a zero in it."""
    written = [text.encode() for text in texts]
    longest = max(map(len, written))
    if longest > _LONGEST_BYTES or any(b"\0" in text for text in written):
        return None
    return np.array(written, dtype=f"S{longest + 1}")
