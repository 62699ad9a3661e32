"""The file a person edits."""

from pathlib import Path

import pytest

from churnops.config import load_toml
from churnops.errors import ConfigError
from churnops.training.recipe import Recipe

SHIPPED = Path(__file__).parents[2] / "configs/train/mlp.toml"


def test_shipped_recipe_is_the_default_one():
    assert load_toml(Recipe, SHIPPED) == Recipe()


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("sed = 1", "sed"),
        ("[network]\nhiden = [8]", "network.hiden"),
        ("[network]\nhidden = []", "network.hidden"),
        ("[network]\nhidden = [0]", "network.hidden.0"),
        ("[network]\ndropout = 1.0", "network.dropout"),
        ("[schedule]\nlearning_rate = 0", "schedule.learning_rate"),
        ("[schedule]\nbatch_size = 0", "schedule.batch_size"),
        ("[boosting]\nleaves = 1", "boosting.leaves"),
        ("threshold_top_percent = 100", "threshold_top_percent"),
        ("seed = -1", "seed"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, written, named):
    path = tmp_path / "recipe.toml"
    path.write_text(written, encoding="utf-8")

    with pytest.raises(ConfigError, match=named):
        load_toml(Recipe, path)
