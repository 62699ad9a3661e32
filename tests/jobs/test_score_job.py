"""Scoring from files to a table of scores, on days unlike those of training."""

import datetime as dt
import json
import re

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from builders import make_bundle

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import InputColumn
from churnops.config import Settings
from churnops.contracts.tables import INSTANT
from churnops.data_config import DataConfig, TimeColumn
from churnops.errors import BundleError, ConfigError
from churnops.features.definitions import declared, feature_hash, taken
from churnops.jobs.features import make_features
from churnops.jobs.score import Request, score
from churnops.jobs.steps.cleaning import clean_step
from churnops.jobs.steps.workshop import working
from churnops.lake.lake import Lake
from churnops.storage import Storage, check_deliverable

CONFIG = DataConfig.model_validate(
    {
        "name": "shop",
        "shape": "purchases",
        "transactions": {
            "path": "orders.csv",
            "format": "csv",
            "id": "customer",
            "time": {"column": "day", "format": "%Y-%m-%d"},
            "amount": "paid",
            "discount": "discount",
        },
        "churn": {"horizon_days": 30, "active_days": 365},
    }
)
NO_RETURNS_NO_DISCOUNTS_NO_BASKETS = """customer,day,paid,discount
ann,2024-01-01,10,0
bob,2024-02-01,20,0
"""


def bundle_of(names, **manifest):
    """A bundle trained on features of these names."""
    inputs = [
        InputColumn(name=name, kind="numeric", nullable=True, text="", minimum=0, maximum=100)
        for name in names
    ]
    churn = {"horizon_days": 30, "active_days": 365}
    known = {"name": "shop", "shape": "purchases", "feature_hash": feature_hash(taken(CONFIG, names))}
    return make_bundle(inputs, **known | churn | manifest)


@pytest.fixture
def scored(tmp_path):
    """Scores the orders of `tmp_path`; its bundle takes `names`."""
    (tmp_path / "orders.csv").write_text(NO_RETURNS_NO_DISCOUNTS_NO_BASKETS)

    def run(names, to=None, **manifest):
        folder = write_bundle(bundle_of(names, **manifest), tmp_path / "bundle")
        request = Request(CONFIG, dt.datetime(2024, 3, 1), bundle=str(folder), to=to)
        settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))
        return score(request, settings, lambda *_: None)

    return run


def test_features_that_say_nothing_today_are_there_for_a_model_that_takes_them(scored):
    done = scored([feature.name for feature in declared(CONFIG)])

    assert set(pq.read_table(done.path)["customer_id"].to_pylist()) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("names", "manifest", "message"),
    [
        (["recency_days", "customer_age"], {}, "takes customer_age, and shop has no such feature"),
        (["recency_days"], {"feature_hash": "of old"}, "computed otherwise than today"),
        (["recency_days"], {"config_version": 2}, r"another meaning of shop: version was 2 and is 1\. "),
        (["recency_days"], {"active_days": None}, "shop: churn.active_days was not set and is "),
        (["recency_days"], {"name": "demo"}, "was trained for demo, and the config is shop's: "),
    ],
)
def test_a_bundle_that_asks_for_something_else_is_refused_before_any_work(
    scored, tmp_path, names, manifest, message
):
    with pytest.raises(BundleError, match=message):
        scored(names, **manifest)

    assert not (tmp_path / "var").exists()


def test_scoring_uses_the_tables_of_the_run_and_never_replaces_them(scored, tmp_path):
    settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))
    with working(settings, "shop", lambda *_: None) as shop:
        cleaned = clean_step(CONFIG, shop)
    scored(["recency_days"])
    aside = cleaned.folder.parent / "scoring" / "clean"
    assert not aside.exists()

    with (tmp_path / "orders.csv").open("a") as orders:
        orders.write("eve,2024-02-20,5,0\n")
    done = scored(["recency_days"])

    assert done.rows == 3
    assert aside.exists()
    assert cleaned.read_json("step.json")["key"] == cleaned.key


CLUB = DataConfig.model_validate(
    {
        "name": "club",
        "shape": "labelled",
        "customers": {
            "path": "club.csv",
            "format": "csv",
            "id": "member",
            "label": {"column": "left", "churned": ["yes"], "stayed": ["no"]},
            "columns": {"visits": {"role": "numeric"}, "exit_reason": {"role": "categorical"}},
        },
    }
)


@pytest.fixture
def club(tmp_path):
    """Scores a table of members by their visits; the scores, the account of the repairs, and what is told."""
    visits = InputColumn(name="visits", kind="numeric", nullable=True, text="")
    known = {"name": "club", "shape": "labelled", "feature_hash": feature_hash(taken(CLUB, ["visits"]))}
    folder = write_bundle(make_bundle([visits], **known), tmp_path / "bundle")

    def run(table):
        (tmp_path / "club.csv").write_text(table)
        settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))
        done = score(Request(CLUB, dt.datetime(2024, 3, 1), bundle=str(folder)), settings, lambda *_: None)
        (account,) = (tmp_path / "var").glob("runs/club/scoring/clean/clean.json")
        told = [line.replace(str(account), "ACCOUNT") for line in done.repairs]
        return pq.read_table(done.path), json.loads(account.read_text()), told

    return run


def test_a_column_the_model_does_not_take_may_be_missing_today(club):
    scores, *_ = club("member,visits,plan\n01,3,basic\n02,9,plus\n")

    assert sorted(scores["customer_id"].to_pylist()) == ["01", "02"]


def test_rows_of_a_labelled_table_that_are_left_out_are_counted(club):
    scores, account, told = club("member,visits,left\n01,3,no\n02,9,yes\n01,3,no\n,4,no\n")

    assert sorted(scores["customer_id"].to_pylist()) == ["01", "02"]
    assert account["tables"] == {"customers": {"rows_read": 4, "rows_kept": 2}}
    assert {repair["rule"]: repair["rows"] for repair in account["repairs"]} == {
        "exact_duplicates": 1,
        "missing_id": 1,
    }
    assert told == [
        "1 rows of customers dropped: exact_duplicates; see ACCOUNT",
        "1 rows of customers dropped: missing_id in 'member'; see ACCOUNT",
    ]


def test_a_dated_table_is_asked_about_on_each_of_its_days(tmp_path):
    (tmp_path / "club.csv").write_text(
        "member,on,visits\n01,2024-01-01,3\n01,2024-02-01,4\n02,2024-02-01,9\n"
    )
    dated = CLUB.customers.model_copy(update={"as_of": TimeColumn(column="on", format="%Y-%m-%d")})
    config = CLUB.model_copy(
        update={"customers": dated.model_copy(update={"columns": {"visits": dated.columns["visits"]}})}
    )
    settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))

    made = make_features(config, settings, as_of=dt.date(2024, 2, 1), tell=lambda *_: None)

    assert pq.read_table(made.path)["visits"].to_pylist() == [4, 9]


def test_an_unknown_ending_is_refused_before_any_work(scored, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(".parquet or .csv")):
        scored(["recency_days"], to=str(tmp_path / "scores.xlsx"))

    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    "slip", ["gs://b/x.csv", "S3://b/x.csv", "s3:/b/x.csv", "s3:///x.csv", "s3://x.csv", "gs:/x.csv"]
)
def test_a_slip_in_an_address_is_refused_before_any_work(scored, tmp_path, monkeypatch, slip):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{slip}:\n  - is neither a file of this machine nor s3://"):
        scored(["recency_days"], to=slip)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "orders.csv"]


@pytest.fixture
def many(tmp_path):
    """Scores 60 customers of whom three at a time bought on the same day; where the scores were written."""
    lines = [f"c{(i * 7) % 60:02},2024-01-{1 + ((i * 7) % 60) // 3:02},10,0" for i in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join(["customer,day,paid,discount", *lines, ""]))
    folder = write_bundle(bundle_of(["recency_days"]), tmp_path / "bundle")

    def run(to):
        request = Request(CONFIG, dt.datetime(2024, 3, 1), bundle=str(folder), to=str(to))
        settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))
        return score(request, settings, lambda *_: None).path

    return run


def test_the_file_has_the_likeliest_first_and_equals_by_customer_and_the_lake_the_order_of_features(
    many, tmp_path
):
    ranked = pq.read_table(many(tmp_path / "scores.parquet"))
    assert ranked["rank"].to_pylist() == list(range(1, 61))
    pairs = list(
        zip([-score for score in ranked["score"].to_pylist()], ranked["customer_id"].to_pylist(), strict=True)
    )
    assert pairs == sorted(pairs)
    assert len(set(ranked["score"].to_pylist())) == 20

    lake = Lake(Storage(str(tmp_path / "var" / "lake")))
    (dataset,) = (name for name in lake.datasets() if "/scores/" in name)
    lake.fetch(lake.version(dataset), tmp_path / "back")
    published = pq.read_table(tmp_path / "back" / "scores.parquet")
    assert published["customer_id"].to_pylist() == [f"c{i:02}" for i in range(60)]
    assert ranked.drop_columns("rank").sort_by("customer_id").cast(published.schema).equals(published)


def test_csv_holds_the_same_as_parquet(many, tmp_path):
    in_parquet, in_csv = pq.read_table(many(tmp_path / "scores.parquet")), many(tmp_path / "scores.csv")
    options = pa.csv.ConvertOptions(column_types={"customer_id": pa.string(), "as_of": INSTANT})
    read = pa.csv.read_csv(in_csv, convert_options=options)
    assert read.equals(in_parquet.cast(read.schema))


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("folder/scores.csv", "Is a directory"),
        ("folder/scores.parquet", "Is a directory"),
        ("orders.csv/scores.csv", "Not a directory"),
        ("/proc/new/scores.csv", "No such file|Permission denied"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_as_it_was_given_before_any_work(
    many, tmp_path, place, fault
):
    for name in ("scores.csv", "scores.parquet"):
        (tmp_path / "folder" / name).mkdir(parents=True)
    with pytest.raises(OSError, match=fault) as caught:
        many(tmp_path / place)
    assert caught.value.filename == str(tmp_path / place)
    assert not (tmp_path / "var").exists()


def test_a_look_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    check_deliverable(str(tmp_path / "new" / "scores.csv"))

    assert not list(tmp_path.iterdir())


def test_reasons_of_a_bundle_that_gives_none_are_refused_before_any_work(tmp_path):
    folder = write_bundle(bundle_of(["recency_days"]), tmp_path / "bundle")
    settings = Settings(data_dir=tmp_path / "var", source_dir=str(tmp_path))
    with pytest.raises(BundleError, match="gives no reasons"):
        score(
            Request(CONFIG, dt.datetime(2024, 3, 1), bundle=str(folder), reasons=3), settings, lambda *_: None
        )

    assert not (tmp_path / "var").exists()
