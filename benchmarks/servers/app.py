"""Our app alone, without limits and login, so that any ASGI server can run it."""

import os
from pathlib import Path

from churnops.bundle.bundle import read_bundle
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served

app = create_app(Models(Served(read_bundle(Path(os.environ["MODELS"]) / "bundle"))))
