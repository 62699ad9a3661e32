"""The file a person edits."""

import tomllib

import brands
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.data_config import Churn, DataConfig
from churnops.sources.proposal.document import render
from churnops.sources.proposal.propose import Proposal

LABEL = {"column": "left", "churned": ["yes"], "stayed": ["no"]}


def labelled(columns=None, **fields):
    """A config of labelled customers."""
    customers = {
        "path": "a.csv",
        "format": "csv",
        "id": "id",
        "label": LABEL,
        "columns": columns or {},
    } | fields
    return DataConfig.model_validate({"name": "a", "shape": "labelled", "customers": customers})


def document(config, *, reasons=None, warnings=(), notes=()):
    """What is written for a config and what was said of it."""
    return render(Proposal(config, reasons or {}, tuple(warnings), (), tuple(notes)))


@pytest.mark.parametrize("brand", [brands.german, brands.shopify, brands.panel])
def test_the_file_says_what_was_proposed(tmp_path, proposed, brand):
    proposal = proposed(*brand(tmp_path))
    text = render(proposal)
    assert DataConfig.model_validate(tomllib.loads(text)) == proposal.config
    assert all(len(line) <= 120 for line in text.splitlines())


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=40)
@given(columns=st.dictionaries(NAMES, st.text(), max_size=3), path=NAMES, warning=st.text())
def test_whatever_a_column_is_called_and_said_of_it_the_file_can_be_read(columns, path, warning):
    config = labelled({name: {"role": "numeric"} for name in columns}, path=path)
    reasons = {f"customers.columns.{name}": reason for name, reason in columns.items()}
    text = document(config, reasons=reasons, warnings=[warning], notes=[warning])
    assert DataConfig.model_validate(tomllib.loads(text)) == config


def test_warnings_come_first_and_reasons_beside_what_they_explain():
    reasons = {
        "customers.label": "26.5% left",
        "customers.columns.age": "18 to 92",
        "customers.as_of": "none",
    }
    text = document(
        labelled({"age": {"role": "numeric"}}), reasons=reasons, warnings=["Beware."], notes=["12 rows"]
    )
    first, _, warning, _, note, *_ = text.splitlines()
    assert first.startswith("# Proposed by `churnops init`")
    assert (warning, note) == ("# WARNING: Beware.", "# Found: 12 rows")
    assert 'label = { column = "left", churned = ["yes"], stayed = ["no"] }  # 26.5% left' in text
    assert 'age = { role = "numeric" }  # 18 to 92' in text
    assert "# as_of: none" in text


def test_a_long_reason_stands_above():
    text = document(
        labelled({"a": {"role": "numeric"}}), reasons={"customers.columns.a": "very " * 30 + "long"}
    )
    above = text.splitlines()[text.splitlines().index('a = { role = "numeric" }') - 1]
    assert above.startswith("# very")
    assert above.endswith("long")


def test_keys_that_mean_nothing_here_are_left_out():
    text = document(labelled())
    said = tomllib.loads(text)
    assert set(said["customers"]) == {"path", "format", "delimiter", "id_format", "id", "label", "columns"}
    assert set(said["repairs"]) == {
        "damaged_file",
        "exact_duplicates",
        "missing_id",
        "bad_number",
        "repeated_customer",
        "missing_label",
        "unknown_label",
    }
    assert (said["split"], "churn" in said, "snapshots" in said) == ({"folds": 5, "seed": 0}, False, False)
    unusual = tomllib.loads(document(labelled(encoding="cp1252", decimal=",")))["customers"]
    assert (unusual["encoding"], unusual["decimal"]) == ("cp1252", ",")


def test_a_time_with_an_offset_has_no_zone():
    for format_, zone in (("%Y-%m-%d", "UTC"), ("%Y-%m-%dT%H:%M:%S%z", None), ("epoch_ms", None)):
        config = DataConfig.model_validate(
            {
                "name": "a",
                "shape": "purchases",
                "transactions": {
                    "path": "a.parquet",
                    "format": "parquet",
                    "id": "id",
                    "time": {"column": "t", "format": format_},
                },
                "churn": Churn(horizon_days=7, active_days=7),
            }
        )
        said = tomllib.loads(document(config))
        assert said["transactions"]["time"].get("timezone") == zone
        assert "missing_label" not in said["repairs"]
        assert "zero_amount" not in said["repairs"]
