"""A labelled table with dates, its config, and its steps up to what models learn from."""

import csv
import datetime as dt

import numpy as np

from churnops.config import Settings
from churnops.data_config import DataConfig
from churnops.jobs.run import prepare
from churnops.jobs.steps.packaging import known_before
from churnops.jobs.steps.shipment import shipment_step
from churnops.jobs.steps.workshop import working


def gym_config(columns, **customers):
    """The config of `gym.csv`, whose members left or stayed; `columns`: name -> role."""
    return DataConfig.model_validate(
        {
            "name": "gym",
            "version": 1,
            "shape": "labelled",
            "customers": {
                "path": "gym.csv",
                "format": "csv",
                "id": "member",
                "label": {"column": "left", "churned": ["yes"], "stayed": ["no"]},
                "columns": {name: {"role": role} for name, role in columns.items()},
                **customers,
            },
        }
    )


GYM = gym_config({"visits": "numeric", "plan": "categorical"}, as_of={"column": "seen", "format": "%Y-%m-%d"})


def write_gym(folder):
    """2,000 members of five days; who comes seldom, or pays by month, tends to leave. The folder."""
    rng = np.random.default_rng(5)
    with (folder / "gym.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "seen", "visits", "plan", "left"])
        for i in range(2000):
            visits, plan = round(rng.gamma(2, 3), 2), rng.choice(["month", "year"])
            gone = rng.random() < 1 / (1 + np.exp(visits / 2 - 1 - (plan == "month")))
            seen = dt.date(2026, 1, 1) + dt.timedelta(days=int(i // 400) * 30)
            writer.writerow([f"m{i:04d}", seen, visits if i % 11 else "", plan, "yes" if gone else "no"])
    return folder


def prepared_gym(folder, config=GYM):
    """The gym in `folder` as models are given it, what manifests say of it, and its ledger."""
    settings = Settings(data_dir=folder / "var", source_dir=str(folder))
    with working(settings, config.name, lambda *_: None) as shop:
        cleaned, prepared = prepare(config, shop)
    return prepared, known_before(config, cleaned, prepared), shop.ledger


def shipped_gym(folder, config=GYM):
    """The folder of its shipment."""
    prepared, known, ledger = prepared_gym(folder, config)
    return shipment_step(known, prepared, ledger).folder
