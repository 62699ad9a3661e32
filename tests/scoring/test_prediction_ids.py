"""The names of predictions."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.contracts.tables import INSTANT
from churnops.scoring.prediction_ids import prediction_ids

_INSTANTS = st.datetimes(min_value=dt.datetime.fromisoformat("1970-01-01")) | st.datetimes().map(
    lambda instant: instant.replace(hour=0, minute=0, second=0, microsecond=0)
)


@given(keys=st.sets(st.tuples(_INSTANTS, st.text()), max_size=20))
def test_two_keys_have_two_names_and_each_says_its_own(keys):
    as_of, customers = (
        pa.array([key[0] for key in keys], INSTANT),
        pa.array([key[1] for key in keys], pa.string()),
    )
    names = prediction_ids("tiny-0123456789ab", as_of, customers).to_pylist()
    assert len(set(names)) == len(keys)
    for (instant, customer), name in zip(keys, names, strict=True):
        version, said, rest = name.split("/", 2)
        assert (version, dt.datetime.fromisoformat(said), rest) == ("tiny-0123456789ab", instant, customer)


@pytest.mark.parametrize(
    ("as_of", "name"),
    [
        ("2024-06-01", "tiny-0123456789ab/2024-06-01/0017"),
        ("2024-06-01T12:30", "tiny-0123456789ab/2024-06-01T12:30:00.000000/0017"),
    ],
)
def test_they_never_change(as_of, name):
    instants = pa.array([dt.datetime.fromisoformat(as_of)], INSTANT)
    assert prediction_ids("tiny-0123456789ab", instants, pa.array(["0017"])).to_pylist() == [name]
