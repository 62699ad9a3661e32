"""`churnops-serve`: a bundle behind HTTP as SageMaker asks a container for it.

The contract: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from churnops import log
from churnops.bundle.bundle import MANIFEST_FILE
from churnops.errors import BundleError, ChurnopsError, ConfigError
from churnops.jobs.serve import Shield, serve

MODEL = Path("/opt/ml/model")
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # SageMaker asks from outside of the container, and nobody else can
_PORT = "SAGEMAKER_BIND_TO_PORT"
_PORTS = "SAGEMAKER_SAFE_PORT_RANGE"
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_SYSTEM_FAULT = 5

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


@app.command("churnops-serve")
def _serve(word: Annotated[Literal["serve"], typer.Argument(help="What SageMaker says.")] = "serve") -> None:  # noqa: ARG001
    """Serve as SageMaker asks a container to; `churnops serve` is the command for other machines.

    Serves the bundle in /opt/ml/model, or in a folder below it, on port 8080 or SAGEMAKER_BIND_TO_PORT, to
    whoever can reach it. See docs/serving.md.
    """
    log.configure(json=True)
    try:
        port, workers = read_contract(os.environ)
        serve(
            find_bundle(MODEL),
            _EVERYWHERE,
            port,
            workers=workers,
            shield=Shield(no_login=True, log_json=True),
        )
    except (ChurnopsError, OSError) as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code if isinstance(error, ChurnopsError) else _SYSTEM_FAULT)


def main() -> None:
    """The entry point: `app` under its own name, wherever it was started from."""
    app(prog_name="churnops-serve")


def read_contract(variables: Mapping[str, str]) -> tuple[int, int]:
    """The port to answer on, and how many processes do; raises ConfigError.

    Where several containers share a machine SageMaker says which ports are free: if it names no port for
    requests, they come to the first of these.
    """
    problems = []
    between = variables.get(_PORTS)
    if between is not None and not re.fullmatch(r"[0-9]{1,5}-[0-9]{1,5}", between):
        problems.append(f"{_PORTS}: '{between}' is no range as 8081-8090")
    port = variables.get(_PORT) or (between or "8080").partition("-")[0]
    workers = variables.get(_WORKERS) or str(len(os.sched_getaffinity(0)))
    problems += [
        f"{name}: '{value}' is no whole number from 1 to {most:,}"
        for name, value, most in ((_PORT, port, 65_535), (_WORKERS, workers, 1024))
        if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= most
    ]
    if problems:
        raise ConfigError("environment", problems)
    return int(port), int(workers)


def find_bundle(model: Path) -> Path:
    """The one folder at or below `model` that holds a bundle; BundleError where there is none, or several."""
    if (model / MANIFEST_FILE).is_file():
        return model
    found = sorted(path.parent for path in model.rglob(MANIFEST_FILE))
    if not found:
        raise BundleError(f"{model}: there is no {MANIFEST_FILE} here or below: model.tar.gz holds a bundle")
    if len(found) > 1:
        raise BundleError(f"{model}: one bundle is served, here are several: {', '.join(map(str, found))}")
    return found[0]
