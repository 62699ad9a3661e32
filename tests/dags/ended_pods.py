"""Run by Airflow's Python: what becomes of tasks whose pods ended with some exit codes.

In place of a cluster, a server that knows one pod: the operator looks at it once more before it judges.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from churn_pods import InPod
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s


def ended(code):
    """A pod whose container ended with `code`."""
    state = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code))
    told = {"image": "", "image_id": "", "ready": False, "restart_count": 0}
    base = k8s.V1ContainerStatus(name="base", state=state, **told)
    status = k8s.V1PodStatus(phase="Failed", container_statuses=[base])
    spec = k8s.V1PodSpec(containers=[k8s.V1Container(name="base")])
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", namespace="n"), spec=spec, status=status)


class Cluster(BaseHTTPRequestHandler):
    """Answers every question with the pod."""

    pod = ended(2)

    def answer(self):
        body = json.dumps(ApiClient().sanitize_for_serialization(self.pod)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        """Say nothing."""


def kube_config(address):
    """A file that says where the cluster is."""
    named = {"clusters": "cluster", "users": "user", "contexts": "context"}
    what = {"cluster": {"server": address}, "user": {}, "context": {"cluster": "x", "user": "x"}}
    config = {kind: [{"name": "x", one: what[one]}] for kind, one in named.items()}
    path = Path(os.environ["AIRFLOW_HOME"], "kube.json")
    path.write_text(json.dumps(config | {"current-context": "x", "apiVersion": "v1", "kind": "Config"}))
    return str(path)


def main():
    """Say of each exit code whether it is tried again."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Cluster) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        config = kube_config(f"http://127.0.0.1:{server.server_port}")
        for code in (2, 3, 4, 137):
            Cluster.pod = ended(code)
            task = InPod(task_id=f"t{code}", words=["score"], config_file=config, log_events_on_failure=False)
            try:
                task.cleanup(ended(code), ended(code))
            except AirflowFailException:
                print(code, "final")
            except AirflowException:
                print(code, "again")
        server.shutdown()


if __name__ == "__main__":
    main()
