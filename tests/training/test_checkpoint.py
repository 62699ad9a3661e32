"""What is kept of a training, and what is refused."""

import math
import resource
import signal

import numpy as np
import pytest

from churnops.errors import ConfigError
from churnops.training.checkpoint import Checkpoint, owner_of, resume, save
from churnops.training.fit import Epoch
from churnops.training.group import Host
from churnops.training.recipe import Network, Recipe, Schedule

OWNER = owner_of(Recipe(), rows=100)
DONE = Checkpoint(
    (Epoch(1, {"train_loss": 0.5, "validation_loss": 0.1 + 0.2}),),
    best_epoch=1,
    best_loss=0.1 + 0.2,
    best={"dense_0.weight": np.arange(6, dtype=np.float32).reshape(2, 3)},
    weights={"dense_0.weight": np.ones((2, 3), np.float32).T.copy().T},
    momentum={"adam/beta": np.array(0.9, np.float32)},
)


@pytest.fixture
def host(tmp_path):
    return Host(checkpoint=tmp_path / "of a candidate" / "round-0.safetensors")


def test_what_was_saved_comes_back_to_the_last_bit(host):
    save(DONE, host, OWNER)

    again = resume(host, OWNER)

    assert (again.history, again.best_epoch, again.best_loss) == (DONE.history, 1, 0.1 + 0.2)
    for part in ("best", "weights", "momentum"):
        for name, tensor in getattr(DONE, part).items():
            np.testing.assert_array_equal(getattr(again, part)[name], tensor, strict=True)
    assert [path.name for path in host.checkpoint.parent.iterdir()] == ["round-0.safetensors"]


def test_before_the_first_epoch_there_is_no_loss_to_beat(host):
    save(Checkpoint((), 0, math.inf, best={}), host, OWNER)

    assert resume(host, OWNER).best_loss == math.inf


def test_nothing_is_kept_where_nobody_says_where(tmp_path):
    save(DONE, Host(), OWNER)

    assert resume(Host(), OWNER) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        owner_of(Recipe(seed=1), rows=100),
        owner_of(Recipe(), rows=101),
        owner_of(Recipe(network=Network(bins=8)), rows=100),
        owner_of(Recipe(schedule=Schedule(batch_size=64)), rows=100),
    ],
    ids=["seed", "rows", "network", "schedule"],
)
def test_the_checkpoint_of_another_training_is_refused_by_name(host, other):
    save(DONE, host, other)

    with pytest.raises(ConfigError, match=r"round-0\.safetensors:\n.*another recipe or of other rows"):
        resume(host, OWNER)


def test_what_does_not_matter_to_the_network_does_not_matter_here():
    assert owner_of(Recipe(resamples=100), rows=100) == OWNER


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_broken_file_is_told_by_name(host, share):
    save(DONE, host, OWNER)
    whole = host.checkpoint.read_bytes()
    host.checkpoint.write_bytes(whole[: int(len(whole) * share)] or b"?")

    with pytest.raises(ConfigError, match=r"round-0\.safetensors:\n.*is no checkpoint: delete it"):
        resume(host, OWNER)


def test_a_full_disk_is_told_by_name_and_the_last_checkpoint_stays(host):
    save(DONE, host, OWNER)
    before = host.checkpoint.read_bytes()
    larger = Checkpoint(DONE.history, 1, 0.3, best={"dense_0.weight": np.zeros(100_000, np.float32)})
    limit, ignored = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*round-0\.safetensors"):
            save(larger, host, OWNER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)

    assert host.checkpoint.read_bytes() == before
    assert [path.name for path in host.checkpoint.parent.iterdir()] == ["round-0.safetensors"]
