"""`docs/data.md` says what every key of a data config means."""

from pathlib import Path
from typing import Any

import pytest

from churnops.data_config import DataConfig

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def keys(schema: dict[str, Any]) -> list[str]:
    """The names of all keys of a config, those of its tables too."""
    models = [schema, *schema["$defs"].values()]
    return sorted({key for model in models for key in model["properties"]})


@pytest.mark.parametrize("key", keys(DataConfig.model_json_schema()))
def test_every_key_is_explained(key):
    page = PAGE.read_text("utf-8")
    assert any(f"{before}{key}{after}" in page for before in "`.[" for after in "`] =")
