"""`churnops canary` and `churnops shadow`: trying another version on a share of the traffic.

The order is a tag of the registered model. Servers that follow it begin and end the trial by themselves.
"""

import datetime as dt
from dataclasses import dataclass

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs.orders import read_orders, write_orders
from churnops.registry import audit_log
from churnops.registry.names import CHALLENGER, CHAMPION
from churnops.serving.cache import place_of
from churnops.serving.canary import Place
from churnops.serving.shadow import Differences, summary
from churnops.serving.trial import TAG, Plan, plan_of


@dataclass(frozen=True)
class Order:
    """Which version to try, and how."""

    name: str
    version: int | None
    """None: the challenger."""
    share: float
    shadow: bool


def start(order: Order, settings: Settings, *, at: dt.datetime, actor: str) -> Plan:
    """Order a trial, in place of one that goes on; raises RegistryError where there is no such version."""
    registry = write_orders(settings.mlflow_uri)
    aliases = registry.standing(order.name).aliases
    version = order.version or aliases.get(CHALLENGER)
    if version is None:
        raise RegistryError(f"{order.name} has no challenger: name a version with --version")
    # Without a champion there is none that it can be tried beside either.
    if aliases.get(CHAMPION, version) == registry.version(order.name, version).number:
        raise RegistryError(f"version {version} of {order.name} cannot be tried beside another champion")
    plan = Plan(
        id=f"{at.astimezone(dt.UTC):%Y%m%dT%H%M%S-%f}",
        version=version,
        share=order.share,
        shadow=order.shadow,
    )
    _order(order.name, plan, settings, at=at, actor=actor)
    return plan


def stop(name: str, settings: Settings, *, at: dt.datetime, actor: str) -> Plan:
    """End the trial; raises RegistryError where there is none."""
    plan, _ = status(name, settings)
    plan = plan.model_copy(update={"stopped": plan.stopped or f"by {actor}"})
    _order(name, plan, settings, at=at, actor=actor)
    return plan


def status(name: str, settings: Settings) -> tuple[Plan, str]:
    """The last trial that was ordered, and why it was stopped; raises RegistryError where there is none."""
    plan = plan_of(read_orders(settings.mlflow_uri).standing(name).tags.get(TAG, ""))
    if plan is None:
        raise RegistryError(f"nothing is tried beside the champion of {name}: churnops canary start {name}")
    here = Place(place_of(settings.data_dir, name) / "canary", plan.id, 0).stopped()
    return plan, plan.stopped or here


def report(name: str, settings: Settings) -> tuple[Plan, Differences]:
    """What the servers of this machine found in the last trial; raises RegistryError where there is none."""
    plan, _ = status(name, settings)
    return plan, summary(place_of(settings.data_dir, name) / "shadow", plan.id)


def _order(name: str, plan: Plan, settings: Settings, *, at: dt.datetime, actor: str) -> None:
    log = settings.data_dir / "audit.jsonl"
    with audit_log.exclusive(log):
        decision = "trial stopped" if plan.stopped else "trial started"
        audit_log.append(
            log, {"decision": decision, "name": name, "plan": plan.model_dump()}, at=at, actor=actor
        )
        write_orders(settings.mlflow_uri).tag(name, TAG, plan.model_dump_json())
