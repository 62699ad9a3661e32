"""What batches say of themselves, and what it costs to believe none of it."""

import struct

import pyarrow as pa
import pytest
from served import views

from churnops.serving.frames import StreamRefused
from churnops.serving.safe_batches import SafeBatches


def _levels(values, indices=(0,)):
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), values, safe=False)


def _checked(*batches, **options):
    safe = SafeBatches({"a", "b"}, 1000, **options)
    return [safe.checked(pa.record_batch(batch)) for batch in batches]


@pytest.mark.parametrize(
    "batch",
    [
        {"a": views(51)},
        {"a": _levels(views(51))},
        {"a": views(26), "b": views(26)},
        {"a": views(1), "b": _levels(views(50))},
        {"a": views(61)[10:]},
    ],
)
def test_views_that_claim_too_much_are_refused(batch):
    with pytest.raises(StreamRefused) as refused:
        _checked(batch)
    assert refused.value.refusal.status == 413
    assert refused.value.refusal.faults[0].problem == "the texts are too long"


def test_no_text_is_read_before_it_is_known_how_long_all_of_them_are():
    not_utf8 = b"\xff" * 20
    with pytest.raises(pa.ArrowInvalid):
        _checked({"a": views(50, not_utf8)})
    with pytest.raises(StreamRefused):
        _checked({"a": views(51, not_utf8)})


def test_what_stands_where_a_view_is_null_is_no_claim():
    buffers = views(60).buffers()
    column = pa.Array.from_buffers(pa.string_view(), 60, [pa.py_buffer(b"\x03" + bytes(7)), *buffers[1:]])
    (batch,) = _checked({"a": column})
    assert batch["a"].to_pylist() == ["x" * 20] * 2 + [None] * 58


def test_what_batches_claim_adds_up_where_they_are_kept():
    for batches in (
        [{"a": views(26)}] * 2,
        [{"a": _levels(views(26))}, {"a": _levels(views(26))}],
    ):
        assert len(_checked(*batches)) == 2
        with pytest.raises(StreamRefused):
            _checked(*batches, are_kept=True)
    same = _levels(views(26))
    assert len(_checked({"a": same}, {"a": same}, are_kept=True)) == 2


def test_columns_that_nobody_reads_are_left_out():
    nested = pa.array([[b"x"]], pa.list_(pa.binary_view()))
    (batch,) = _checked({"notes": views(1, b"\xff" * 2000), "b": pa.array([1]), "nested": nested})
    assert batch.to_pydict() == {"b": [1]}


def test_a_dictionary_is_checked_once_and_its_indices_in_each_batch():
    safe = SafeBatches({"a"}, 1000)
    levels = views(9)
    first, second = (safe.checked(pa.record_batch({"a": _levels(levels, [i])}))["a"] for i in (0, 8))
    assert first.dictionary.buffers()[1].address == second.dictionary.buffers()[1].address
    for index in (9, -1):
        with pytest.raises(pa.ArrowException):
            safe.checked(pa.record_batch({"a": _levels(levels, [index])}))
    with pytest.raises(pa.ArrowInvalid):
        safe.checked(pa.record_batch({"a": _levels(views(9, b"\xff" * 20))}))


@pytest.mark.parametrize("column", [views(13), _levels(views(3), [0] * 13), pa.array(["xy"] * 13)])
def test_rows_that_are_not_there_are_not_read(column):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("a", column.type)])) as writer:
        writer.write_batch(pa.record_batch({"a": column}))
    content = sink.getvalue().to_pybytes().replace(struct.pack("<q", 13), struct.pack("<q", 13 << 20))
    with pytest.raises(pa.ArrowInvalid):
        SafeBatches({"a"}, 1 << 40).checked(pa.ipc.open_stream(content).read_next_batch())
