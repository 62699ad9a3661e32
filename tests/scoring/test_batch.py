"""The bundle over a whole table."""

import datetime as dt
import resource
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS, make_bundle
from scored import scored_in
from trained import explained

from churnops.bundle.manifest import InputColumn
from churnops.contracts.table import check
from churnops.contracts.tables import INSTANT, SCORES
from churnops.errors import BundleError, ContractError, SourceError
from churnops.jobs.steps.scoring import score_table
from churnops.scoring.batch import Batch

JUNE = dt.datetime.fromisoformat("2024-06-01")
JULY = dt.datetime.fromisoformat("2024-07-01")


def _table(n: int = 3, **columns) -> pa.Table:
    """`n` good customers in no order of score; `columns` replace or, as None, remove."""
    good = {
        "customer_id": [f"c{i}" for i in range(n)],
        "as_of": pa.array([JUNE] * n, INSTANT),
        "tenure months": [(i * 37) % 72 for i in range(n)],
        "spend.30d": pa.array([None if i % 3 == 0 else i * 1.5 for i in range(n)], pa.float64()),
        "class": [i % 2 == 0 for i in range(n)],
        '1st "plan"': ["basic" if i % 2 else "pro" for i in range(n)],
        "city_tier": pa.array([None if i % 5 == 0 else str(i % 5) for i in range(n)], pa.string()),
        "unrelated": ["x"] * n,
    }
    return pa.table({name: values for name, values in (good | columns).items() if values is not None})


@pytest.fixture
def scored(tiny_bundle, tmp_path):
    """Scores a table and reads the result back."""

    def run(table: pa.Table, **options) -> pa.Table:
        pq.write_table(table, tmp_path / "inputs.parquet")
        found = scored_in(tmp_path / "scores", tiny_bundle, tmp_path / "inputs.parquet", **options)
        assert found.num_rows == table.num_rows
        assert set(found["model_version"].to_pylist()) <= {tiny_bundle.manifest.model_version}
        return found

    return run


def test_the_result_keeps_its_contract(scored, engine, tmp_path):
    assert scored(_table(100)).schema.names == [column.name for column in SCORES.columns]
    assert check(SCORES, engine.query, str(tmp_path / "scores")) == 100


def test_scores_stand_in_the_order_of_the_table(scored):
    table = _table(500)
    assert scored(table)["customer_id"].to_pylist() == table["customer_id"].to_pylist()


def test_a_customer_has_the_same_score_wherever_it_stands(scored, tmp_path):
    table = _table(300)
    one = scored(table)
    (tmp_path / "scores" / "000001.parquet").unlink()
    turned = scored(table[::-1])
    assert turned[::-1].equals(one)


def test_scoring_again_gives_the_same_bytes_and_another_model_other_ids(tiny_bundle, tmp_path):
    pq.write_table(_table(50), tmp_path / "inputs.parquet")
    folders = [tmp_path / "1", tmp_path / "2", tmp_path / "3"]
    for bundle, folder in zip([tiny_bundle, tiny_bundle, make_bundle(seed=1)], folders, strict=True):
        scored_in(folder, bundle, tmp_path / "inputs.parquet")
    one, again, _ = (next(folder.iterdir()).read_bytes() for folder in folders)
    assert one == again
    ids, _, others = (set(pq.read_table(folder)["prediction_id"].to_pylist()) for folder in folders)
    assert len(ids) == 50
    assert not ids & others


@pytest.mark.parametrize(
    ("own", "given", "result"),
    [
        (pa.array([JULY, None], INSTANT), JUNE, [JULY, JUNE]),
        (pa.nulls(2), JUNE, [JUNE, JUNE]),
        (None, JUNE, [JUNE, JUNE]),
        (None, dt.datetime.fromisoformat("2024-06-01T02:00+02:00"), [JUNE, JUNE]),
        (pa.array([JUNE.date()] * 2), None, [JUNE, JUNE]),
        (pa.array([JUNE] * 2, pa.timestamp("ns", "Europe/Berlin")), None, [JUNE, JUNE]),
    ],
)
def test_the_given_instant_stands_in_where_the_table_has_none(scored, own, given, result):
    scores = scored(_table(2, as_of=own), as_of=given)
    assert scores["as_of"].to_pylist() == result


@pytest.mark.parametrize(
    "columns",
    [
        {"tenure months": pa.array([1, 2, 3], pa.decimal128(10, 2))},
        {"class": pa.nulls(3)},
        {"city_tier": pa.array([1, None, 7], pa.int8())},
        {"city_tier": pa.array(["1", None, "2"]).dictionary_encode()},
        {"customer_id": pa.array(["a", "b", "c"]).dictionary_encode()},
    ],
)
def test_other_types_that_mean_the_same_are_taken(scored, columns):
    assert scored(_table(3, **columns)).num_rows == 3


def test_an_empty_table_has_no_scores(scored):
    scores = scored(_table(3)[:0])
    assert scores.num_rows == 0
    assert scores.schema.names == [column.name for column in SCORES.columns]


@pytest.fixture
def halves(tmp_path):
    """A table in a folder of two files, of two row groups each."""
    (tmp_path / "inputs").mkdir()
    table = _table(10)
    pq.write_table(table[:4], tmp_path / "inputs" / "a.parquet", row_group_size=2)
    pq.write_table(table[4:], tmp_path / "inputs" / "b.parquet", row_group_size=3)
    return tmp_path / "inputs"


def test_a_folder_is_one_table(tiny_bundle, halves, tmp_path):
    scores = scored_in(tmp_path / "scores", tiny_bundle, halves)
    assert scores["customer_id"].to_pylist() == [f"c{i}" for i in range(10)]


def test_what_is_there_is_kept_and_what_is_cut_is_made_again(tiny_bundle, halves, tmp_path):
    straight = scored_in(tmp_path / "scores", tiny_bundle, halves)
    first, second, third, _ = sorted((tmp_path / "scores").iterdir())
    kept = first.stat().st_ino
    second.unlink()
    third.write_bytes(third.read_bytes()[:-9])

    assert scored_in(tmp_path / "scores", tiny_bundle, halves).equals(straight)
    assert first.stat().st_ino == kept


def test_a_key_that_two_files_share_is_named(tiny_bundle, tmp_path):
    (tmp_path / "inputs").mkdir()
    pq.write_table(_table(2), tmp_path / "inputs" / "a.parquet")
    pq.write_table(_table(2, customer_id=["c1", "c2"]), tmp_path / "inputs" / "b.parquet")
    with pytest.raises(
        ContractError, match=r"(?s)b\.parquet, rows 1 to 2:.*customer_id, as_of: repeated in row 1"
    ):
        scored_in(tmp_path / "scores", tiny_bundle, tmp_path / "inputs")


def test_reasons_that_the_bundle_does_not_give_are_refused(scored, tmp_path):
    with pytest.raises(BundleError, match="gives no reasons"):
        scored(_table(), reasons=1)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize(
    ("columns", "problems"),
    [
        (
            {"customer_id": None, "spend.30d": None, "city_tier": None},
            [
                "customer_id: column is missing",
                "spend.30d: column is missing",
                "city_tier: column is missing",
            ],
        ),
        (
            {
                "customer_id": [1, 2, 3],
                "as_of": ["2024-06-01"] * 3,
                "class": ["a", "b", "c"],
                "city_tier": [1.5, 2.5, 3.5],
            },
            [
                "as_of: type is string, not a timestamp or date",
                "customer_id: type is int64, not text",
                "class: type is string, not a number",
                "city_tier: type is double, not text or whole numbers",
            ],
        ),
        (
            {
                "tenure months": pa.array([1.0, None, float("nan")]),
                "spend.30d": [float("inf"), 1e300, 1.0],
                '1st "plan"': ["pro", " ", None],
                "customer_id": ["a", "", None],
                "as_of": pa.nulls(3),
            },
            [
                "spend.30d: infinite or beyond 32 bits in 2 rows, first in row 1",
                "tenure months: null in 2 rows, first in row 2",
                '1st "plan": null or blank in 2 rows, first in row 2',
                "customer_id: null or empty in 2 rows, first in row 2",
                "as_of: null, with none given instead, in 3 rows, first in row 1",
            ],
        ),
        ({"customer_id": ["a", "a", "a"]}, ["customer_id, as_of: repeated in 2 rows, first in row 2"]),
    ],
)
def test_everything_wrong_with_a_table_is_named_and_nothing_is_written(scored, tmp_path, columns, problems):
    with pytest.raises(ContractError) as caught:
        scored(_table(3, **columns))
    assert sorted(caught.value.problems) == sorted(problems)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["inputs.parquet"]


def test_columns_that_are_there_twice_are_named(scored):
    table = once = _table(3)
    for name in ["as_of", "city_tier", "spend.30d", "spend.30d"]:
        table = table.append_column(name, once[name])
    with pytest.raises(ContractError) as caught:
        scored(table)
    assert sorted(caught.value.problems) == [
        "as_of: column is there 2 times",
        "city_tier: column is there 2 times",
        "spend.30d: column is there 3 times",
    ]


def test_a_column_that_nobody_asked_for_may_be_there_twice(scored):
    other = pa.nulls(3)
    assert scored(_table(3).append_column("other", other).append_column("other", other)).num_rows == 3


def test_numbers_the_model_cannot_bear_are_named(tmp_path):
    column = InputColumn(name="a", kind="numeric", nullable=False, text="", minimum=0, maximum=1e-3)
    bundle = make_bundle([column, column.model_copy(update={"name": "b"})])
    table = pa.table({"customer_id": ["x", "y"], "a": [0, 3e38], "b": [0, 3e38]})
    pq.write_table(table, tmp_path / "inputs.parquet")
    with pytest.raises(ContractError, match="too extreme for the model in row 2"):
        scored_in(tmp_path / "scores", bundle, tmp_path / "inputs.parquet", as_of=JUNE)


def test_the_first_row_is_counted_in_its_file(tiny_bundle, tmp_path):
    """Whatever row groups, parts and batches its file is read in."""
    spoilt = [None if i in (33_333, 40_000) else float(i) for i in range(50_000)]
    table = _table(50_000, **{"tenure months": pa.array(spoilt)})
    pq.write_table(table, tmp_path / "inputs.parquet", row_group_size=10_000)
    with pytest.raises(ContractError, match=r"(?s)rows 30,001 to 40,000.*months: null in row 33,334"):
        scored_in(tmp_path / "scores", tiny_bundle, tmp_path / "inputs.parquet")
    pq.write_table(table, tmp_path / "inputs.parquet", row_group_size=50_000)
    with pytest.raises(ContractError, match="tenure months: null in 2 rows, first in row 33,334"):
        scored_in(tmp_path / "scores", tiny_bundle, tmp_path / "inputs.parquet")


def _explained(n):
    """`n` customers for the bundles of `trained`."""
    return pa.table(
        {
            "customer_id": [f"c{i:05}" for i in range(n)],
            "recency_days": [i * 37 % 91 for i in range(n)],
            "spend_30d": pa.array([None if i % 3 == 0 else i % 1000 / 7 for i in range(n)], pa.float64()),
            "age": [18 + i % 70 for i in range(n)],
            "plan": [("basic", "pro", None)[i % 3] for i in range(n)],
            "city": [f"city {i % 50}" for i in range(n)],
        }
    )


def test_a_row_group_with_reasons_is_cut_and_another_number_of_processes_goes_on(tmp_path):
    pq.write_table(_explained(12_000), tmp_path / "inputs.parquet")
    files, to, bundle = (tmp_path / "inputs.parquet",), tmp_path / "scores", explained("logistic")
    batch = Batch(bundle, files, to, as_of=JUNE, reasons=3)
    straight = pq.read_table(score_table(batch, lambda *_: None, processes=1))
    first, second, third = sorted(to.iterdir())
    kept = first.stat().st_ino
    second.unlink()
    third.unlink()

    again = score_table(batch, lambda *_: None, processes=2)

    assert pq.read_table(again).equals(straight)
    assert straight["customer_id"].to_pylist() == [f"c{i:05}" for i in range(12_000)]
    assert first.stat().st_ino == kept


def test_what_is_wrong_where_a_row_group_is_cut_is_named(tmp_path):
    table = _explained(12_000)
    repeated = table["customer_id"].take([*range(4_000), 3_999, *range(4_001, 12_000)])
    pq.write_table(table.set_column(0, "customer_id", repeated), tmp_path / "inputs.parquet")
    with pytest.raises(
        ContractError, match=r"(?s)rows 4,001 to 8,000:.*customer_id, as_of: repeated in row 4,001"
    ):
        scored_in(
            tmp_path / "scores", explained("logistic"), tmp_path / "inputs.parquet", as_of=JUNE, reasons=1
        )


def test_what_is_not_parquet_is_named(tiny_bundle, tmp_path):
    pq.write_table(_table(), tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-10])
    for name, message in [("cut.parquet", "not Parquet, or damaged"), ("none.parquet", "no such file")]:
        with pytest.raises(SourceError, match=message):
            scored_in(tmp_path / "scores", tiny_bundle, tmp_path / name)


def test_damage_inside_a_table_is_named_and_its_part_is_not_there(tiny_bundle, halves, tmp_path):
    path = halves / "b.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"(?s)b\.parquet:.*is not Parquet, or damaged"):
        scored_in(tmp_path / "scores", tiny_bundle, halves)
    assert [path.name for path in sorted((tmp_path / "scores").iterdir())] == [
        "000001.parquet",
        "000002.parquet",
    ]


def test_columns_are_found_by_the_names_people_give(tmp_path):
    names = ["a.b", ".c", "x[0]", "d e", "class", 'q"', "é", "a"]
    whole = {"kind": "numeric", "nullable": False, "text": "", "minimum": 0, "maximum": 9}
    inputs = [InputColumn(name=name, **whole) for name in names]
    bundle = make_bundle(inputs)
    row = {name: float(i) for i, name in enumerate(names)}
    pq.write_table(pa.Table.from_pylist([{"customer_id": "x", **row}]), tmp_path / "inputs.parquet")
    scores = scored_in(tmp_path / "scores", bundle, tmp_path / "inputs.parquet", as_of=JUNE)
    assert scores["score"].to_pylist() == bundle.score_rows([row]).tolist()


def test_columns_are_all_the_bundle_takes():
    assert {column.name for column in COLUMNS} < set(_table().column_names)


def test_a_full_disk_is_told_with_the_file_it_was_met_at(tiny_bundle, tmp_path):
    pq.write_table(_table(2000), tmp_path / "inputs.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            scored_in(tmp_path / "scores", tiny_bundle, tmp_path / "inputs.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handled)
    assert caught.value.filename == str(tmp_path / "scores" / "000001.parquet")
    assert not list((tmp_path / "scores").iterdir())
