"""`churnops train`: the whole job, its networks learning in several processes or on SageMaker."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from churnops.cloud.settings import Machines, read_sagemaker
from churnops.config import Settings, faults
from churnops.errors import ConfigError
from churnops.jobs.run import Plan, prepare, run, ship
from churnops.jobs.steps.candidate import Here, task_of
from churnops.jobs.steps.workshop import working
from churnops.progress import Tell
from churnops.report.result import Result
from churnops.training.candidates import NETWORKS

if TYPE_CHECKING:
    from churnops.jobs.steps.elsewhere import OnSageMaker


@dataclass(frozen=True)
class Where:
    """The place that was asked for."""

    on: Literal["local", "sagemaker"]
    instances: int
    instance_type: str
    spot: bool
    file: Path
    """A `configs/sagemaker.toml`."""


def train(plan: Plan, where: Where, settings: Settings, tell: Tell) -> Result:
    """`run`, with its networks trained at `where`; raises CloudError beside what `run` raises."""
    trainer = Here(where.instances) if where.on == "local" else _sagemaker(plan, where)
    return run(replace(plan, trainer=trainer), settings, tell)


def requests(plan: Plan, where: Where, settings: Settings, tell: Tell) -> list[dict[str, Any]]:
    """What SageMaker would be asked for; nothing is uploaded and nobody asked."""
    trainer = _sagemaker(plan, where)
    with working(settings, plan.config.name, tell) as shop:
        cleaned, prepared = prepare(plan.config, shop)
        networks = [name for name in plan.candidates if name in NETWORKS]
        tasks = [task_of(name, plan.recipe, prepared, shop.ledger, trainer) for name in networks]
        return trainer.requests(tasks, ship(plan.config, cleaned, prepared, shop.ledger))


def _sagemaker(plan: Plan, where: Where) -> "OnSageMaker":
    settings = read_sagemaker(where.file)  # first: it says what to install
    from churnops.cloud.aws import connect
    from churnops.jobs.steps.elsewhere import OnSageMaker

    networks = [name for name in plan.frameworks if name in NETWORKS]
    problems = [
        f"{name}: there is no image to train it with" for name in networks if name not in settings.images
    ]
    if not networks:
        raise ConfigError("--frameworks", [f"none of them learns on SageMaker: {', '.join(NETWORKS)} do"])
    if problems:
        raise ConfigError(f"{where.file}, images", problems)
    try:
        machines = Machines(instances=where.instances, instance_type=where.instance_type, spot=where.spot)
    except ValidationError as error:
        raise ConfigError("--instances, --instance-type", faults(error)) from None
    return OnSageMaker(plan.config.name, settings, machines, connect=connect, sleep=time.sleep)
