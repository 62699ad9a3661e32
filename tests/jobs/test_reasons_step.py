"""What reasons are against, and the customers a bundle is held to."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import numpy as np
import pytest
from customers import COLUMNS, make_customers
from trained import bundle_around, explained, graph_of, sample

from churnops.jobs.steps.learning import Held
from churnops.jobs.steps.reasons import sample_of, with_reasons
from churnops.training.group import ALONE
from churnops.training.rounds import Round, Rounds

ROWS = make_customers(6000, seed=4)
TRAIN = Round(np.arange(0, 6000, 2), np.arange(1, 6000, 4), np.arange(3, 6000, 4))


@dataclass(frozen=True)
class Thread:
    """One of two threads that are a group."""

    rank: int
    said: dict
    both: Barrier
    size: int = 2

    def gather(self, content):
        self.said[self.rank] = content
        self.both.wait()
        heard = [self.said[0], self.said[1]]
        self.both.wait()
        return heard


def held(rows, numbers):
    place = {number: i for i, number in enumerate(numbers)}
    own = [np.array([place[n] for n in span if n in place], dtype=np.intp) for span in vars(TRAIN).values()]
    one = Round(*own)
    return Held(rows.take(numbers), numbers, Rounds((one,), one))


def test_the_sample_is_of_training_rows_only():
    numeric_SF, categorical_SC = sample_of(held(ROWS, np.arange(6000)), ALONE, seed=0)

    learnt = {(*n, *c) for n, c in zip(ROWS.numeric_NF[::2].tolist(), ROWS.categorical_NC[::2], strict=True)}
    drawn = [(*n, *c) for n, c in zip(numeric_SF.tolist(), categorical_SC, strict=True)]
    assert len(drawn) == 2048
    assert {str(one) for one in drawn} <= {str(one) for one in learnt}


def test_the_sample_is_the_same_whoever_holds_which_row():
    said, both = {}, Barrier(2)
    shares = [np.arange(0, 6000, 3), np.setdiff1d(np.arange(6000), np.arange(0, 6000, 3))[::-1]]

    def drawn(rank):
        return sample_of(held(ROWS, shares[rank]), Thread(rank, said, both), seed=0)

    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(drawn, range(2))]

    numeric_SF, categorical_SC = sample_of(held(ROWS, np.arange(6000)), ALONE, seed=0)
    for numeric, categorical in found:
        assert np.array_equal(numeric, numeric_SF, equal_nan=True)
        assert np.array_equal(categorical, categorical_SC)


def test_a_small_table_is_its_own_sample():
    few = held(ROWS, np.arange(20))

    assert sample_of(few, ALONE, seed=0)[0] == pytest.approx(ROWS.numeric_NF[:20:2], nan_ok=True)


def test_smoke_rows_cover_known_and_unknown_customers():
    *known, nothing = [one.values for one in explained("logistic").manifest.smoke]

    assert set(nothing.values()) == {None, "?"}
    assert all(set(one) == {*COLUMNS.numeric, *COLUMNS.categorical} for one in known)
    json.dumps(known, allow_nan=False)


def test_the_same_bundle_and_sample_give_the_same_bundle():
    assert with_reasons(bundle_around(graph_of("logistic")), sample()) == explained("logistic")
