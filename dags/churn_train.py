"""A new model, where the last one is older than `CHURN_TRAIN_EVERY_DAYS`; the second of four.

It follows features. Whether a model was due or not, it passes the day on to scoring; but not where training
failed, so that nobody takes the last model for a new one. A run by hand always trains; a backfill of days
before the last training does not. The Variable `churn_trained_<brand>` has the day of the last training.
"""

import datetime as dt
from typing import Any

from airflow.sdk import DAG, TriggerRule, Variable, task
from churn_deployment import DEPLOYMENT, Brand
from churn_tasks import DAY, churnops, common


def training(brand: Brand) -> None:
    """The tasks of one brand."""
    trained = f"churn_trained_{brand.name}"

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def due(day: str, **context: Any) -> bool:
        """Whether to train for the day."""
        before = Variable.get(trained, default="")
        if not before or context["dag_run"].run_type == "manual":
            return True
        age = dt.date.fromisoformat(day) - dt.date.fromisoformat(before)
        return age.days >= DEPLOYMENT.train_every_days

    @task(outlets=[brand.model], trigger_rule=TriggerRule.NONE_FAILED)
    def pass_on(day: str, **context: Any) -> None:
        """Let the day be scored."""
        if context["ti"].xcom_pull(task_ids="due"):
            Variable.set(trained, day)
        context["outlet_events"][brand.model].add_partitions(day)

    due(DAY) >> churnops(brand, "run", options=DEPLOYMENT.training, hours=12) >> pass_on(DAY)


for brand in DEPLOYMENT.brands:
    with DAG(f"churn_train_{brand.name}", doc_md=__doc__, **common(after=brand.features)):
        training(brand)
