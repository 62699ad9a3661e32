"""A network as MLflow's users expect it: for `mlflow.pytorch.load_model`, `mlflow.tensorflow.load_model`.

It takes prepared inputs and gives logits; what serves is the bundle. Nothing in it is a pickle.
"""

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

if TYPE_CHECKING:
    from churnops.training.keras_mlp import KerasMlp
    from churnops.training.torch_mlp import TorchMlp

_PICKLE = "data/global_custom_objects.cloudpickle"  # holds our layers, which are registered when imported


def save_flavour(model: Union["TorchMlp", "KerasMlp"], folder: Path) -> None:
    """Write the network as the new folder of an MLflow model, of the flavour of its framework."""
    with warnings.catch_warnings():
        # MLflow warns of its own code.
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred", category=UserWarning)
        import mlflow

        width = model.preprocessing.width
        if model.framework == "torch":
            mlflow.pytorch.save_model(
                model.network,
                str(folder),
                signature=_signature(width),
                input_example=np.zeros((2, width), np.float32),
                serialization_format="pt2",
                pip_requirements=_pinned("torch"),
            )
        else:
            mlflow.tensorflow.save_model(
                model.network,
                str(folder),
                signature=_signature(width),
                pip_requirements=_pinned("tensorflow-cpu", "keras", "churnops"),
            )
            (folder / _PICKLE).unlink(missing_ok=True)


def _signature(width: int) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind = np.dtype(np.float32)
    return ModelSignature(Schema([TensorSpec(kind, (-1, width))]), Schema([TensorSpec(kind, (-1, 1))]))


def _pinned(*names: str) -> list[str]:
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]
