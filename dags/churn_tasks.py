"""How a task runs one line of churnops, for which days, and who is told when it fails."""

import datetime as dt
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.request import Request, urlopen

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import (
    Asset,
    BaseOperator,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    PartitionedAssetTimetable,
    SyncCallback,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from churn_deployment import DEPLOYMENT, Brand

DAY = "{{ params.as_of or dag_run.partition_key or (dag_run.data_interval_end or dag_run.run_after) | ds }}"
"""The day that a run is for: the one asked for by hand, that of the event it follows, or the clock's."""
FINAL = frozenset({2, 3})
"""Exit codes that no other try mends: data, a config or a bundle is at fault. Others are tried again: 4 is
another process at work, 6 a lake that cannot be reached."""

_log = logging.getLogger(__name__)


class Announcing(BaseOperator):
    """One line of churnops; once it is done, its outlets have the day as a partition."""

    as_of: str

    def absent(self) -> list[str]:
        """What the deployment's settings name and this worker does not have."""
        raise NotImplementedError

    def pre_execute(self, context: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Fail at once for what no other try brings."""
        if absent := self.absent():
            raise AirflowFailException(f"not on this worker: {'; '.join(absent)}")

    def post_execute(self, context: Mapping[str, Any], result: object = None) -> None:  # noqa: ARG002
        """Announce the day: each has a run of its own in the DAGs that follow."""
        for asset in self.outlets:
            context["outlet_events"][asset].add_partitions(self.as_of)


class Here(Announcing):
    """Run in the jobs environment of this machine, without a shell."""

    template_fields = ("as_of",)

    def __init__(self, *, words: list[str], as_of: str = "", **fields: Any) -> None:
        super().__init__(**fields)
        self.words = words
        self.as_of = as_of
        self.hook = SubprocessHook()

    def absent(self) -> list[str]:
        """The folder, the program, the data config."""
        home, program = DEPLOYMENT.home, DEPLOYMENT.home / DEPLOYMENT.command
        configs = [home / brand.config for brand in DEPLOYMENT.brands if brand.config in self.words]
        needed = {
            f"CHURN_HOME={str(home)!r}: should be a folder": home.is_dir(),
            f"CHURN_COMMAND={str(program)!r}: should be a program": bool(shutil.which(program)),
            **{f"CHURN_CONFIGS={str(path)!r}: should be a file": path.is_file() for path in configs},
        }
        return [problem for problem, there in needed.items() if not there]

    def execute(self, context: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Run it, and tell faults that stay from those that pass."""
        command = [str(DEPLOYMENT.home / DEPLOYMENT.command), *line(self.words, self.as_of)]
        done = self.hook.run_command(command, cwd=str(DEPLOYMENT.home))
        if done.exit_code:
            error = AirflowFailException if done.exit_code in FINAL else AirflowException
            raise error(f"exit code {done.exit_code}: {done.output}")

    def on_kill(self) -> None:
        """End it: what churnops was making is not there."""
        self.hook.send_sigterm()


def line(words: list[str], as_of: str) -> list[str]:
    """The words of the command."""
    return [*words, "--as-of", as_of] if as_of else words


def churnops(
    brand: Brand, *words: str, options: Sequence[str] = (), hours: float = 2, **fields: Any
) -> Announcing:
    """The task of one line, which takes one of the places of the pool unless `fields` name another."""
    return _operator()(
        task_id=words[-1],
        words=[*words, brand.config, *options],
        execution_timeout=dt.timedelta(hours=hours),
        **{"pool": "churnops", **fields},
    )


def _operator() -> type[Announcing]:
    if DEPLOYMENT.runner == "local":
        return Here
    from churn_pods import InPod

    return InPod


def common(*, after: Asset | None = None, clock: str = "") -> dict[str, Any]:
    """What all DAGs agree on; a run for each day that `after` announces, or by the clock, or by hand only."""
    by_clock = CronTriggerTimetable(clock, timezone="UTC") if clock else None
    return {
        "schedule": PartitionedAssetTimetable(assets=after) if after else by_clock,
        "start_date": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        "catchup": False,
        "max_active_runs": 1,
        "params": {"as_of": Param("", type="string", pattern=r"^(\d{4}-\d\d-\d\d)?$")},
        "default_args": {
            "retries": 6,
            "retry_delay": dt.timedelta(seconds=DEPLOYMENT.retry_seconds),
            "retry_exponential_backoff": True,
            "max_retry_delay": dt.timedelta(minutes=30),
            "on_failure_callback": failed,
        },
        "deadline": _deadline(),
        "tags": ["churnops"],
    }


def _deadline() -> DeadlineAlert | None:
    minutes = dt.timedelta(minutes=DEPLOYMENT.deadline_minutes)
    if not minutes:
        return None
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval=minutes, callback=SyncCallback(late))


def failed(context: Mapping[str, Any]) -> None:
    """Tell that a task has failed for good."""
    ti = context["ti"]
    _tell(f"{ti.dag_id} {ti.run_id}: {ti.task_id} failed: {context.get('exception')}. {ti.log_url}")


def late(context: Mapping[str, Any], **_: Any) -> None:
    """Tell that a run has not ended in time."""
    run = context["dag_run"]
    _tell(f"{run['dag_id']} {run['dag_run_id']}: not done in {DEPLOYMENT.deadline_minutes} minutes")


def _tell(text: str) -> None:
    _log.error(text)
    if DEPLOYMENT.alert_url:
        body, kind = json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(str(DEPLOYMENT.alert_url), body, kind), timeout=10):  # noqa: S310 - the deployment's own
            pass
