"""From somebody's files to a config, or to an error that says what to do."""

import gzip
import tomllib

import pytest
from exports import export, export_parquet

from churnops.data_config import DataConfig
from churnops.errors import ConfigError, InputError, NotEnoughData
from churnops.jobs.init import Request, init

PURCHASES = "customer_id,date,amount"


def purchases(n=400, first=0):
    """Lines of a log: twenty customers in turn, one a day."""
    return [
        f"{i % 20:03d},2021-{i // 28 % 12 + 1:02d}-{i % 28 + 1:02d},{5 + i % 9}.50" for i in range(first, n)
    ]


def people(n=60):
    """Lines of labelled customers, a third of whom left."""
    return [f"k{i},{i * 7 % 30},{'left' if i % 3 == 0 else 'stayed'}" for i in range(n)]


@pytest.fixture
def initialised(tmp_path, engine):
    """Look at files of the test's folder; what was made, and the config that was written."""

    def make(*names, name="", out=tmp_path / "made.toml", **options):
        made = init(Request(*names, name=name, source_dir=str(tmp_path)), engine, out=out, **options)
        return made, DataConfig.model_validate(tomllib.loads(made.path.read_text("utf-8")))

    return make


def test_a_log_alone_makes_a_config_with_a_horizon_measured_on_it(tmp_path, initialised):
    export(tmp_path / "shop.csv", PURCHASES, *purchases())
    made, config = initialised("shop.csv")
    assert (made.shape, config.name, config.shape) == ("purchases", "shop", "purchases")
    assert config.churn.horizon_days % 7 == 0
    assert "customers silent for" in made.path.read_text("utf-8")


def test_labelled_customers_make_a_config(tmp_path, initialised):
    export(tmp_path / "club.csv", "id,calls,outcome", *people())
    made, config = initialised("club.csv")
    assert (made.shape, config.customers.label.churned) == ("labelled", ("left",))


def test_the_config_lies_where_it_is_looked_for_and_is_not_replaced_unasked(
    tmp_path, initialised, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    export(tmp_path / "my club" / "customers.csv", "id,calls,outcome", *people())
    made, config = initialised("my club/customers.csv", out=None)
    assert (made.path.as_posix(), config.name) == ("configs/data/my_club.toml", "my_club")
    before = made.path.read_bytes()
    with pytest.raises(ConfigError, match="exists already: choose another with --out, or replace it"):
        initialised("my club/customers.csv", out=None)
    initialised("my club/customers.csv", out=None, force=True)
    assert made.path.read_bytes() == before


def unclear():
    """Lines of labelled customers in words that say nothing."""
    return [line.replace("left", "x").replace("stayed", "y") for line in people()]


def test_a_person_is_asked_what_the_data_leave_open(tmp_path, initialised):
    export(tmp_path / "club.csv", "id,calls,target", *unclear())
    asked = []

    def ask(question):
        asked.append(question.key)
        return "y"

    made, config = initialised("club.csv", ask=ask)
    assert asked == ["customers.label.churned"]
    assert (config.customers.label.churned, made.questions) == (("y",), ())


def test_without_a_person_the_likeliest_is_taken_and_written_as_a_warning(tmp_path, initialised):
    export(tmp_path / "club.csv", "id,calls,target", *unclear())
    made, config = initialised("club.csv")
    assert config.customers.label.churned == ("x",)
    assert [question.key for question in made.questions] == ["customers.label.churned"]
    text = made.path.read_text("utf-8")
    assert "# WARNING: Which word in 'target' means that a customer has left? Taken for granted: x" in text


@pytest.mark.parametrize("name", ["Bad Name!", "../up", "é", "a" * 65])
def test_a_name_no_config_can_have_is_refused_before_a_look_at_the_files(initialised, name):
    with pytest.raises(ConfigError, match="small letters, digits, _ and -"):
        initialised("not_there.csv", name=name)


def test_mistyped_years_are_told_and_left_out(tmp_path, initialised):
    slips = ["003,2099-01-01,5", "004,2099-01-02,6", "005,1900-01-01,7"]
    export(tmp_path / "shop.csv", PURCHASES, *purchases(), *slips)

    made, config = initialised("shop.csv")

    assert (
        "shop.csv: 3 of 403 rows have a 'date' (1900-01-01, 2099-01-01, 2099-01-02) far from all others, of"
        " 2021-01-01 to 2021-12-28: they are taken for slips and dropped." in made.warnings
    )
    time = config.transactions.time
    assert (str(time.earliest), str(time.latest)) == ("2021-01-01", "2098-12-31")
    assert config.repairs.bad_time == "drop"


def test_numbers_without_end_are_made_missing(tmp_path, initialised):
    calls = [float("inf") if i % 20 == 0 else i * 7 % 30 + 0.5 for i in range(60)]
    gone = ["left" if i % 3 == 0 else "stayed" for i in range(60)]
    export_parquet(tmp_path / "club.parquet", id=[f"k{i}" for i in range(60)], calls=calls, outcome=gone)

    made, config = initialised("club.parquet")

    assert config.customers.columns["calls"].role == "numeric"
    assert config.repairs.bad_number == "null"
    told = "club.parquet: 3 of 60 rows (5.0%) have what is no number, such as 'inf', in 'calls'."
    assert told in made.warnings


def test_a_few_labels_that_are_neither_yes_nor_no_are_dropped_and_told(tmp_path, initialised):
    words = ["maybe" if i == 7 else "yes" if i % 3 == 0 else "no" for i in range(60)]
    export(tmp_path / "club.csv", "id,calls,churned", *(f"k{i},{i * 7 % 30},{words[i]}" for i in range(60)))

    made, config = initialised("club.csv")

    assert (config.customers.label.churned, config.customers.label.stayed) == (("yes",), ("no",))
    assert config.repairs.unknown_label == "drop"
    told = (
        "club.csv: 1 of 60 rows (1.7%) are left out, since neither having left nor having stayed is meant by"
    )
    assert f"{told} 'maybe' in 'churned'." in made.warnings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("yes",), r"only 'yes' \(60 rows\): add the customers of whom it says otherwise"),
        (
            ("red", "blue", "green"),
            r"'blue' .*, 'red' \(20 rows\): let it say yes of who left and no of who stayed",
        ),
        ([str(i) for i in range(30)], "30 different values: let it say yes of who left"),
    ],
)
def test_a_column_named_like_a_label_that_cannot_be_one_is_told(tmp_path, initialised, words, says):
    rows = [f"k{i},{i * 7 % 30},{words[i % len(words)]}" for i in range(60)]
    export(tmp_path / "club.csv", "id,calls,churned", *rows)
    with pytest.raises(ConfigError, match=f"'churned' is named like one, and holds {says}"):
        initialised("club.csv")


def test_what_would_control_a_terminal_is_written_out(tmp_path, initialised):
    words = ["\x1b[2J" if i == 7 else "yes" if i % 3 == 0 else "no" for i in range(60)]
    export(tmp_path / "club.csv", "id,calls,churned", *(f"k{i},{i * 7 % 30},{words[i]}" for i in range(60)))
    made, _ = initialised("club.csv")
    assert r"meant by '\x1b[2J' in 'churned'." in "\n".join(made.warnings)


def truncated(path):
    """A Parquet file whose end is missing."""
    export_parquet(path, customer_id=[1, 2], churned=[0, 1])
    path.write_bytes(path.read_bytes()[:-20])


BAD = {
    "truncated Parquet": ("a.parquet", truncated, "truncated or damaged Parquet file: export it again"),
    "empty file": ("a.csv", lambda path: path.write_bytes(b""), "is empty"),
    "blank file": ("a.csv", lambda path: path.write_bytes(b"\n\n"), "is empty"),
    "header only": ("a.csv", lambda path: export(path, PURCHASES), "has a header but no rows"),
    "truncated gzip": (
        "a.csv.gz",
        lambda path: path.write_bytes(gzip.compress("\n".join([PURCHASES, *purchases()]).encode())[:-30]),
        "truncated or damaged gzip file",
    ),
    "spreadsheet": ("a.csv", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99)), "a zip or Excel file"),
    "unnamed column": ("a.csv", lambda path: export(path, "customer_id,,date", "1,2,3"), "has no name"),
    "name twice": (
        "a.csv",
        lambda path: export(path, "id,date,ID", "1,2,3"),
        "names column 'id' more than once",
    ),
    "field too many": (
        "a.csv",
        lambda path: export(path, PURCHASES, *purchases(40), "1,2021-01-01,5,6", *purchases(40)),
        r"a.csv: 1 rows have more or fewer fields than the header \(row 41: '1,2021-01-01,5,6'\)",
    ),
    "not there": ("a.csv", lambda path: path.with_name("b.csv").touch(), "no such file"),
    "nothing known": ("a.csv", lambda path: export(path, "height,weight", "1,2", "2,3"), "neither a log"),
    "no time": (
        "a.csv",
        lambda path: export(path, "customer_id,amount", *(f"{i % 9},{i}" for i in range(99))),
        "neither a log of purchases",
    ),
    "one date": (
        "a.csv",
        lambda path: export(path, PURCHASES, *(f"{i % 20},2021-01-01,{i}" for i in range(99))),
        "1 days of history; an honest test needs 35",
    ),
    "nobody twice": (
        "a.csv",
        lambda path: export(
            path, PURCHASES, *(f"{i % 60},2021-{i % 60 // 5 + 1:02d}-05,{i}" for i in range(120))
        ),
        "no customer bought on two days",
    ),
}


@pytest.mark.parametrize(("name", "spoil", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_told_and_nothing_is_written(tmp_path, initialised, name, spoil, says):
    spoil(tmp_path / name)
    with pytest.raises(InputError, match=says) as error:
        initialised(name)
    assert error.value.exit_code == 2
    assert not [path for path in tmp_path.rglob("*") if ".toml" in path.name]


def test_a_horizon_that_cannot_be_measured_is_not_made_up(tmp_path, initialised):
    export(tmp_path / "a.csv", PURCHASES, *purchases(30))
    with pytest.raises(NotEnoughData):
        initialised("a.csv")


def test_the_spill_folder_is_left_empty(tmp_path, engine, initialised):
    export(tmp_path / "club.csv", "id,calls,outcome", *people())
    initialised("club.csv")
    assert [path for path in engine.spill_dir.rglob("*") if path.is_file()] == []
