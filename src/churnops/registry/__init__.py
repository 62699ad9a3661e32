"""What was tried, which version serves, and why: runs and versions in MLflow, the gates, the audit log."""

import os

# They stop calls home, and lines on a console that belongs to the command. MLflow reads some only while it is
# imported, so they are set before any module here imports it; a value set outside is kept.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}.items():
    os.environ.setdefault(_name, _value)
