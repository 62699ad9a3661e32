"""Which ASGI server answers most: the same app with the model under each that is installed, on one core.

    python benchmarks/asgi_servers.py [--rounds 3] [--seconds 3]

uvicorn is there anyway; granian and hypercorn take part if they are installed. What is needed, and how it is
measured, are those of `serving.py`.
"""

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from serving import CUSTOMER, Bench, Server

_UVICORN = ("uvicorn", "--no-access-log", "--log-level", "warning", "servers.app:app")
STARTED = {
    "uvicorn": (*_UVICORN, "--port="),
    "asyncio": (*_UVICORN, "--loop", "asyncio", "--port="),
    "h11": (*_UVICORN, "--http", "h11", "--port="),
    "granian": (
        "granian",
        "--interface=asgi",
        "--no-ws",
        "--log-level=warning",
        "servers.app:app",
        "--port=",
    ),
    "hypercorn": ("hypercorn", "--worker-class", "uvloop", "servers.app:app", "--bind=127.0.0.1:"),
}
"""How each is started, without the port: uvicorn as it is, and with another loop or parser than its best."""


def main() -> None:
    """Every server in every round; then medians, and uvicorn beside each of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.made(Path(folder), given.seconds)
        for _ in range(given.rounds):
            for name, (module, *options) in STARTED.items():
                if find_spec(module):
                    command = (sys.executable, "-m", module, *options)
                    bench.measure(name, Server(command, "/v1/score", {"customers": [CUSTOMER]}))
        bench.report("uvicorn")


if __name__ == "__main__":
    main()
