"""Reasons in words."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from builders import rewrite_manifest
from customers import COLUMNS, make_customers, rows_of
from trained import explained

from churnops.bundle.bundle import REASONS_FILE, Bundle, read_bundle, write_bundle
from churnops.bundle.manifest import Manifest, canonical_json
from churnops.bundle.reasons import Reason, reasons
from churnops.errors import BundleError

ROWS = rows_of(COLUMNS, [(400.0, np.nan, 30.1), (2.5, 20.0, 40.0)], [("", "東京"), ("pro", "nowhere")])


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_bundle(explained("logistic"), tmp_path / "bundle")


def test_the_largest_effects_come_first_with_the_value_and_what_it_means():
    bundle = explained("logistic")

    why, _ = reasons(bundle, ROWS.numeric_NF, ROWS.categorical_NC, top=5)

    effects = bundle.effects(ROWS.numeric_NF, ROWS.categorical_NC)[0]
    by_column = dict(zip((*COLUMNS.numeric, *COLUMNS.categorical), effects, strict=True))
    assert [abs(one.effect) for one in why] == sorted(map(abs, effects), reverse=True)
    assert {one.column: one.effect for one in why} == by_column
    assert {one.column: one.value for one in why} == {
        "recency_days": 400.0,
        "spend_30d": None,
        "age": 30.1,
        "plan": None,
        "city": "東京",
    }
    assert why[0].text == f"The {why[0].column}"


def test_long_silence_speaks_for_leaving_and_a_recent_purchase_against():
    of_silent, of_recent = reasons(explained("recency"), ROWS.numeric_NF, ROWS.categorical_NC)

    (silent,), (recent,) = of_silent, of_recent
    assert silent.column == recent.column == "recency_days"
    assert silent.effect > 0 > recent.effect


def test_columns_without_an_effect_are_no_reasons():
    assert len(reasons(explained("recency"), ROWS.numeric_NF, ROWS.categorical_NC, top=3)[0]) == 1


def test_many_rows_have_the_reasons_each_has_alone():
    rows, bundle = make_customers(300, seed=8), explained("lightgbm")
    together = reasons(bundle, rows.numeric_NF, rows.categorical_NC, top=2)

    for i in (0, 150, 299):
        (alone,) = reasons(bundle, rows.numeric_NF[i : i + 1], rows.categorical_NC[i : i + 1], top=2)
        assert [one.column for one in alone] == [one.column for one in together[i]]
        assert [one.effect for one in alone] == pytest.approx([one.effect for one in together[i]], abs=1e-6)


def test_a_bundle_that_was_written_gives_the_same_reasons(folder):
    bundle = read_bundle(folder)

    assert bundle == explained("logistic")
    assert all(isinstance(one, Reason) for one in reasons(bundle, ROWS.numeric_NF, ROWS.categorical_NC)[0])


def test_a_bundle_without_reasons_scores_and_says_why_it_gives_none(tiny_bundle, tmp_path):
    bundle = read_bundle(write_bundle(tiny_bundle, tmp_path / "bundle"))

    assert bundle.manifest.reasons is None
    with pytest.raises(BundleError, match="gives no reasons"):
        reasons(bundle, np.zeros((1, 3)), np.array([["pro", ""]], dtype=object))


def test_a_bundle_of_the_version_before_is_what_it_was(tiny_bundle, tmp_path):
    """Its hash was over the fields that were."""
    fields = tiny_bundle.manifest.model_dump(mode="json") | {"schema_version": 1}
    manifest = Manifest.model_validate(fields)
    bundle = read_bundle(write_bundle(Bundle(manifest, tiny_bundle.model), tmp_path / "bundle"))

    del fields["smoke"], fields["reasons"]
    assert Manifest.model_validate(fields) == bundle.manifest
    assert bundle.manifest.content_hash == hashlib.sha256(canonical_json(fields).encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "reasons.onnx is missing"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), "reasons.onnx is not the file"),
    ],
)
def test_reasons_that_are_not_those_of_the_manifest_are_refused(folder, change, message):
    change(folder / REASONS_FILE)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_reasons_of_another_model_are_refused_though_the_manifest_names_them(folder):
    other = explained("lightgbm")
    (folder / REASONS_FILE).write_bytes(other.reasons)
    rewrite_manifest(folder, reasons=other.manifest.reasons.model_dump(mode="json"))
    with pytest.raises(BundleError, match="adds up to"):
        read_bundle(folder)


def test_a_smoke_row_with_another_score_is_refused(folder):
    smoke = [one.model_dump(mode="json") for one in explained("logistic").manifest.smoke]
    rewrite_manifest(folder, smoke=[smoke[0] | {"score": smoke[0]["score"] + 0.001}, *smoke[1:]])
    with pytest.raises(BundleError, match="gives smoke rows"):
        read_bundle(folder)


def test_version_1_has_no_reasons():
    fields = explained("logistic").manifest.model_dump(mode="json") | {"schema_version": 1}
    with pytest.raises(ValueError, match="schema_version 1 knows neither"):
        Manifest.model_validate(fields)
