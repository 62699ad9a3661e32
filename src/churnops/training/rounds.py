"""Who learns, who calibrates and who is tested: once by time, or once per fold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Round:
    """Row numbers of one fit."""

    train_N: Index
    validation_N: Index
    test_N: Index
    """Empty for a fit that is not tested."""


@dataclass(frozen=True)
class Rounds:
    """The fits that tell how good a candidate is, and the one that becomes the bundle."""

    tested: tuple[Round, ...]
    bundled: Round
    """By time the one that was tested. By fold one that learns from all but fold 0, which calibrates it."""

    @property
    def fits(self) -> tuple[Round, ...]:
        """All of them, the one that becomes the bundle at the end."""
        return self.tested if self.bundled is self.tested[0] else (*self.tested, self.bundled)

    def share(self, rank: int, size: int) -> "Rounds":
        """What falls to one of `size` processes: every row of a fit to exactly one."""
        fits = [
            Round(*(index_N[rank::size] for index_N in (one.train_N, one.validation_N, one.test_N)))
            for one in self.fits
        ]
        return Rounds(tuple(fits[: len(self.tested)]), fits[-1])

    @property
    def test_N(self) -> Index:
        """All rows that are tested, round after round."""
        return np.concatenate([one.test_N for one in self.tested])

    @property
    def unseen_N(self) -> Index:
        """Rows the bundle's model has not learnt from: the test, or the fold that calibrated it."""
        return self.bundled.test_N if self.bundled.test_N.size else self.bundled.validation_N


def rounds_by_time(span_N: npt.NDArray[np.object_]) -> Rounds:
    """One round; each row says `train`, `validation` or `test`."""
    one = Round(*(np.flatnonzero(span_N == name) for name in ("train", "validation", "test")))
    return Rounds((one,), one)


def rounds_by_fold(fold_N: Index, n_folds: int) -> Rounds:
    """Each fold is the test once; the fold after it (the first after the last) is its validation."""
    tested = tuple(_round(fold_N, validation=(test + 1) % n_folds, test=test) for test in range(n_folds))
    return Rounds(tested, _round(fold_N, validation=0, test=-1))


def rounds_to_tune(rounds: Rounds) -> tuple[Round, ...]:
    """Fits to choose a recipe by: none of them learns from, or is judged by, a row of the first test.

    By time, the rows before the test, as they are. By fold, all folds but fold 0, each judged once by the fit
    that learns from the others: they are tests of the other rounds, and fold 0 is the one test left unseen.
    """
    unseen = np.empty(0, dtype=np.intp)
    first, *others = rounds.tested
    if not others:
        return (Round(first.train_N, first.validation_N, unseen),)
    folds = [one.test_N for one in others]
    return tuple(
        Round(np.sort(np.concatenate(folds[:place] + folds[place + 1 :])), fold_N, unseen)
        for place, fold_N in enumerate(folds)
    )


def _round(fold_N: Index, *, validation: int, test: int) -> Round:
    is_train = (fold_N != validation) & (fold_N != test)
    return Round(
        np.flatnonzero(is_train), np.flatnonzero(fold_N == validation), np.flatnonzero(fold_N == test)
    )
