"""What differs from deployment to deployment: variables CHURN_* of Airflow's environment.

Reading them connects to nothing. A value that cannot be is an import error, which names all such values;
what they point to is looked for by the task that needs it: only its worker knows, and a failed task tells
somebody. Each data config (each brand) has DAGs of its own, so that brands are paused, backfilled and
repaired apart.
"""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from airflow.sdk import Asset, CronTriggerTimetable
from croniter import croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl, ValidationError

_PREFIX = "CHURN_"


def _brands(configs: str) -> list["Brand"]:
    return [Brand(config.strip()) for config in configs.split(",")]


def _told_apart(configs: str) -> str:
    brands = _brands(configs)
    names = [brand.name for brand in brands]
    if bad := [brand.config for brand in brands if not re.fullmatch(r"[A-Za-z0-9_.-]+", brand.name)]:
        raise ValueError(f"each should be a file named by letters, digits, '_', '-' and '.', not {bad}")
    if same := [brand.config for brand in brands if names.count(brand.name) > 1]:
        raise ValueError(f"each should have a file name of its own, for its DAGs: {' and '.join(same)}")
    return configs


def _words(options: str) -> str:
    try:
        shlex.split(options)
    except ValueError as error:
        raise ValueError(f"should be words as a shell reads them: {error}") from None
    return options


def _cron(schedule: str) -> str:
    try:
        if schedule:
            croniter(CronTriggerTimetable(schedule, timezone="UTC").expression).get_next()
    except ValueError as error:
        raise ValueError(f"should be a time of cron, such as '0 3 * * *', or empty: {error}") from None
    return schedule


Cron = Annotated[str, AfterValidator(_cron)]


class Deployment(BaseModel):
    """The settings; each is read from `CHURN_<FIELD>`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=lambda field: _PREFIX + field.upper()
    )

    configs: Annotated[str, AfterValidator(_told_apart)] = "var/demo/demo.toml"
    """The data configs, with commas between them; each is known by its file's name."""
    runner: Literal["local", "kubernetes"] = "local"
    """Where commands run: `local`, in the jobs environment beside Airflow, or `kubernetes`, in pods."""
    command: str = ".venv/bin/churnops"
    """`local`: the program, from `home` on."""
    home: Annotated[Path, AfterValidator(Path.absolute)] = Path(__file__).resolve().parents[1]
    """`local`: where it runs; relative paths start here."""
    pod_template: str = str(Path(__file__).with_name("pod.yaml"))
    """`kubernetes`: the pod that churnops runs in: image, resources, settings, identity."""
    schedule: Cron = "0 3 * * *"
    """When features are made (cron, UTC): after yesterday's purchases have arrived; empty: by hand only."""
    check_schedule: Cron = "0 8 * * *"
    """When the day has to be scored (cron, UTC); empty: nobody looks."""
    deadline_minutes: int = Field(default=360, ge=0, le=525_600)
    """How long a run may take, from when it is queued, until somebody is told; 0: as long as it likes."""
    train_every_days: int = Field(default=7, ge=1)
    """How many days a model serves before the next one is trained."""
    train_options: Annotated[str, AfterValidator(_words)] = ""
    """Options of `churnops run`: `--frameworks lightgbm`."""
    retry_seconds: int = Field(default=60, ge=0, le=1_800)
    """The wait before the first retry; every further one is twice as long, half an hour at most."""
    alert_url: Annotated[HttpUrl | None, BeforeValidator(lambda url: url or None)] = None
    """Where a failure is posted as JSON `{"text": ...}`; empty: it is logged only."""

    @property
    def brands(self) -> list["Brand"]:
        """One for each data config."""
        return _brands(self.configs)

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
    given = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    try:
        return Deployment.model_validate(given)
    except ValidationError as error:
        wrong = [_wrong(str(fault["loc"][0]), fault["msg"], given) for fault in error.errors()]
    raise ValueError("\n".join(["variables of Airflow's environment:", *wrong]))


def _wrong(name: str, problem: str, given: dict[str, str]) -> str:
    known = {_PREFIX + field.upper() for field in Deployment.model_fields}
    if name not in known:
        return f"{name}: no such setting; known: {', '.join(sorted(known))}"
    value = given[name][:8] + "..." if name == "CHURN_ALERT_URL" else given[name]  # its end is often a secret
    return f"{name}={value!r}: {problem.removeprefix('Value error, ')}"


DEPLOYMENT = _read()
