"""Which code and which libraries a model was trained with."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import churnops

_LIBRARIES = (
    *("duckdb", "keras", "lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn", "tensorflow"),
    *("tf2onnx", "torch"),
)


def libraries() -> dict[str, str]:
    """The version of each library a model can depend on, of those installed here."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def code_commit() -> str:
    """The commit of the checkout churnops runs from, marked when its files differ; else the version."""
    root = Path(churnops.__file__).parent
    try:
        _git(root, "ls-files", "--error-unmatch", "__init__.py")  # else the repository is somebody else's
        commit = _git(root, "rev-parse", "HEAD")
        return f"{commit}-modified" if _git(root, "status", "--porcelain", "--", ".") else commit
    except (OSError, subprocess.CalledProcessError):
        return f"churnops {version('churnops')}"


def _git(root: Path, *words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
