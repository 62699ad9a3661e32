"""What differs from deployment to deployment: variables CHURN_* of Airflow's environment.

Reading them connects to nothing. Each data config (each brand) has DAGs of its own, so that brands are
paused, backfilled and repaired apart.
"""

import os
import shlex
from dataclasses import dataclass, fields
from pathlib import Path

from airflow.sdk import Asset

_PREFIX = "CHURN_"


@dataclass(frozen=True)
class Deployment:
    """The settings; each is read from `CHURN_<FIELD>`."""

    configs: str = "var/demo/demo.toml"
    """The data configs, with commas between them; each is known by its file's name."""
    runner: str = "local"
    """Where commands run: `local`, in the jobs environment beside Airflow, or `kubernetes`, in pods."""
    command: str = ".venv/bin/churnops"
    """`local`: the program, from `home` on."""
    home: str = str(Path(__file__).resolve().parents[1])
    """`local`: where it runs; relative paths start here."""
    pod_template: str = str(Path(__file__).with_name("pod.yaml"))
    """`kubernetes`: the pod that churnops runs in: image, resources, settings, identity."""
    schedule: str = "0 3 * * *"
    """When features are made (cron, UTC): after yesterday's purchases have arrived; empty: by hand only."""
    check_schedule: str = "0 8 * * *"
    """When the day has to be scored (cron, UTC); empty: nobody looks."""
    deadline_minutes: int = 360
    """How long a run may take, from when it is queued, until somebody is told; 0: as long as it likes."""
    train_every_days: int = 7
    """How many days a model serves before the next one is trained."""
    train_options: str = ""
    """Options of `churnops run`: `--frameworks lightgbm`."""
    retry_seconds: int = 60
    """The wait before the first retry; every further one is twice as long."""
    alert_url: str = ""
    """Where a failure is posted as JSON `{"text": ...}`; empty: it is logged only."""

    @property
    def brands(self) -> list["Brand"]:
        """One for each data config."""
        return [Brand(config.strip()) for config in self.configs.split(",")]

    @property
    def training(self) -> list[str]:
        """`train_options` as words."""
        return shlex.split(self.train_options)


@dataclass(frozen=True)
class Brand:
    """One data config, and the assets its DAGs follow one another by."""

    config: str

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.config).stem

    @property
    def features(self) -> Asset:
        """Features of a day."""
        return self._asset("features")

    @property
    def model(self) -> Asset:
        """The champion that a day is to be scored by."""
        return self._asset("model")

    @property
    def scores(self) -> Asset:
        """Scores of a day."""
        return self._asset("scores")

    def _asset(self, kind: str) -> Asset:
        return Asset(name=f"{self.name}_{kind}", uri=f"churnops://{self.name}/{kind}", group="churnops")


def _read() -> Deployment:
    known = {_PREFIX + field.name.upper(): field for field in fields(Deployment)}
    given = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    if unknown := given.keys() - known.keys():
        raise ValueError(f"no such setting: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return Deployment(**{known[name].name: known[name].type(value) for name, value in given.items()})


DEPLOYMENT = _read()
