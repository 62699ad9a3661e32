"""Every error churnops raises on purpose.

ChurnopsError
├── InputError            the data, a config or a setting is at fault: exit code 2
│   ├── ConfigError       a TOML file or an environment variable
│   ├── SourceError       a file that cannot be read as what it claims to be
│   ├── ContractError     a table that breaks its contract
│   └── StaleData         the lake lacks what was asked for, or holds it made from what was replaced since
├── NotEnoughData         too little history or too few churners for an honest model: exit code 2
├── Diverged              training came to a loss that is no number: exit code 3
├── BundleError           a bundle that is incomplete, altered or incompatible: exit code 3
├── ParityError           the ONNX graph disagrees with the framework's model: exit code 3
├── RegistryError         the tracking store, a missing champion: exit code 3
├── CloudError            AWS refused, failed or cannot be reached: exit code 6
├── StorageError          the lake refused or cannot be reached, or a file there is damaged: exit code 6
├── ProcessLost           a training process, or one it trains with, is gone or not to be found: exit code 7
├── Fault                 churnops itself failed in one of its processes: exit code 1
├── EngineError           the engine is out of memory or disk: exit code 5
├── Conflict              another writer published a version of the same dataset first: exit code 4
├── Busy                  another process holds the run folder: exit code 4
└── Overloaded            a server has as much to do as it bears: HTTP 503
"""

from collections.abc import Sequence
from typing import Any


class ChurnopsError(Exception):
    """The root of the tree; `exit_code` is what the command line returns for it."""

    exit_code = 1


class InputError(ChurnopsError):
    """What the user handed in cannot be used as it is; `problems` names every fault found, not the first."""

    exit_code = 2

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{where}:", *(f"  - {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[Any, ...]:
        """How it crosses to another process."""
        return type(self), (self.where, self.problems)


class ConfigError(InputError):
    """A config file or an environment variable is wrong."""


class SourceError(InputError):
    """A source file is missing, empty, truncated or not what its name says."""


class ContractError(InputError):
    """A table breaks its contract."""


class StaleData(InputError):
    """The lake lacks what was asked for, or holds it made from something that was replaced since."""


class NotEnoughData(InputError):
    """There is too little history, or there are too few churners, to train and test honestly."""


class Diverged(ChurnopsError):
    """Training came to a loss that is no number; `best_epoch` is the last good one, 0 if there is none."""

    exit_code = 3

    def __init__(self, where: str, best_epoch: int) -> None:
        self.where, self.best_epoch = where, best_epoch
        kept = f"the best weights are those of epoch {best_epoch}" if best_epoch else "nothing was learnt"
        super().__init__(f"{where}; {kept}: lower `schedule.learning_rate` in the recipe")

    def __reduce__(self) -> tuple[Any, ...]:
        """How it crosses to another process."""
        return type(self), (self.where, self.best_epoch)


class BundleError(ChurnopsError):
    """A bundle is incomplete, was altered, or does not fit what it is asked to score."""

    exit_code = 3


class ParityError(ChurnopsError):
    """The exported graph and the framework's model disagree by more than the tolerance."""

    exit_code = 3


class RegistryError(ChurnopsError):
    """The tracking store cannot be used, or it holds no such version."""

    exit_code = 3


class EngineError(ChurnopsError):
    """The engine ran out of memory or disk, or a file vanished under it."""

    exit_code = 5


class CloudError(ChurnopsError):
    """AWS refused a request, a job failed there, or it cannot be reached."""

    exit_code = 6


class StorageError(ChurnopsError):
    """The lake's storage refused or cannot be reached, or a file there is damaged."""

    exit_code = 6


class Conflict(ChurnopsError):
    """Another writer published a version of the same dataset first."""

    exit_code = 4


class ProcessLost(ChurnopsError):
    """A training process was ended, or could not meet or lost the others it trains with.

    What it had learnt is checkpointed.
    """

    exit_code = 7


class Fault(ChurnopsError):
    """A process of churnops failed in a way nobody foresaw; its traceback stands in the output."""


class Busy(ChurnopsError):
    """Another process is working in the same run folder."""

    exit_code = 4


class Overloaded(ChurnopsError):
    """A server has as much to do as it bears; asking again a little later may do."""
