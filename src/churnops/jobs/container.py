"""`churnops-train`: training as SageMaker asks a container for it, on every host of a job at once.

The contract: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html. Nothing here needs
AWS: folders, JSON files and environment variables are all there is to it.
"""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, Field, Json, NonNegativeInt, TypeAdapter, ValidationError

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import Metric
from churnops.config import faults
from churnops.errors import ChurnopsError, ConfigError
from churnops.evaluation.intervals import bootstrap, intervals
from churnops.jobs.steps.apart import together
from churnops.jobs.steps.learning import Assignment, Learnt, learn
from churnops.jobs.steps.packaging import bundle_of
from churnops.jobs.steps.reasons import sample_of, with_reasons
from churnops.jobs.steps.shipment import Channel, Received, check_shares, receive
from churnops.progress import Tell, resumable
from churnops.training.candidates import NETWORKS, chosen_frameworks, joined, joined_by_torchrun
from churnops.training.fit import Epoch
from churnops.training.group import Group, Place, gather_array
from churnops.training.recipe import Recipe, plain, recipe_of

ROOT = Path("/opt/ml")
_UNFINISHED = ".unfinished"
_GPUS = Path("/proc/driver/nvidia/gpus")
_PORT = 7777  # of the first process; the next ones count on, since hosts of a test can be one machine
_SYSTEM_FAULT = 5
_CHANNEL = "SM_CHANNEL_"
_FAILURE_CHARACTERS = 1024  # more is cut off by SageMaker


class _Variables(BaseModel):
    """What SageMaker's toolkit says, where it is there: `SM_HOSTS` and so on."""

    model_config = ConfigDict(alias_generator=lambda name: f"SM_{name.upper()}")

    hosts: Json[tuple[str, ...]] | None = None
    current_host: str | None = None
    network_interface_name: str | None = None
    num_gpus: NonNegativeInt | None = None
    hps: Json[dict[str, Any]] | None = None
    channels: Json[tuple[str, ...]] = ()
    model_dir: Path | None = None
    output_dir: Path | None = None


class _Resources(BaseModel):
    """resourceconfig.json"""

    hosts: tuple[str, ...] = ("localhost",)
    current_host: str | None = None
    network_interface_name: str = ""


class _Input(BaseModel):
    """A channel in inputdataconfig.json."""

    mode: str = Field("File", alias="TrainingInputMode")
    distribution: str = Field("FullyReplicated", alias="S3DistributionType")


_INPUTS = TypeAdapter(dict[str, _Input])
_HYPERPARAMETERS = TypeAdapter(dict[str, Any])
_RESOURCES = TypeAdapter(_Resources)
_Shape = TypeVar("_Shape")


@dataclass(frozen=True)
class Given:
    """A channel as it lies on this host."""

    folder: Path
    is_sharded: bool
    """Whether every host has parts of its own; else each has all of them."""


@dataclass(frozen=True)
class Contract:
    """What SageMaker tells one host."""

    host: str
    hosts: tuple[str, ...]
    interface: str
    gpus: int
    channels: Mapping[str, Given]
    framework: str
    recipe: Recipe
    model: Path
    output: Path
    checkpoints: Path


@dataclass(frozen=True)
class _Seat:
    """One process of the job; crosses to it."""

    contract: Contract
    rank: int
    size: int
    local_rank: int
    local_size: int
    place: Place | None
    """None: torchrun knows it."""


app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


@app.command("churnops-train")
def _train(word: Annotated[Literal["train"], typer.Argument(help="What SageMaker says.")] = "train") -> None:  # noqa: ARG001
    """Train as SageMaker asks a container to; `churnops train` is the command for other machines.

    Reads /opt/ml/input/config/*.json, the SM_* variables and the channels below /opt/ml/input/data; leaves
    the bundle in SM_MODEL_DIR (/opt/ml/model), or a reason in /opt/ml/output/failure. See docs/training.md.
    """
    with resumable(), _failure_told(Path(os.environ.get("SM_OUTPUT_DIR", ROOT / "output"))):
        train(read_contract(ROOT, os.environ), _say)


def main() -> None:
    """The entry point: `app` under its own name, wherever it was started from."""
    app(prog_name="churnops-train")


def read_contract(root: Path, variables: Mapping[str, str]) -> Contract:
    """From the files under `root`; the toolkit's `SM_*` variables, where they are set, come before them.

    Raises ConfigError for a framework that is not there, an unknown hyperparameter, an unusable channel, and
    for what is not as SageMaker writes it.
    """
    said = _checked("environment", _Variables.model_validate, dict(variables))
    resources = _file(root, "resourceconfig", _RESOURCES)
    hyperparameters = said.hps or _file(root, "hyperparameters", _HYPERPARAMETERS)
    if not hyperparameters:
        problem = (
            "there are none, so no `framework`: is this a job? elsewhere the command is `churnops train`"
        )
        raise ConfigError("hyperparameters", [problem])
    framework, recipe = _asked(hyperparameters)
    hosts = sorted(said.hosts or resources.hosts)
    host = said.current_host or resources.current_host or next(iter(hosts), "")
    if host not in hosts:
        raise ConfigError("resourceconfig.json", [f"current_host: {host} is none of {', '.join(hosts)}"])
    return Contract(
        host=host,
        hosts=tuple(hosts),
        interface=said.network_interface_name or resources.network_interface_name,
        gpus=len(list(_GPUS.glob("*"))) if said.num_gpus is None else said.num_gpus,
        channels=_channels(root, said.channels, variables),
        framework=framework,
        recipe=recipe,
        model=said.model_dir or root / "model",
        output=said.output_dir or root / "output",
        checkpoints=root / "checkpoints",
    )


def train(contract: Contract, tell: Tell) -> None:
    """Train with all hosts; on the first of them the bundle, and what it was judged by, is then in `model`.

    Raises InputError for channels that cannot be used, NotEnoughData, Diverged, ParityError, and ProcessLost;
    nothing is in `model` then.
    """
    if contract.interface in (name for _, name in socket.if_nameindex()):
        os.environ |= {"GLOO_SOCKET_IFNAME": contract.interface, "NCCL_SOCKET_IFNAME": contract.interface}
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        with _left_whole(contract.model):
            together(_learn, _seats(contract), tell)
        return
    seat = _torchrun_seat(contract)
    with _left_whole(contract.model) if seat.rank == 0 else nullcontext():
        _learn(seat, tell)


def _seats(contract: Contract) -> Sequence[_Seat]:
    """Of this host's processes: one per GPU, or a single one."""
    per_host = max(1, contract.gpus)
    size, first = per_host * len(contract.hosts), per_host * contract.hosts.index(contract.host)
    addresses = tuple(f"{contract.hosts[rank // per_host]}:{_PORT + rank}" for rank in range(size))
    places = [Place(first + i, addresses, device=i) if size > 1 else None for i in range(per_host)]
    return [_Seat(contract, first + i, size, i, per_host, place) for i, place in enumerate(places)]


def _torchrun_seat(contract: Contract) -> _Seat:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, size, local_rank, local_size = (int(os.environ[name]) for name in names)
    return _Seat(contract, rank, size, local_rank, local_size, place=None)


def _learn(seat: _Seat, tell: Tell) -> None:
    contract = seat.contract

    def on_epoch(epoch: Epoch) -> None:
        if seat.rank == 0:
            figures = " ".join(f"{name}={figure:.6f}" for name, figure in epoch.figures.items())
            tell(contract.framework, f"epoch={epoch.number} {figures}")

    meeting = joined_by_torchrun() if _by_torchrun(seat) else joined(contract.framework, seat.place)
    with meeting as group:
        received = receive({name: _channel(given, seat) for name, given in contract.channels.items()})
        check_shares(received, group)
        tell(contract.framework, f"process {seat.rank} of {seat.size} holds {len(received.held.rows)} rows")
        checkpoints = contract.checkpoints / received.known["data_fingerprint"][:12]
        task = Assignment(contract.framework, contract.recipe, checkpoints)
        learnt = learn(task, received.held, group, on_epoch)
        metrics = _metrics(learnt, received, contract.recipe, group)
        sample = sample_of(received.held, group, seed=contract.recipe.seed)
        tell(contract.framework, f"process {seat.rank}: weights {learnt.facts.weights_sha256}")
        if seat.rank == 0:
            bundle = bundle_of(received.known, contract.recipe, learnt.facts, metrics, learnt.graph)
            learnt.write(write_bundle(with_reasons(bundle, sample), contract.model / _UNFINISHED))


@contextmanager
def _left_whole(model: Path) -> Iterator[None]:
    """What the block writes below `_UNFINISHED` is in `model` afterwards; nothing if the block fails."""
    unfinished = model / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield
        for path in sorted(unfinished.glob("*")):
            target = model / path.name
            if target.is_dir():  # left by an earlier start
                shutil.rmtree(target)
            path.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _by_torchrun(seat: _Seat) -> bool:
    return seat.place is None and seat.size > 1


def _channel(given: Given, seat: _Seat) -> Channel:
    if given.is_sharded:
        return Channel(given.folder, seat.local_rank, seat.local_size)
    return Channel(given.folder, seat.rank, seat.size)


def _metrics(learnt: Learnt, received: Received, recipe: Recipe, group: Group) -> dict[str, Metric]:
    """The test figures as the evaluation of a run has them."""
    own_N = received.held.rounds.test_N
    number_N = gather_array(group, received.held.number_N[own_N])
    order_N = np.argsort(number_N)
    place_N = order_N[np.searchsorted(number_N, learnt.number_N, sorter=order_N)]
    drawn = bootstrap(
        gather_array(group, received.held.rows.churned_N[own_N])[place_N],
        {learnt.facts.name: learnt.score_N},
        groups=gather_array(group, received.group_N[own_N])[place_N],
        resamples=recipe.resamples,
        seed=recipe.seed,
    )
    return {name: Metric(**vars(metric)) for name, metric in intervals(drawn)[learnt.facts.name].items()}


def _asked(hyperparameters: Mapping[str, Any]) -> tuple[str, Recipe]:
    """The framework and the recipe; what SageMaker's own toolkit adds is not ours."""
    fields = {name: value for name, value in hyperparameters.items() if not name.startswith("sagemaker_")}
    framework = plain(fields.pop("framework", ""))
    if framework not in NETWORKS:
        raise ConfigError("hyperparameters", [f"framework: '{framework}' is none of {', '.join(NETWORKS)}"])
    chosen_frameworks([framework], option="hyperparameters")
    return framework, recipe_of(fields, where="hyperparameters")


def _channels(root: Path, listed: Sequence[str], variables: Mapping[str, str]) -> dict[str, Given]:
    """Those of inputdataconfig.json, of SM_CHANNELS and of SM_CHANNEL_<NAME>: any of them will do."""
    inputs = _file(root, "inputdataconfig", _INPUTS)
    folders = {
        name.removeprefix(_CHANNEL): Path(folder)
        for name, folder in variables.items()
        if name.startswith(_CHANNEL)
    }
    named = dict.fromkeys([*inputs, *listed])
    named |= dict.fromkeys(name.lower() for name in folders.keys() - {name.upper() for name in named})
    return {
        name: _given(name, inputs.get(name, _Input()), folders.get(name.upper(), root / "input/data" / name))
        for name in named
    }


def _given(name: str, said: _Input, folder: Path) -> Given:
    if said.mode == "Pipe":
        raise ConfigError(
            "inputdataconfig.json", [f"channel {name}: Pipe mode cannot be read: File or FastFile"]
        )
    return Given(folder, said.distribution == "ShardedByS3Key")


def _file(root: Path, name: str, shape: TypeAdapter[_Shape]) -> _Shape:
    """What SageMaker wrote; empty where the file is not there: it leaves out what a job has none of."""
    path = root / f"input/config/{name}.json"
    content = path.read_bytes() if path.exists() else b"{}"
    return _checked(str(path), shape.validate_json, content)


def _checked(where: str, shape: Callable[[Any], _Shape], value: Any) -> _Shape:
    try:
        return shape(value)
    except ValidationError as error:
        raise ConfigError(where, faults(error)) from None


def _say(step: str, what: str) -> None:
    typer.echo(f"{step}: {what}")


@contextmanager
def _failure_told(output: Path) -> Iterator[None]:
    """End an error of ours in words and with its exit code, any other in a traceback; the file `failure` has
    either."""
    try:
        yield
    except (ChurnopsError, OSError) as error:
        typer.echo(str(error), err=True)
        _leave(output, str(error))
        sys.exit(error.exit_code if isinstance(error, ChurnopsError) else _SYSTEM_FAULT)
    except Exception as error:  # goes on, to leave a traceback
        _leave(output, f"{type(error).__name__}: {error}")
        raise


def _leave(output: Path, message: str) -> None:
    """Write the reason where SageMaker looks for it; nowhere on a machine that is no host of a job."""
    if not (ROOT / "input").exists() and not any(name.startswith("SM_") for name in os.environ):
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "failure").write_text(message[:_FAILURE_CHARACTERS], encoding="utf-8")
    except OSError as error:
        typer.echo(f"the file failure could not be written: {error}", err=True)
