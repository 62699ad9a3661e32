"""What SageMaker does with a CreateTrainingJob request, done for real on this machine.

Each host is a process in a mount namespace of its own: `/opt/ml` is its folder, `/etc/hosts` says where the
others are, and channels come from and models go to the S3 server. The hosts of a job share a network
namespace of their own, so that their ports are nobody else's. It takes root.
"""

import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ENTRY = str(Path(sys.executable).with_name("churnops-train"))


class Hosts:
    """A boto3 SageMaker client's jobs, executed as they are created."""

    def __init__(self, s3, folder):
        self.s3, self.folder, self.logs, self.exit_codes = s3, Path(folder), {}, {}

    def attach(self, sagemaker):
        """Execute what this client sends from now on."""
        sagemaker.meta.events.register("before-call.sagemaker.CreateTrainingJob", self._on_call)

    def _on_call(self, params, **_):
        self.execute(json.loads(params["body"]))

    def execute(self, request):
        """Start every host and wait; when one fails the others are stopped, as SageMaker stops them."""
        name, n = request["TrainingJobName"], request["ResourceConfig"]["InstanceCount"]
        names = [f"algo-{i + 1}" for i in range(n)]
        folders = [self._prepared(request, host, names) for host in names]
        with network() as shared:
            started = [
                start(folder, host, names, self.folder / f"{name}-{host}.log", within=shared)
                for folder, host in zip(folders, names, strict=True)
            ]
            while any(one.poll() is None for one in started) and not any(one.poll() for one in started):
                time.sleep(0.1)
            for one in started:
                one.kill()
            self.exit_codes[name] = [one.wait() for one in started]
        self.logs[name] = [(self.folder / f"{name}-{host}.log").read_text() for host in names]
        self._upload(request, folders)

    def _prepared(self, request, host, names):
        folder = self.folder / request["TrainingJobName"] / host
        for inner in ("input/config", "input/data", "model", "output", "checkpoints"):
            (folder / inner).mkdir(parents=True)
        channels = {channel["ChannelName"]: channel for channel in request["InputDataConfig"]}
        configs = {
            "resourceconfig": {"current_host": host, "hosts": names, "network_interface_name": "lo"},
            "hyperparameters": request["HyperParameters"],
            "inputdataconfig": {
                name: {
                    "TrainingInputMode": channel["InputMode"],
                    "S3DistributionType": channel["DataSource"]["S3DataSource"]["S3DataDistributionType"],
                    "RecordWrapperType": "None",
                }
                for name, channel in channels.items()
            },
        }
        for name, config in configs.items():
            (folder / f"input/config/{name}.json").write_text(json.dumps(config))
        for name, channel in channels.items():
            source = channel["DataSource"]["S3DataSource"]
            keys = self._keys(source["S3Uri"])
            if source["S3DataDistributionType"] == "ShardedByS3Key":
                keys = keys[names.index(host) :: len(names)]
            self._download(source["S3Uri"], keys, folder / "input/data" / name)
        checkpoints = request["CheckpointConfig"]["S3Uri"]
        self._download(checkpoints, self._keys(checkpoints), folder / "checkpoints")
        return folder

    def _keys(self, uri):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def _download(self, uri, keys, to):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        to.mkdir(exist_ok=True)
        for key in keys:
            path = to / key.removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, key, str(path))

    def _upload(self, request, folders):
        name = request["TrainingJobName"]
        packed = self.folder / f"{name}.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            for folder in folders:
                for path in sorted((folder / "model").iterdir()):
                    archive.add(path, arcname=path.name)
        self._put(f"{request['OutputDataConfig']['S3OutputPath']}/{name}/output/model.tar.gz", packed)
        for path in (folders[0] / "checkpoints").rglob("*.safetensors"):
            relative = path.relative_to(folders[0] / "checkpoints")
            self._put(f"{request['CheckpointConfig']['S3Uri']}/{relative}", path)

    def _put(self, uri, path):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.s3.upload_file(str(path), bucket, key)


@contextmanager
def network():
    """A network namespace that has the loopback range and nothing else: how to enter it."""
    _need_root()
    inside = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline()
            yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        finally:
            holder.kill()


def _need_root():
    if os.geteuid() != 0:
        pytest.skip("namespaces take root")


def start(folder, host, names, log, *, entry=(ENTRY,), first="true", within=(), variables=None):
    """One host: the entry point with `folder` as its /opt/ml; the others are found on the loopback range.

    `first` is a command for inside; `within` enters a `network`; `variables` are of its environment.
    """
    _need_root()
    Path("/opt/ml").mkdir(parents=True, exist_ok=True)
    addresses = folder / "hosts"
    lines = ["127.0.0.1 localhost", *(f"127.0.0.{i + 2} {name}" for i, name in enumerate(names))]
    addresses.write_text("\n".join(lines) + "\n")
    inside = " && ".join(
        [
            shlex.join(["mount", "--bind", str(folder), "/opt/ml"]),
            shlex.join(["mount", "--bind", str(addresses), "/etc/hosts"]),
            f"hostname {host}",
            first,
            shlex.join(["exec", *entry]),
        ]
    )
    # A container knows the image's variables and no others of this machine.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ}
    with log.open("w") as said:
        return subprocess.Popen(
            [*within, "unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", inside],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=kept | (variables or {}),
        )
