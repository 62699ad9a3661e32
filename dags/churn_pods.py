"""One line of churnops in a pod; imported only where `CHURN_RUNNER` is `kubernetes`."""

from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from churn_deployment import DEPLOYMENT
from churn_tasks import FINAL, Announcing, line


class InPod(Announcing, KubernetesPodOperator):
    """Run in a pod of the template; what that says of image, resources and identity stands."""

    template_fields = (*KubernetesPodOperator.template_fields, "as_of")

    def __init__(self, *, words: list[str], as_of: str = "", **fields: Any) -> None:
        super().__init__(
            pod_template_file=DEPLOYMENT.pod_template,
            cmds=["churnops"],
            arguments=line(words, as_of),
            skip_on_exit_code=FINAL,
            on_finish_action="delete_succeeded_pod",
            **fields,
        )
        self.words = words
        self.as_of = as_of

    def absent(self) -> list[str]:
        """The template: without it, Airflow would ask for a pod of no image."""
        template = DEPLOYMENT.pod_template
        there = Path(template).is_file()
        return [] if there else [f"CHURN_POD_TEMPLATE={template!r}: should be a file"]

    def cleanup(self, *of: Any, **named: Any) -> None:
        """An exit code that no other try mends fails the task at once."""
        try:
            super().cleanup(*of, **named)
        except AirflowSkipException as final:
            raise AirflowFailException(str(final)) from None
