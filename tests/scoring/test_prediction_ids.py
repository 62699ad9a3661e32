"""The names of predictions."""

import datetime as dt
from uuid import UUID, uuid5

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from churnops.contracts.tables import INSTANT
from churnops.scoring.prediction_ids import prediction_ids

_NAMESPACE = UUID("6f1b9d0e-6c0b-5f0a-9a55-3f1a6a3f7c21")
_INSTANTS = st.datetimes(min_value=dt.datetime.fromisoformat("1970-01-01"))


@given(version=st.text(), keys=st.lists(st.tuples(_INSTANTS, st.text())))
def test_they_are_what_uuid5_gives(version, keys):
    as_of = pa.array([instant for instant, _ in keys], INSTANT)
    ids = prediction_ids(version, as_of, pa.array([customer for _, customer in keys], pa.string()))
    instants = [instant.isoformat(" ", "microseconds") for instant, _ in keys]
    names = [f"{version} {instant} {key[1]}" for instant, key in zip(instants, keys, strict=True)]
    assert ids.to_pylist() == [str(uuid5(_NAMESPACE, name)) for name in names]


def test_they_never_change():
    as_of = pa.array([dt.datetime.fromisoformat("2024-06-01")], INSTANT)
    (name,) = prediction_ids("tiny-0123456789ab", as_of, pa.array(["0017"])).to_pylist()
    assert name == "481cf2ca-7a10-522e-8f1b-fe6395fe73c9"
