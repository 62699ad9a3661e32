"""How long `churnops --help` takes, beside the same help with everything imported.

    python benchmarks/command_line.py [--rounds 7]

The alternative is what a command line costs whose jobs are imported at the top of the file.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHURNOPS = str(Path(sys.executable).with_name("churnops"))
EAGER = "import churnops.jobs.run, churnops.jobs.serve, churnops.jobs.init, churnops.training.torch_mlp; "
EAGER += "import sys; sys.argv = ['churnops', '--help']; from churnops.cli import main; main()"


def main() -> None:
    """Print the median of each, and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    ours = seconds([CHURNOPS, "--help"], rounds)
    eager = seconds([sys.executable, "-c", EAGER], rounds)
    print(f"churnops --help                  {ours:.2f} s")
    print(f"the same, everything imported    {eager:.2f} s")
    print(f"ratio                            {eager / ours:.1f}x")


def seconds(command: list[str], rounds: int) -> float:
    """The median over `rounds`, after one that warms the disk's cache."""
    taken = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
