"""Networks that learn on SageMaker, in a job each, and come back as if they had learnt here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from churnops.bundle.bundle import read_bundle
from churnops.cloud.aws import Aws
from churnops.cloud.s3 import address_of, fetch, upload
from churnops.cloud.sagemaker import Job, Sleep, follow, job_name, request_of, submit
from churnops.cloud.settings import Machines, SageMaker
from churnops.errors import CloudError
from churnops.jobs.steps.candidate import Task
from churnops.jobs.steps.learning import SCORES
from churnops.progress import Tell
from churnops.training.recipe import fields_of


@dataclass(frozen=True)
class OnSageMaker:
    """A `Trainer`. Jobs bear the hash of all that decides them: a run again takes up those it finds."""

    name: str
    """Of the data config."""
    settings: SageMaker
    machines: Machines
    connect: Callable[[], Aws]
    sleep: Sleep

    @property
    def place(self) -> Mapping[str, Any]:
        """How many machines of which type, with which image."""
        machines = self.machines.model_dump(include={"instances", "instance_type"})
        return {"sagemaker": {**machines, "images": self.settings.images}}

    def begin(self, tasks: Sequence[Task], ship: Callable[[], Path], tell: Tell) -> None:
        """Upload the dataset and start every job, so that they train at the same time."""
        if not tasks:
            return
        folder, aws = ship(), self.connect()
        upload(folder, self._dataset(folder), aws, tell, kms_key=self.settings.kms_key)
        for request in self.requests(tasks, folder):
            tell("sagemaker", f"job {submit(request, aws, tell)}")

    def train(self, task: Task, to: Path, tell: Tell) -> None:
        """Wait for the job and fetch what it has learnt; raises CloudError where it failed."""
        aws = self.connect()
        told = follow(
            self._job_name(task), aws, tell, sleep=self.sleep, poll_seconds=self.settings.poll_seconds
        )
        address = told["ModelArtifacts"]["S3ModelArtifacts"]
        fetch(address, to, aws)
        _check(task, to, address)

    def requests(self, tasks: Sequence[Task], shipment: Path) -> list[dict[str, Any]]:
        """What SageMaker is asked for, per task."""
        channels = [path.name for path in sorted(shipment.iterdir()) if path.is_dir()]
        address = self._dataset(shipment)
        return [
            request_of(
                Job(
                    self._job_name(task),
                    image=self.settings.images[task.assignment.name],
                    machines=self.machines,
                    hyperparameters={
                        "framework": task.assignment.name,
                        **fields_of(task.assignment.recipe),
                    },
                    channels={channel: f"{address}/{channel}" for channel in channels},
                ),
                self.settings,
            )
            for task in tasks
        ]

    def _dataset(self, shipment: Path) -> str:
        return address_of(shipment, f"{self.settings.bucket}/datasets")

    def _job_name(self, task: Task) -> str:
        return job_name("churnops", self.name, task.assignment.name, task.key[:12])


def _check(task: Task, folder: Path, address: str) -> None:
    """What came back must be whole, and of this very task."""
    manifest = read_bundle(folder).manifest
    row_N = pq.read_table(folder / SCORES)["row"].to_numpy()
    if (
        manifest.candidate != task.assignment.name
        or manifest.recipe != task.assignment.recipe.model_dump(mode="json")
        or not np.array_equal(row_N, task.rounds.test_N)
    ):
        raise CloudError(f"{address}: was trained by another recipe or tested on other rows")
