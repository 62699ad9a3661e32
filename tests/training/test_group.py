"""Who holds which rows, and what the others hear of them."""

from dataclasses import dataclass, field

import numpy as np

from churnops.training.group import ALONE, Host, gather_array, gather_json


@dataclass(frozen=True)
class Said:
    """A group whose other processes hand in what they are told to."""

    others: list = field(default_factory=list)
    rank: int = 0

    @property
    def size(self):
        return 1 + len(self.others)

    def gather(self, content):
        return [content, *self.others]


def test_a_host_alone_learns_every_batch_as_it_is():
    batches = [np.array([2, 0]), np.array([1])]

    assert [list(batch) for batch in Host().own(batches)] == [[2, 0], [1]]


def test_hosts_share_each_batch_out_in_its_order_whatever_they_hold():
    batches = [np.array([5, 0, 3]), np.array([1, 4]), np.array([2])]
    some, rest = Host(number_N=np.array([0, 3, 1])), Host(number_N=np.array([2, 5, 4]))

    assert [list(batch) for batch in some.own(batches)] == [[0, 1], [2], []]
    assert [list(batch) for batch in rest.own(batches)] == [[1], [2], [0]]


def test_arrays_of_any_length_come_together():
    others = [np.array([], np.float32).tobytes(), np.array([7.0, 8.0], np.float32).tobytes()]

    gathered = gather_array(Said(others), np.array([1.0], np.float32))

    assert gathered.dtype == np.float32
    assert list(gathered) == [1.0, 7.0, 8.0]


def test_alone_one_hears_oneself():
    assert gather_json(ALONE, {"rows": 3}) == [{"rows": 3}]
    assert list(gather_array(ALONE, np.array([1, 2]))) == [1, 2]
