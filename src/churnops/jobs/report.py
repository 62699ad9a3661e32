"""`churnops report`: one page for people, out of what a run left in its folder."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from churnops.config import faults
from churnops.errors import SourceError
from churnops.evaluation.metrics import METRICS
from churnops.report.page import render
from churnops.report.result import Result
from churnops.writing import write_whole

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"
REPORT = "report.html"


def write_report(run_folder: Path) -> Path:
    """Write `report.html` beside the run's `result.json` and `predictions.parquet`, replacing an earlier one.

    Raises SourceError, naming all that is wrong, when either is missing, damaged or not of the same run.
    """
    result = _read_result(run_folder / RESULT)
    page = render(result, _read_predictions(run_folder / PREDICTIONS, result))
    path = run_folder / REPORT
    write_whole(path, page.encode())
    return path


def _read_result(path: Path) -> Result:
    try:
        result = Result.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceError(str(path), [_unreadable(error)]) from error
    except ValidationError as error:
        raise SourceError(str(path), faults(error)) from error
    if problems := list(_result_problems(result)):
        raise SourceError(str(path), problems)
    return result


def _result_problems(result: Result) -> Iterator[str]:
    if result.chosen not in {one.name for one in result.candidates}:
        yield f"the chosen candidate {result.chosen} is not among the candidates"
    for one in result.candidates:
        if missing := METRICS.keys() - one.metrics.keys():
            yield f"candidate {one.name} has no {', '.join(sorted(missing))}"


def _read_predictions(path: Path, result: Result) -> pa.Table:
    wanted = ["churned", *(one.name for one in result.candidates)]
    try:
        file = pq.ParquetFile(path)
        if missing := [name for name in wanted if name not in file.schema_arrow.names]:
            raise SourceError(str(path), [f"no column {name}" for name in missing])
        predictions = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(str(path), [_unreadable(error)]) from error
    if problems := list(_prediction_problems(predictions, wanted[1:])):
        raise SourceError(str(path), problems)
    return predictions


def _prediction_problems(predictions: pa.Table, candidates: list[str]) -> Iterator[str]:
    if pc.count_distinct(predictions["churned"]).as_py() != 2:
        yield "churned: there must be customers who left and customers who stayed"
    for name in predictions.column_names:
        if predictions[name].null_count:
            yield f"{name}: {predictions[name].null_count} missing values"
    for name in candidates:
        if not pc.all(pc.is_finite(predictions[name])).as_py():
            yield f"{name}: scores that are not finite"


def _unreadable(error: Exception) -> str:
    missing = isinstance(error, FileNotFoundError)
    return "no such file: finish the run first" if missing else f"cannot be read: {error}"
