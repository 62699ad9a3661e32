"""`churnops-train` as a container's entry point: its contract, and everything that can be wrong."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from gym import shipped_gym, write_gym
from sagemaker_hosts import ENTRY, start

from churnops.bundle.bundle import read_bundle
from churnops.errors import ConfigError
from churnops.jobs.container import read_contract
from churnops.training.recipe import Recipe, fields_of, recipe_of

HOST = ["algo-1"]
QUICK = {
    "framework": "torch",
    "network.hidden": "[16]",
    "schedule.max_epochs": "2",
    "resamples": "100",
    "sagemaker_job_name": "of SageMaker's own toolkit",
}


@pytest.fixture(scope="module")
def shipment(tmp_path_factory):
    return shipped_gym(write_gym(tmp_path_factory.mktemp("gym")))


@pytest.fixture
def host(shipment, tmp_path):
    """The folder of one host, ready to train."""
    return make_host(tmp_path / "host", shipment)


def make_host(folder: Path, shipment: Path, **hyperparameters):
    for inner in ("input/config", "model", "output", "checkpoints"):
        (folder / inner).mkdir(parents=True)
    shutil.copytree(shipment, folder / "input/data", ignore=shutil.ignore_patterns("*.json"))
    channels = {name: {"S3DistributionType": "FullyReplicated"} for name in ("train", "validation", "test")}
    write(folder, "inputdataconfig", channels)
    write(folder, "resourceconfig", {"current_host": "algo-1", "hosts": HOST, "network_interface_name": "lo"})
    write(folder, "hyperparameters", QUICK | hyperparameters)
    return folder


def write(folder, name, content):
    (folder / f"input/config/{name}.json").write_text(json.dumps(content))


def run(folder, **how):
    """Its exit code and what it said."""
    log = folder / "log"
    code = start(folder, "algo-1", HOST, log, **how).wait()
    return code, log.read_text()


def weights(said):
    return re.search(r"weights ([0-9a-f]{64})", said).group(1)


def test_help_says_what_is_read_and_starts_nothing(tmp_path):
    found = entry(tmp_path, "--help")

    assert found.returncode == 0
    assert "/opt/ml/input/config" in found.stdout
    assert not list(tmp_path.iterdir())


def test_outside_of_a_job_the_command_for_other_machines_is_named(tmp_path):
    found = entry(tmp_path, "train")

    assert found.returncode == 2
    assert "`churnops train`" in found.stderr
    assert "`churnops train`" in (tmp_path / "failure").read_text()


def test_on_a_machine_that_is_no_host_nothing_is_written():
    found = entry(None, "train")

    assert found.returncode == 2
    assert not Path("/opt/ml/output").exists()


def test_a_failure_that_cannot_be_written_is_told_beside_the_reason(tmp_path):
    (tmp_path / "file").touch()

    found = entry(tmp_path / "file", "train")

    assert found.returncode == 2
    assert "`churnops train`" in found.stderr
    assert "the file failure could not be written" in found.stderr
    assert "Traceback" not in found.stderr


def test_what_nobody_foresaw_is_left_in_the_failure_too(tmp_path):
    found = entry(tmp_path, "train", SM_HPS=json.dumps({"framework": "[" * 100_000}))

    assert found.returncode == 1
    assert (tmp_path / "failure").read_text().startswith("RecursionError: ")


def entry(output, *arguments, **variables):
    """The entry point where no job is."""
    variables |= {"SM_OUTPUT_DIR": str(output)} if output else {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    return subprocess.run(
        [ENTRY, *arguments], env=environment | variables, capture_output=True, text=True, check=False
    )


def test_a_model_is_left_where_it_is_fetched_and_no_failure(host):
    code, said = run(host)

    assert code == 0, said
    assert "epoch=2 train_loss=0." in said
    assert read_bundle(host / "model").manifest.candidate == "torch"
    found = {path.name for path in (host / "model").iterdir()}
    assert found >= {"model.onnx", "manifest.json", "network.safetensors", "candidate.json"}
    assert not any(name.startswith(".") for name in found)
    assert not (host / "output/failure").exists()


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({"network.droput": "0.1"}, r"hyperparameters:\n  - network\.droput: Extra inputs"),
        ({"schedule.learning_rate": "fast"}, r"hyperparameters:\n  - schedule\.learning_rate: .*number"),
        ({"framework": "jax"}, r"framework: 'jax' is none of torch, tensorflow"),
    ],
    ids=["misspelt", "no number", "unknown framework"],
)
def test_a_wrong_hyperparameter_is_named_in_the_failure(host, hyperparameters, expected):
    write(host, "hyperparameters", QUICK | hyperparameters)

    code, said = run(host)

    assert code == 2
    assert "Traceback" not in said
    assert re.search(expected, (host / "output/failure").read_text())
    assert list((host / "model").iterdir()) == []


def test_an_unusable_channel_is_named_in_the_failure(host):
    shutil.rmtree(host / "input/data/train")
    (host / "input/data/train").mkdir()

    code, _ = run(host)

    assert code == 2
    assert "channel train:\n  - is empty" in (host / "output/failure").read_text()


def test_sigterm_in_mid_epoch_leaves_a_checkpoint_and_the_next_start_ends_the_same(shipment, tmp_path):
    longer = {"schedule.max_epochs": "15", "schedule.patience": "15", "schedule.batch_size": "4"}
    stopped = make_host(tmp_path / "stopped", shipment, **longer)
    log = stopped / "log"
    process = start(stopped, "algo-1", HOST, log)
    while "epoch=3 " not in log.read_text() and process.poll() is None:
        time.sleep(0.02)
    process.terminate()

    assert process.wait(30) == 143, log.read_text()
    assert "goes on from the checkpoint" in log.read_text()
    assert list((stopped / "model").iterdir()) == []
    assert not (stopped / "output/failure").exists()
    assert [path.name for path in (stopped / "checkpoints").rglob("*.safetensors")] == ["round-0.safetensors"]

    code, again = run(stopped)
    _, whole = run(make_host(tmp_path / "whole", shipment, **longer))
    assert code == 0
    assert "epoch=2 " not in again
    assert "epoch=15 " in again
    assert weights(again) == weights(whole)


def test_a_full_disk_while_checkpointing_is_told_and_leaves_no_model(host):
    write(host, "hyperparameters", QUICK | {"network.hidden": "[256]"})

    code, said = run(host, first="mount -t tmpfs -o size=8k tmpfs /opt/ml/checkpoints")

    assert code == 5, said
    assert re.search(r"No space left on device: .*round-0.safetensors", (host / "output/failure").read_text())
    assert list((host / "model").iterdir()) == []


def test_torchrun_starts_it_too_and_two_of_its_processes_agree(shipment, tmp_path):
    torchrun = [
        str(Path(ENTRY).with_name("torchrun")),
        "--standalone",
        "--nproc-per-node",
        "2",
        "--no-python",
    ]

    code, said = run(make_host(tmp_path / "host", shipment), entry=[*torchrun, ENTRY])

    assert code == 0, said
    found = re.findall(r"process (\d): weights ([0-9a-f]{64})", said)
    assert sorted(rank for rank, _ in found) == ["0", "1"]
    assert len({digest for _, digest in found}) == 1
    assert read_bundle(tmp_path / "host/model").manifest.candidate == "torch"


def test_variables_of_the_toolkit_come_before_the_files(host):
    said = {
        "SM_HOSTS": '["b", "a"]',
        "SM_CURRENT_HOST": "b",
        "SM_CHANNEL_TRAIN": "/elsewhere",
        "SM_MODEL_DIR": "/model",
        "SM_NUM_GPUS": "4",
        "SM_HPS": '{"framework": "torch", "seed": "7"}',
    }

    contract = read_contract(host, said)

    assert (contract.hosts, contract.host, contract.gpus) == (("a", "b"), "b", 4)
    assert contract.channels["train"].folder == Path("/elsewhere")
    assert contract.channels["test"].folder == host / "input/data/test"
    assert contract.model == Path("/model")
    assert contract.recipe == Recipe(seed=7)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SM_HPS": "{"}, "environment:\n  - SM_HPS: Invalid JSON"),
        ({"SM_HPS": '["torch"]'}, "environment:\n  - SM_HPS: Input should be a valid dict"),
        ({"SM_NUM_GPUS": "two"}, "environment:\n  - SM_NUM_GPUS: Input should be a valid integer"),
        ({"SM_CURRENT_HOST": "algo-9"}, "current_host: algo-9 is none of algo-1"),
    ],
)
def test_what_the_toolkit_says_wrongly_is_named(host, variables, says):
    with pytest.raises(ConfigError, match=says):
        read_contract(host, variables)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("hyperparameters", ["torch"], r"hyperparameters.json:\n  - file: Input should be an object"),
        ("inputdataconfig", ["train"], r"inputdataconfig.json:\n  - file: Input should be an object"),
        ("inputdataconfig", {"train": 3}, r"inputdataconfig.json:\n  - train: Input should be an object"),
        ("resourceconfig", {"hosts": 2}, r"resourceconfig.json:\n  - hosts: Input should be a valid"),
        (
            "hyperparameters",
            QUICK | {"network": "big"},
            "hyperparameters:\n  - network: is given whole and field by field",
        ),
    ],
)
def test_a_file_that_is_not_as_sagemaker_writes_it_is_named(host, name, content, says):
    write(host, name, content)

    with pytest.raises(ConfigError, match=says):
        read_contract(host, {})


def test_hyperparameters_may_be_the_json_they_stand_for(host):
    fields = {"framework": '"torch"', "schedule.max_epochs": 2, "network.hidden": [16], "resamples": 100}
    nested = {
        "framework": "torch",
        "schedule": {"max_epochs": 2},
        "network": {"hidden": [16]},
        "resamples": 100,
    }

    found = [read_contract(host, {"SM_HPS": json.dumps(said)}) for said in (fields, nested)]

    assert [contract.framework for contract in found] == ["torch", "torch"]
    expected = {name: text for name, text in QUICK.items() if "." in name or name == "resamples"}
    assert {contract.recipe for contract in found} == {recipe_of(expected, where="")}


@pytest.mark.parametrize(
    "variables",
    [
        {"SM_CHANNEL_TRAIN": "/there/train", "SM_CHANNEL_TEST": "/there/test"},
        {
            "SM_CHANNELS": '["train", "test"]',
            "SM_CHANNEL_TRAIN": "/there/train",
            "SM_CHANNEL_TEST": "/there/test",
        },
    ],
)
def test_channels_may_be_named_by_the_toolkit_alone(host, variables):
    (host / "input/config/inputdataconfig.json").unlink()

    found = read_contract(host, variables).channels

    assert {name: given.folder for name, given in found.items()} == {
        "train": Path("/there/train"),
        "test": Path("/there/test"),
    }


def test_a_channel_left_out_of_the_request_is_named_in_the_failure(host):
    write(host, "inputdataconfig", {"train": {}, "test": {}})

    code, _ = run(host)

    assert code == 2
    assert "validation: 400 of 400 rows are with no host" in (host / "output/failure").read_text()


def test_pipe_mode_is_refused(host):
    write(host, "inputdataconfig", {"train": {"TrainingInputMode": "Pipe"}})

    with pytest.raises(ConfigError, match="channel train: Pipe mode cannot be read: File or FastFile"):
        read_contract(host, {})


def test_a_recipe_survives_the_journey_field_by_field():
    recipe = Recipe(seed=3, threshold_top_percent=12.5)

    assert recipe_of(fields_of(recipe), where="hyperparameters") == recipe
