"""A recipe as a file."""

from churnops.config import load_toml
from churnops.training.recipe import Network, Recipe, Schedule
from churnops.training.recipe_file import render_recipe


def test_the_file_says_what_was_otherwise_and_reads_back(tmp_path):
    recipe = Recipe(network=Network(hidden=(64,)), schedule=Schedule(learning_rate=3.1e-4), seed=4)
    path = tmp_path / "recipe.toml"

    path.write_text(render_recipe(recipe, ["One.", "word " * 40], start=Recipe()), encoding="utf-8")

    assert load_toml(Recipe, path) == recipe
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# One."
    assert "hidden = [64] # was [128, 64]" in lines
    assert "learning_rate = 0.00031 # was 0.002" in lines
    assert "seed = 4 # was 0" in lines
    assert sum("was" in line for line in lines) == 3
    assert max(map(len, lines)) <= 110
