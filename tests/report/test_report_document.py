"""`docs/result.md` says what `result.json` holds."""

from pathlib import Path

from churnops.report.document import result_document
from churnops.report.result import Result

COMMITTED = Path(__file__).parents[2] / "docs" / "result.md"


def test_committed_document_is_up_to_date() -> None:
    # When it is not: write what `result_document()` returns to docs/result.md.
    assert COMMITTED.read_text(encoding="utf-8") == result_document()


def test_every_field_and_object_is_there_once() -> None:
    document = result_document()
    for name in Result.model_fields:
        assert f"| `{name}` |" in document
    for name in Result.model_json_schema()["$defs"]:
        assert document.count(f"\n## {name}\n") == 1
