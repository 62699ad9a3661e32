"""`churnops horizon`: how long is gone, read off a table of orders."""

from dataclasses import dataclass

from churnops.config import Settings
from churnops.contracts.table import check
from churnops.contracts.tables import ORDERS
from churnops.data_config import DataConfig
from churnops.engines import Engine
from churnops.errors import ConfigError
from churnops.jobs.steps.cleaning import clean_step
from churnops.jobs.steps.workshop import working
from churnops.progress import Tell
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

_SHOWN = 16


@dataclass(frozen=True)
class Horizon:
    """What there is to choose from, and what we would choose; `dataclasses.asdict` makes it JSON."""

    history_days: int
    curve: Curve
    candidates: tuple[Candidate, ...]
    proposal: Proposal

    @property
    def overview(self) -> tuple[Candidate, ...]:
        """About `_SHOWN` of the candidates, evenly, the proposed one among them."""
        step = max(1, len(self.candidates) // _SHOWN)
        proposed = self.proposal.horizon_days
        return tuple(
            one for i, one in enumerate(self.candidates) if i % step == 0 or one.horizon_days == proposed
        )


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


def horizon_of(config: DataConfig, settings: Settings, *, tolerance: float, tell: Tell) -> Horizon:
    """What `show_horizon` finds in the purchases of `config`, cleaned where that was not done yet."""
    if config.shape != "purchases":
        raise ConfigError(config.name, ["its label says who left: there is no horizon to choose"])
    with working(settings, config.name, tell) as shop:
        cleaned = clean_step(config, shop)
        engine = shop.engine(cleaned)
        return show_horizon(cleaned.tables(engine)[ORDERS.name], engine, tolerance=tolerance)
