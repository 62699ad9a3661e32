"""A recipe as the TOML file a person reads and edits."""

import textwrap
from collections.abc import Sequence

import tomlkit

from churnops.training.recipe import Recipe

_WIDTH = 110


def render_recipe(recipe: Recipe, head: Sequence[str], *, start: Recipe) -> str:
    """The text of the file: `head` as comments, a paragraph each, and what each value was in `start`, if
    another. Reading it gives `recipe` again."""
    document = tomlkit.document()
    for paragraph in head:
        for line in textwrap.wrap(paragraph, _WIDTH - 2):
            document.add(tomlkit.comment(line))
    before = start.model_dump(mode="json", exclude_none=True)
    content = recipe.model_dump(mode="json", exclude_none=True)
    for key, value in content.items():
        if not isinstance(value, dict):
            _add(document, key, value, was=before.get(key))
    for section, values in content.items():
        if isinstance(values, dict):
            table = tomlkit.table()
            for key, value in values.items():
                _add(table, key, value, was=before[section].get(key))
            document.add(tomlkit.nl())
            document.add(section, table)
    return tomlkit.dumps(document)


def _add(to: tomlkit.TOMLDocument | tomlkit.items.Table, key: str, value: object, *, was: object) -> None:
    item = tomlkit.item(value)
    if value != was:
        item.comment("not set before" if was is None else f"was {tomlkit.item(was).as_string()}")
    to.add(key, item)
