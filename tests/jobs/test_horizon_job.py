"""The job behind `churnops horizon`, on customers whose farewells are known."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churnops.contracts.tables import ORDERS
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ContractError, NotEnoughData
from churnops.jobs.horizon import Horizon, show_horizon
from churnops.sources.synthetic import Population, write_orders


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Horizon:
    folder = tmp_path_factory.mktemp("orders")
    write_orders(Population(customers=4000), folder / "orders.parquet", orders=36_000)
    return show_horizon(str(folder / "orders.parquet"), DuckDB(spill_dir=folder))


def test_the_proposal_suits_the_made_up_customers(shown: Horizon) -> None:
    assert shown.history_days == 540
    assert 56 <= shown.proposal.horizon_days <= 91
    assert shown.proposal.warning == ""
    assert shown.proposal.horizon_days in [candidate.horizon_days for candidate in shown.candidates]


def test_waiting_longer_calls_fewer_lost_who_come_back(shown: Horizon) -> None:
    returns = [candidate.returns_ratio for candidate in shown.candidates]
    assert returns == sorted(returns, reverse=True)
    assert returns[0] > 0.8


def test_what_is_shown_is_json(shown: Horizon) -> None:
    assert json.loads(json.dumps(dataclasses.asdict(shown)))["history_days"] == 540


def test_no_orders_are_an_error(tmp_path: Path) -> None:
    schema = pa.schema([(column.name, column.type) for column in ORDERS.columns])
    pq.write_table(schema.empty_table(), tmp_path / "orders.parquet")
    with pytest.raises(NotEnoughData, match="there are no purchases"):
        show_horizon(str(tmp_path / "orders.parquet"), DuckDB(spill_dir=tmp_path))


def test_another_table_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": ["a"]}), tmp_path / "orders.parquet")
    with pytest.raises(ContractError, match="event_timestamp: column is missing"):
        show_horizon(str(tmp_path / "orders.parquet"), DuckDB(spill_dir=tmp_path))
