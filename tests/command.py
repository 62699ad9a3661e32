"""The command line, in processes of its own, as people start it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHURNOPS = str(Path(sys.executable).with_name("churnops"))


def environment(data_dir, **settings):
    """The process environment with `CHURNOPS_*` as given and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHURNOPS_")}
    return (
        kept
        | {"CHURNOPS_DATA_DIR": str(data_dir)}
        | {f"CHURNOPS_{k.upper()}": str(v) for k, v in settings.items()}
    )


def churnops(*words, data_dir, expect=0, **settings):
    """Run one command in the checkout; what it wrote to both outputs. Fails on another exit code."""
    command = [CHURNOPS, *map(str, words)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(data_dir, **settings), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
