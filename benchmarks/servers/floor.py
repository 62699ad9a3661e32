"""The least an ASGI app with the model can do: no check, no id, no name of the model."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from churnops.bundle.bundle import read_bundle

bundle = read_bundle(Path(os.environ["MODELS"]) / "bundle")
run = bundle.session.run
numeric = [column.name for column in bundle.manifest.numeric]
categorical = [column.name for column in bundle.manifest.categorical]


async def app(_: dict[str, Any], receive: Any, send: Any) -> None:
    """One score."""
    customer = json.loads((await receive())["body"])["customers"][0]
    feed = {
        "numeric": np.array([[customer[name] for name in numeric]], dtype=np.float32),
        "categorical": np.array([[customer[name] for name in categorical]], dtype=object),
    }
    body = b'{"score":%r}' % float(run(["score"], feed)[0][0])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
