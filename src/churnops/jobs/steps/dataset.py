"""Step 2: the table every model learns from: who is asked about when, what was known then, and who left."""

from dataclasses import asdict, dataclass
from typing import Any

from churnops.contracts.tables import LABELLED, ORDERS
from churnops.data_config import DataConfig
from churnops.engines import Engine
from churnops.errors import NotEnoughData
from churnops.features.build import Built, build_dataset, build_labelled
from churnops.jobs.horizon import show_horizon
from churnops.jobs.steps.ledger import Done, write_json
from churnops.jobs.steps.workshop import Origin, Place, Published, Workshop
from churnops.snapshots.split import TimePlan, dates_query, gap_query, history_query, plan_dated, plan_spans

_TABLE = "dataset"
DATASET = f"{_TABLE}.parquet"
_ABOUT = "dataset.json"


@dataclass(frozen=True)
class _Made:
    built: Built
    plan: TimePlan | None
    """None: a table without dates, which is split into folds."""
    horizon: dict[str, Any] | None


def dataset_step(config: DataConfig, cleaned: Published, shop: Workshop) -> Published:
    """Features and labels of every snapshot; beside them what the columns are and when the spans begin."""
    depends_on = {
        "clean": cleaned.key,
        "data": config.model_dump(
            mode="json", include={"shape", "churn", "snapshots", "customers", "transactions"}
        ),
    }
    make = _purchases if config.shape == "purchases" else _labelled
    engine = shop.engine(cleaned)

    def work(to: Place) -> None:
        made = make(config, engine, cleaned.tables(engine), to.table(_TABLE))
        about = {
            "features": [asdict(one.described) for one in made.built.features],
            "plan": asdict(made.plan) if made.plan else None,
            "horizon": made.horizon,
        }
        write_json(to.folder / _ABOUT, about)

    return shop.publish("dataset", depends_on, work, engine=engine, origin=Origin((cleaned,)))


def read_about(dataset: Done) -> dict[str, Any]:
    """`features`, `plan` (null for folds) and `horizon` (null for labelled tables)."""
    about: dict[str, Any] = dataset.read_json(_ABOUT)
    return about


def _purchases(config: DataConfig, engine: Engine, tables: dict[str, str], to: str) -> _Made:
    if config.churn is None:
        raise ValueError("shape 'purchases' always has churn: DataConfig sees to it")
    orders = {ORDERS.name: tables[ORDERS.name]}
    history = engine.query(history_query(), orders).to_pylist()[0]
    gaps = [(gap["gap_start"], gap["gap_end"]) for gap in engine.query(gap_query(), orders).to_pylist()]
    plan = plan_spans(
        history["first_event"], history["end"], config.churn, config.snapshots, gap=next(iter(gaps), None)
    )
    built = build_dataset(engine, tables, config, plan.as_ofs, to=to)
    return _Made(built, plan, _horizon(tables[ORDERS.name], engine))


def _horizon(orders: str, engine: Engine) -> dict[str, Any]:
    """What the data would propose; a history too short to propose anything has choices only."""
    try:
        found = show_horizon(orders, engine)
    except NotEnoughData:
        return {"proposed_days": None, "choices": []}
    return {
        "proposed_days": found.proposal.horizon_days,
        "choices": [asdict(candidate) for candidate in found.candidates],
    }


def _labelled(config: DataConfig, engine: Engine, tables: dict[str, str], to: str) -> _Made:
    labelled = tables[LABELLED.name]
    dated = config.customers is not None and config.customers.as_of is not None
    plan = plan_dated(engine.query(dates_query(), {LABELLED.name: labelled}).to_pylist()) if dated else None
    return _Made(build_labelled(engine, labelled, config, to=to), plan, None)
