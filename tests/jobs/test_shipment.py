"""What travels to where networks learn, and what is refused there."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gym import GYM, prepared_gym, write_gym

from churnops.errors import SourceError
from churnops.jobs.steps.shipment import Channel, check_shares, receive, shipment_step
from churnops.training.dataset import read_rows
from churnops.training.group import ALONE

UNDATED = GYM.model_copy(update={"customers": GYM.customers.model_copy(update={"as_of": None})})
SPANS = ("train", "validation", "test")


@pytest.fixture(scope="module", params=[GYM, UNDATED], ids=["by time", "by fold"])
def gym(request, tmp_path_factory):
    folder = write_gym(tmp_path_factory.mktemp("gym"))
    prepared, known, ledger = prepared_gym(folder, request.param)
    return prepared, shipment_step(known, prepared, ledger).folder


@pytest.fixture
def channels(gym, tmp_path):
    """Of a copy that may be spoilt."""
    shutil.copytree(gym[1], tmp_path / "shipment")
    return {path.name: Channel(path) for path in (tmp_path / "shipment").iterdir() if path.is_dir()}


def test_what_arrives_is_what_was_sent_but_for_the_customers_keys(gym, channels):
    prepared, folder = gym
    received = receive(channels)

    sent, order_N = read_rows(prepared.address, prepared.columns), np.argsort(received.held.number_N)
    held = received.held.rows.take(order_N)
    number_N = received.held.number_N[order_N]
    np.testing.assert_array_equal(held.numeric_NF, sent.numeric_NF[number_N])
    np.testing.assert_array_equal(held.categorical_NC, sent.categorical_NC[number_N])
    np.testing.assert_array_equal(held.churned_N, sent.churned_N[number_N])
    for one, other in zip(received.held.rounds.fits, prepared.rounds.fits, strict=True):
        for part in ("train_N", "validation_N", "test_N"):
            assert sorted(received.held.number_N[getattr(one, part)]) == list(getattr(other, part))
    check_shares(received, ALONE)
    assert not any(b"m0007" in path.read_bytes() for path in folder.rglob("*.parquet"))


def test_every_row_falls_to_one_of_those_who_read_the_same_parts(channels):
    shares = [
        receive({name: Channel(one.folder, rank, 3) for name, one in channels.items()}) for rank in range(3)
    ]

    numbers = np.concatenate([share.held.number_N for share in shares])
    assert sorted(numbers) == sorted(receive(channels).held.number_N)


def test_a_row_that_is_held_twice_or_not_at_all_is_told(channels):
    first = sorted(channels["train"].folder.glob("*"))[0]
    shutil.copy(first, first.with_name("again.parquet"))
    with pytest.raises(SourceError, match=r"channels:\n  - train: \d+ rows are held by several hosts"):
        check_shares(receive(channels), ALONE)

    first.with_name("again.parquet").unlink()
    first.unlink()
    with pytest.raises(SourceError, match=r"channels:\n  - train: \d+ of \d+ rows are with no host"):
        check_shares(receive(channels), ALONE)


def test_an_empty_channel_is_told_by_name(channels):
    for path in channels["train"].folder.glob("*"):
        path.unlink()

    with pytest.raises(
        SourceError, match=r"channel train:\n  - is empty: there is no Parquet file in .*train"
    ):
        receive(channels)


@pytest.mark.parametrize("column", ["churned", "visits", "row"])
def test_a_missing_column_is_told_with_its_file(channels, column):
    path = channels["train"].folder / "part-00003.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)

    with pytest.raises(
        SourceError, match=rf"channel train, part-00003.parquet:\n  - {column}: column is missing"
    ):
        receive(channels)


def as_type(name, kind):
    return lambda table: table.set_column(table.column_names.index(name), name, table[name].cast(kind))


def without_a_label(table):
    labels = pa.array([None, *table["churned"].to_pylist()[1:]])
    return table.set_column(table.column_names.index("churned"), "churned", labels)


def with_card(card):
    return lambda table: table.replace_schema_metadata({"churnops": card})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (as_type("churned", pa.string()), "churned: type is string, not bool"),
        (as_type("visits", pa.string()), "visits: type is string, not double"),
        (without_a_label, "churned: 1 nulls"),
        (with_card("what?"), "its card is none of this version's: file: Invalid JSON"),
        (with_card("{}"), "its card is none of this version's: known: Field required"),
    ],
    ids=["text for labels", "text for numbers", "a label missing", "no JSON", "an empty card"],
)
def test_a_foreign_part_is_told_with_its_column(channels, spoil, says):
    path = channels["train"].folder / "part-00003.parquet"
    pq.write_table(spoil(pq.read_table(path)), path)

    with pytest.raises(SourceError, match=rf"channel train, part-00003.parquet:\n  - {says}"):
        receive(channels)


def test_a_part_that_says_no_label_is_missing_is_as_good_as_any(channels):
    path = channels["train"].folder / "part-00003.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("churned")
    sure = table.schema.set(place, pa.field("churned", pa.bool_(), nullable=False))
    pq.write_table(table.cast(sure), path)

    check_shares(receive(channels), ALONE)


def test_a_channel_of_another_dataset_is_told(channels, tmp_path):
    card = json.loads(pq.read_schema(channels["train"].folder / "part-00000.parquet").metadata[b"churnops"])
    card["known"]["data_fingerprint"] = "another"
    other = tmp_path / "other"
    other.mkdir()
    table = pq.read_table(channels["train"].folder / "part-00000.parquet")
    pq.write_table(with_card(json.dumps(card))(table), other / "part-00000.parquet")

    with pytest.raises(SourceError, match=r"channels:\n  - are of different datasets"):
        receive({**channels, "other": Channel(other)})


def test_a_truncated_part_is_told_by_name(channels):
    path = channels["train"].folder / "part-00003.parquet"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(SourceError, match=r"channel train, part-00003.parquet:\n  - is a truncated"):
        receive(channels)


def test_a_table_of_somebody_elses_has_no_card(channels):
    path = channels["train"].folder / "part-00000.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)

    with pytest.raises(SourceError, match=r"part-00000.parquet:\n  - has no card"):
        receive(channels)
