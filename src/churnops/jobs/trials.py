"""`churnops canary` and `churnops shadow`: trying another version on a share of the traffic.

The order is a tag of the registered model. Servers that follow it begin and end the trial by themselves.
"""

import datetime as dt
from dataclasses import dataclass

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.registry import audit_log
from churnops.registry.aliases import CHALLENGER, champion, find_version, holders, model_tag, tag_model
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
    uri = settings.mlflow_uri
    version = order.version
    if version is None:
        challenger = holders(uri, order.name).get(CHALLENGER)
        if challenger is None:
            raise RegistryError(f"{order.name} has no challenger: name a version with --version")
        version = challenger.number
    serving = champion(uri, order.name)
    if serving is None or serving.number == find_version(uri, order.name, version).number:
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
    plan = plan_of(model_tag(settings.mlflow_uri, name, TAG) or "")
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
        tag_model(settings.mlflow_uri, name, TAG, plan.model_dump_json())
