"""`churnops horizon`: how long is gone, read off a table of orders."""

from dataclasses import dataclass

from churnops.contracts.table import check
from churnops.contracts.tables import ORDERS
from churnops.engines import Engine
from churnops.snapshots.horizon import (
    Candidate,
    Curve,
    Proposal,
    candidates,
    fit_curve,
    gaps_query,
    history_query,
    propose,
)


@dataclass(frozen=True)
class Horizon:
    """What there is to choose from, and what we would choose; `dataclasses.asdict` makes it JSON."""

    history_days: int
    curve: Curve
    candidates: tuple[Candidate, ...]
    proposal: Proposal


def show_horizon(orders: str, engine: Engine, *, tolerance: float = 0.2) -> Horizon:
    """Measure the silences in the `ORDERS` table at the address `orders` and propose a horizon.

    `tolerance`, 0 to 1, is the share of those called lost who may come back. Raises ContractError, and
    NotEnoughData where no horizon can be proposed.
    """
    tables = {ORDERS.name: orders}
    check(ORDERS, engine.query, orders)
    curve = fit_curve(engine.query(gaps_query(), tables))
    history_days = engine.query(history_query(), tables)["history_days"][0].as_py()
    return Horizon(
        history_days=history_days,
        curve=curve,
        candidates=candidates(curve),
        proposal=propose(curve, history_days, tolerance=tolerance),
    )
