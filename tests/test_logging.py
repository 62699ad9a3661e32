"""What is logged, by us and by libraries."""

import json
import subprocess
import sys

CODE = """
import logging, structlog
from churnops import log
log.configure(json=True)
structlog.get_logger().info("served", rows=3)
logging.getLogger("opentelemetry.sdk.metrics").warning("the collector is away")
logging.getLogger("opentelemetry.sdk.metrics").warning("lost %d spans", "many")
logging.getLogger("asyncio").error("a task failed")
logging.getLogger("uvicorn.error").error("a worker ended")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
logging.getLogger("uvicorn.error").error("ASGI callable returned without completing response.")
"""


def test_every_line_is_json_where_it_is_asked_for():
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stderr
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]  # one was no text
    assert [one["event"] for one in told] == [
        *("served", "the collector is away", "a task failed", "a worker ended"),
    ]
    assert [one["level"] for one in told] == ["info", "warning", "error", "error"]
    assert all(one["timestamp"] for one in told)
