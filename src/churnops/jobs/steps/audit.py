"""Step 3: what the data knows that it should not, and which rows may learn from which."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churnops.data_config import DataConfig, Split
from churnops.errors import NotEnoughData
from churnops.evaluation.leakage import Evidence, Finding, audit
from churnops.evaluation.twins import Twins, find_twins
from churnops.jobs.steps.dataset import DATASET, read_about
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.jobs.steps.workshop import Published
from churnops.snapshots.split import folds
from churnops.training.dataset import Columns
from churnops.training.rounds import Index, Rounds, rounds_by_fold, rounds_by_time

_FINDINGS = "audit.json"
_SPLIT = "split.parquet"


def audit_step(config: DataConfig, cleaned: Published, dataset: Done, ledger: Ledger) -> Done:
    """The leakage findings, the columns left to learn from, and the span or fold of every row."""
    depends_on = {
        "dataset": dataset.key,
        "split": config.split.model_dump(mode="json"),
        "leakage": config.leakage.model_dump(mode="json"),
    }

    def work(to: Path) -> None:
        about = read_about(dataset)
        rows = pq.read_table(dataset.folder / DATASET)
        twins = None if about["plan"] else _twins(rows, about["features"])
        assigned_N = _assigned(rows, about["plan"], twins, config.split)
        evidence = _evidence(_learnt(rows, assigned_N), about["features"], config, cleaned.files)
        findings = audit(evidence, allow=config.leakage.allow, twins=twins)
        write_json(to / _FINDINGS, {"findings": findings, "columns": _kept(about["features"], findings)})
        group_N = twins.group_N if twins else _customers(rows)
        pq.write_table(pa.table({"assigned": assigned_N, "group": group_N}), to / _SPLIT)

    return ledger.step("audit", depends_on, work)


@dataclass(frozen=True)
class Prepared:
    """What models learn from: the dataset, and what the audit left of it."""

    dataset: Done
    audited: Done

    @property
    def depends_on(self) -> dict[str, str]:
        """The keys of both."""
        return {"dataset": self.dataset.key, "audit": self.audited.key}

    @property
    def address(self) -> str:
        """Of the dataset's table."""
        return str(self.dataset.folder / DATASET)

    @property
    def horizon_days(self) -> int:
        """How far labels look ahead; 0 where nobody said."""
        plan = read_about(self.dataset)["plan"]
        return int(plan["horizon_days"]) if plan else 0

    @property
    def columns(self) -> Columns:
        """The features left to learn from."""
        return read_columns(self.audited)

    @property
    def rounds(self) -> Rounds:
        """Which rows of the dataset, in its order, learn, calibrate and are tested."""
        return read_rounds(self.audited)

    @property
    def assigned(self) -> npt.NDArray[Any]:
        """The span or the fold of each row."""
        return read_assigned(self.audited)

    @property
    def groups(self) -> Index:
        """A number per row, shared by a customer's snapshots and by twins."""
        return read_groups(self.audited)


def read_findings(audited: Done) -> tuple[Finding, ...]:
    """What the audit suspects."""
    return tuple(Finding(**one) for one in audited.read_json(_FINDINGS)["findings"])


def read_columns(audited: Done) -> Columns:
    """The features left to learn from."""
    kept = audited.read_json(_FINDINGS)["columns"]
    return Columns(tuple(kept["numeric"]), tuple(kept["categorical"]))


def read_rounds(audited: Done) -> Rounds:
    """Which rows of the dataset, in its order, learn, calibrate and are tested: by span or by fold."""
    assigned_N = read_assigned(audited)
    if assigned_N.dtype == object:
        return rounds_by_time(assigned_N)
    return rounds_by_fold(assigned_N, n_folds=int(assigned_N.max()) + 1)


def read_assigned(audited: Done) -> npt.NDArray[Any]:
    """The span of each row of the dataset, '' for one that has no part, or its fold."""
    return np.asarray(pq.read_table(audited.folder / _SPLIT)["assigned"].to_numpy())


def read_groups(audited: Done) -> Index:
    """A number per row of the dataset, shared by a customer's snapshots and by twins: they tell no news."""
    return np.asarray(pq.read_table(audited.folder / _SPLIT)["group"].to_numpy(), dtype=np.intp)


def _assigned(
    rows: pa.Table, plan: Mapping[str, Any] | None, twins: Twins | None, split: Split
) -> npt.NDArray[Any]:
    """The span of each row where there are dates, else its fold."""
    if plan:
        return _spans(rows, plan)
    group_N = twins.group_N if twins else np.arange(rows.num_rows)
    return folds(rows["churned"].to_numpy(), group_N, split)


def _customers(rows: pa.Table) -> Index:
    """A number per customer."""
    return np.asarray(rows["customer_id"].combine_chunks().dictionary_encode().indices, dtype=np.intp)


def _learnt(rows: pa.Table, assigned_N: npt.NDArray[Any]) -> pa.Table:
    """The rows an audit may see: not those of a later span."""
    return rows.filter(pa.array(assigned_N == "train")) if assigned_N.dtype == object else rows


def _spans(rows: pa.Table, plan: Mapping[str, Any]) -> npt.NDArray[np.object_]:
    """The span of each row's `as_of`; every one of them needs customers who left and customers who stayed."""
    as_of_N = rows["as_of"].to_numpy().astype("datetime64[us]")
    churned_N = rows["churned"].to_numpy()
    assigned = np.full(as_of_N.size, "", dtype=object)
    problems = []
    for span in ("train", "validation", "test"):
        dates = np.array(plan[span], dtype="datetime64[us]")
        inside_N = np.isin(as_of_N, dates)
        assigned[inside_N] = span
        left = int(churned_N[inside_N].sum())
        if left in (0, inside_N.sum()):
            problems.append(
                f"{span} ({', '.join(map(str, plan[span]))}): {left} of {inside_N.sum()} customers left"
            )
    if problems:
        raise NotEnoughData(
            "dataset", ["each span needs customers who left and customers who stayed", *problems]
        )
    return assigned


def _twins(rows: pa.Table, features: list[dict[str, Any]]) -> Twins:
    numeric = [_numbers(rows[f["name"]]) for f in features if f["kind"] == "numeric"]
    categorical = [_texts(rows[f["name"]]) for f in features if f["kind"] == "categorical"]
    return find_twins(_matrix(numeric, rows.num_rows, float), _matrix(categorical, rows.num_rows, object))


def _evidence(
    rows: pa.Table, features: list[dict[str, Any]], config: DataConfig, tables: Mapping[str, str]
) -> Evidence:
    """The rows' features, but for dates: these are audited as they stand in the source."""
    people = next((pq.read_table(tables[n]) for n in ("customers", "labelled") if n in tables), None)
    place = _places(rows, people)
    columns = config.customers.columns if config.customers else {}
    dates = [name for name, column in columns.items() if column.role == "date"]
    usual = [f for f in features if f["column"] not in dates]
    as_of = rows["as_of"]
    return Evidence(
        churned=rows["churned"].to_numpy(),
        customer_id=_texts(rows["customer_id"]),
        row_number=place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64),
        numeric={f["name"]: _numbers(rows[f["name"]]) for f in usual if f["kind"] == "numeric"},
        categorical={f["name"]: _texts(rows[f["name"]]) for f in usual if f["kind"] == "categorical"},
        dates={name: people[name].take(place).to_numpy() for name in dates} if people else {},
        as_of=None if as_of.null_count == len(as_of) else as_of.to_numpy(),
        behavioural={f["name"] for f in features if f["behavioural"]},
    )


def _places(rows: pa.Table, people: pa.Table | None) -> pa.Array:
    """Where each row's customer stands in the customer table; null for one who is not there."""
    if people is None:
        return pa.nulls(rows.num_rows, pa.int32())
    return pc.index_in(_key(rows, people), value_set=_key(people, people)).combine_chunks()


def _key(table: pa.Table, people: pa.Table) -> pa.ChunkedArray:
    """The customer; in a table of snapshots the customer and the instant."""
    if "as_of" not in people.column_names:
        return table["customer_id"]
    instant = pc.fill_null(table["as_of"].cast(pa.string()), "")
    return pc.binary_join_element_wise(table["customer_id"], instant, "\n")


def _kept(features: list[dict[str, Any]], findings: tuple[Finding, ...]) -> dict[str, list[str]]:
    """Feature names by kind, without those whose own name or source column is excluded."""
    out = {one.column for one in findings if one.action == "excluded"}
    kept = [f for f in features if not {f["name"], f["column"]} & out]
    if not kept:
        raise NotEnoughData(
            "leakage audit", ["no column is left: " + "; ".join(one.text for one in findings)]
        )
    return {kind: [f["name"] for f in kept if f["kind"] == kind] for kind in ("numeric", "categorical")}


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """No larger than what models are given: squares of larger ones do not fit in 64 bits."""
    most = np.finfo(np.float32).max
    return np.asarray(np.clip(column.cast(pa.float64()).to_numpy(), -most, most), dtype=np.float64)


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    return np.array(column.to_pylist(), dtype=object)


def _matrix(columns: list[npt.NDArray[Any]], rows: int, kind: type) -> npt.NDArray[Any]:
    return np.column_stack(columns).astype(kind) if columns else np.empty((rows, 0), dtype=kind)
