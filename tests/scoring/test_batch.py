"""The bundle over a whole table."""

import datetime as dt
import resource
import signal
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS, make_bundle

from churnops.bundle.manifest import InputColumn
from churnops.contracts.table import check
from churnops.contracts.tables import INSTANT, SCORES
from churnops.errors import ConfigError, ContractError, SourceError
from churnops.scoring.batch import export_scores, score_table

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
        to = tmp_path / "scores.parquet"
        assert score_table(tiny_bundle, tmp_path / "inputs.parquet", to, **options) == table.num_rows
        found = pq.read_table(to)
        assert set(found["model_version"].to_pylist()) <= {tiny_bundle.manifest.model_version}
        return found

    return run


def test_the_result_keeps_its_contract(scored, engine, tmp_path):
    assert scored(_table(100)).schema.names == [column.name for column in SCORES.columns]
    assert check(SCORES, engine.query, str(tmp_path / "scores.parquet")) == 100


def test_the_likeliest_to_leave_comes_first(scored):
    scores = scored(_table(500))
    assert scores["rank"].to_pylist() == list(range(1, 501))
    assert scores["score"].to_pylist() == sorted(scores["score"].to_pylist(), reverse=True)


def test_ties_are_broken_by_customer_and_then_by_instant(scored):
    tied = _table(
        4,
        customer_id=["b", "é", "a", "b"],
        as_of=pa.array([JULY, JUNE, JUNE, JUNE], INSTANT),
        **{name: _table(1)[name].to_pylist() * 4 for name in ["tenure months", "class", '1st "plan"']},
        **{"spend.30d": [1.0] * 4, "city_tier": ["1"] * 4},
    )
    scores = scored(tied)
    keys = list(zip(scores["customer_id"].to_pylist(), scores["as_of"].to_pylist(), strict=True))
    assert keys == [("a", JUNE), ("b", JUNE), ("b", JULY), ("é", JUNE)]


def test_the_order_of_rows_changes_nothing(scored):
    table = _table(300)
    order = np.random.default_rng(1).permutation(300)
    assert scored(table).equals(scored(table.take(order)))


def test_scoring_again_gives_the_same_bytes_and_another_model_other_ids(tiny_bundle, tmp_path):
    pq.write_table(_table(50), tmp_path / "inputs.parquet")
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet", tmp_path / "3.parquet"]
    for bundle, path in zip([tiny_bundle, tiny_bundle, make_bundle(seed=1)], paths, strict=True):
        score_table(bundle, tmp_path / "inputs.parquet", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    ids, _, others = (set(pq.read_table(path)["prediction_id"].to_pylist()) for path in paths)
    assert {UUID(name).version for name in ids} == {5}
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
    scores = scored(_table(2, as_of=own), as_of=given).sort_by("customer_id")
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


def test_a_folder_is_one_table(tiny_bundle, tmp_path):
    (tmp_path / "inputs").mkdir()
    table = _table(10)
    pq.write_table(table[:4], tmp_path / "inputs" / "a.parquet")
    pq.write_table(table[4:], tmp_path / "inputs" / "b.parquet")
    score_table(tiny_bundle, tmp_path / "inputs", tmp_path / "scores.parquet")
    assert pq.read_table(tmp_path / "scores.parquet")["rank"].to_pylist() == list(range(1, 11))


def test_csv_holds_the_same_as_parquet(scored, tmp_path):
    in_parquet = scored(_table(40, customer_id=[f'0{i},"' for i in range(40)]))
    export_scores(tmp_path / "scores.parquet", tmp_path / "scores.csv")
    types = {"customer_id": pa.string(), "as_of": INSTANT}
    options = pa.csv.ConvertOptions(column_types=types)
    assert pa.csv.read_csv(tmp_path / "scores.csv", convert_options=options).equals(in_parquet)


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
                "spend.30d: infinite or beyond 32 bits in 2 rows",
                "tenure months: null in 2 rows",
                '1st "plan": null or blank in 2 rows',
                "customer_id: null or empty in 2 rows",
                "as_of: null, with none given instead, in 3 rows",
            ],
        ),
        ({"customer_id": ["a", "a", "a"]}, ["customer_id, as_of: repeated in 2 rows"]),
    ],
)
def test_everything_wrong_with_a_table_is_named_and_nothing_is_written(scored, tmp_path, columns, problems):
    with pytest.raises(ContractError) as caught:
        scored(_table(3, **columns))
    assert sorted(caught.value.problems) == sorted(problems)
    assert [path.name for path in tmp_path.iterdir()] == ["inputs.parquet"]


def test_numbers_the_model_cannot_bear_are_named(tmp_path):
    column = InputColumn(name="a", kind="numeric", nullable=False, text="", minimum=0, maximum=1e-3)
    bundle = make_bundle([column, column.model_copy(update={"name": "b"})])
    table = pa.table({"customer_id": ["x", "y"], "a": [0, 3e38], "b": [0, 3e38]})
    pq.write_table(table, tmp_path / "inputs.parquet")
    with pytest.raises(ContractError, match="too extreme for the model in 1 rows"):
        score_table(bundle, tmp_path / "inputs.parquet", tmp_path / "scores.csv", as_of=JUNE)


def test_what_is_not_parquet_is_named(tiny_bundle, tmp_path):
    pq.write_table(_table(), tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-10])
    for name, message in [("cut.parquet", "not Parquet, or damaged"), ("none.parquet", "no such file")]:
        with pytest.raises(SourceError, match=message):
            score_table(tiny_bundle, tmp_path / name, tmp_path / "scores.parquet")


def test_damage_inside_a_table_is_named_and_the_old_scores_stay(tiny_bundle, tmp_path):
    path, to = tmp_path / "inputs.parquet", tmp_path / "scores.parquet"
    pq.write_table(_table(1000), path)
    score_table(tiny_bundle, path, to)
    old = to.read_bytes()
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not Parquet, or damaged"):
        score_table(tiny_bundle, path, to)
    assert to.read_bytes() == old


@pytest.mark.parametrize("name", ["scores", "scores.txt", "scores.csv.gz"])
def test_scores_are_parquet_or_csv(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\.parquet or \.csv"):
        export_scores(Path("any.parquet"), tmp_path / name)


def test_columns_are_found_by_the_names_people_give(tmp_path):
    names = ["a.b", ".c", "x[0]", "d e", "class", 'q"', "é", "a"]
    inputs = [InputColumn(name=n, kind="numeric", nullable=False, text="", maximum=9) for n in names]
    bundle = make_bundle(inputs)
    row = {name: float(i) for i, name in enumerate(names)}
    pq.write_table(pa.Table.from_pylist([{"customer_id": "x", **row}]), tmp_path / "inputs.parquet")
    score_table(bundle, tmp_path / "inputs.parquet", tmp_path / "scores.parquet", as_of=JUNE)
    assert (
        pq.read_table(tmp_path / "scores.parquet")["score"].to_pylist() == bundle.score_rows([row]).tolist()
    )


def test_columns_are_all_the_bundle_takes():
    assert {column.name for column in COLUMNS} < set(_table().column_names)


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tiny_bundle, tmp_path):
    pq.write_table(_table(), tmp_path / "inputs.parquet")
    to = tmp_path / "scores.csv"
    (to / "in the way").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught:
        score_table(tiny_bundle, tmp_path / "inputs.parquet", to)
    assert caught.value.filename == str(to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs.parquet", "scores.csv"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_full_disk_is_told_with_the_file_it_was_met_at(tiny_bundle, tmp_path, ending):
    pq.write_table(_table(2000), tmp_path / "inputs.parquet")
    to = tmp_path / f"scores.{ending}"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            score_table(tiny_bundle, tmp_path / "inputs.parquet", to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handled)
    assert caught.value.filename == str(to)
    assert [path.name for path in tmp_path.iterdir()] == ["inputs.parquet"]
