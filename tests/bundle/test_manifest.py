"""What a bundle says of itself."""

import pytest
from builders import COLUMNS, make_bundle
from pydantic import ValidationError

from churnops.bundle.manifest import InputColumn


def test_equal_manifests_have_one_version_and_any_field_changes_it(tiny_bundle):
    version = tiny_bundle.manifest.model_version
    assert version == f"tiny-{tiny_bundle.manifest.content_hash[:12]}"
    assert make_bundle().manifest.model_version == version
    assert make_bundle(seed=1).manifest.model_version != version
    assert make_bundle(threshold=0.4).manifest.model_version != version


@pytest.mark.parametrize(
    ("inputs", "ignored", "named"),
    [
        (COLUMNS + COLUMNS[:1], (), "tenure months"),
        (COLUMNS, ("city_tier",), "city_tier"),
        ((InputColumn(name="customer_id", kind="categorical", nullable=False, text=""),), (), "customer_id"),
        ((InputColumn(name="as_of", kind="numeric", nullable=False, text=""),), (), "as_of"),
    ],
)
def test_a_column_is_named_once_and_is_not_a_key(inputs, ignored, named):
    with pytest.raises(ValidationError, match=named):
        make_bundle(inputs, ignored_columns=ignored)


def test_a_key_may_be_ignored():
    assert make_bundle(ignored_columns=("as_of", "customer_id")).manifest.ignored_columns


def test_the_example_fills_every_column(tiny_bundle):
    assert set(tiny_bundle.manifest.example) == {column.name for column in COLUMNS}
