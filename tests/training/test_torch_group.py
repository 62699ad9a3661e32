"""What is left of a group once its processes have parted."""

import subprocess
import sys

TRAINED_AND_PARTED = """
import glob
import torch
from torch.nn.parallel import DistributedDataParallel
from churnops.training import torch_group
from churnops.training.group import local_places

def threads():
    return {open(path).read().strip() for path in glob.glob("/proc/self/task/*/comm")}

with torch_group.joined(*local_places(1)):
    network = torch.nn.Linear(3, 1)
    stepping = DistributedDataParallel(network)
    optimiser = torch.optim.AdamW(network.parameters())
    stepping(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    assert any("gloo" in name for name in threads()), threads()
    del stepping
assert not any("gloo" in name for name in threads()), threads()
"""


def test_no_thread_of_a_group_outlives_it():
    """One that still runs while the interpreter ends may abort the process, after all its work is done."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINED_AND_PARTED], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
