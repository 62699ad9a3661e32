"""`churnops canary` and `churnops shadow`: trying another version on a share of the traffic.

The order is a tag of the registered model. Servers that follow it begin and end the trial by themselves.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

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
    """Order a trial, in place of one of its kind that goes on.

    Raises RegistryError where there is no such version, or while a trial of the other kind goes on.
    """
    registry = write_orders(settings.mlflow_uri)
    with audit_log.exclusive(_log(settings)):
        standing = registry.standing(order.name)
        before = plan_of(standing.tags.get(TAG, ""))
        if before and before.shadow != order.shadow and not _why_stopped(order.name, before, settings):
            raise RegistryError(f"a {_going_on(order.name, before)}, and one trial at a time is made")
        version = order.version or standing.aliases.get(CHALLENGER)
        if version is None:
            raise RegistryError(f"{order.name} has no challenger: name a version with --version")
        if CHAMPION not in standing.aliases:
            raise RegistryError(f"{order.name} has no champion that version {version} could be tried beside")
        if standing.aliases[CHAMPION] == registry.version(order.name, version).number:
            raise RegistryError(
                f"version {version} of {order.name} is the champion: name another with --version"
            )
        plan = Plan(
            id=f"{at.astimezone(dt.UTC):%Y%m%dT%H%M%S-%f}",
            version=version,
            share=order.share,
            shadow=order.shadow,
        )
        _order(order.name, plan, settings, at=at, actor=actor)
    return plan


def stop(name: str, settings: Settings, *, shadow: bool, at: dt.datetime, actor: str) -> Plan:
    """End the trial; raises RegistryError where there is none of that kind."""
    with audit_log.exclusive(_log(settings)):
        plan = _last(name, settings, shadow=shadow)
        plan = plan.model_copy(update={"stopped": plan.stopped or f"by {actor}"})
        _order(name, plan, settings, at=at, actor=actor)
    return plan


def end_of(versions: Collection[int], name: str, settings: Settings, *, at: dt.datetime, actor: str) -> None:
    """End the trial of one of `versions`, if it goes on: who has become champion is tried no longer."""
    with audit_log.exclusive(_log(settings)):
        plan = plan_of(read_orders(settings.mlflow_uri).standing(name).tags.get(TAG, ""))
        if plan and plan.version in versions and not plan.stopped:
            ended = plan.model_copy(update={"stopped": "it became the champion"})
            _order(name, ended, settings, at=at, actor=actor)


def status(name: str, settings: Settings, *, kind: str = "canary") -> tuple[Plan, str]:
    """The last trial that was ordered, and why it was stopped.

    Raises RegistryError where there is none, saying how one of that `kind` begins.
    """
    plan = plan_of(read_orders(settings.mlflow_uri).standing(name).tags.get(TAG, ""))
    if plan is None:
        raise RegistryError(f"nothing is tried beside the champion of {name}: churnops {kind} start {name}")
    return plan, _why_stopped(name, plan, settings)


def report(name: str, settings: Settings) -> tuple[Plan, Differences]:
    """What this machine's servers found in the last trial; raises RegistryError where that is no shadow."""
    plan = _last(name, settings, shadow=True)
    return plan, summary(place_of(settings.data_dir, name) / "shadow", plan.id)


def _last(name: str, settings: Settings, *, shadow: bool) -> Plan:
    kind = "shadow" if shadow else "canary"
    plan, stopped = status(name, settings, kind=kind)
    if plan.shadow != shadow:
        last = f"the last trial of {name} was a {plan.kind}" if stopped else f"a {_going_on(name, plan)}"
        raise RegistryError(f"there is no {kind}: {last}")
    return plan


def _why_stopped(name: str, plan: Plan, settings: Settings) -> str:
    """Empty while it goes on."""
    return plan.stopped or Place(place_of(settings.data_dir, name) / "canary", plan.id, 0).stopped()


def _going_on(name: str, plan: Plan) -> str:
    return f"{plan.kind} of version {plan.version} goes on (churnops {plan.kind} stop {name} ends it)"


def _order(name: str, plan: Plan, settings: Settings, *, at: dt.datetime, actor: str) -> None:
    decision = "trial stopped" if plan.stopped else "trial started"
    entry = {"decision": decision, "name": name, "plan": plan.model_dump()}
    audit_log.append(_log(settings), entry, at=at, actor=actor)
    write_orders(settings.mlflow_uri).tag(name, TAG, plan.model_dump_json())


def _log(settings: Settings) -> Path:
    return settings.data_dir / "audit.jsonl"
