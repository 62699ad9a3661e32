"""Features of everybody, every day: the first of four.

    features (by the clock) -> training, when it is due -> scores -> the check of what was scored

The day is that of the run: at 03:00 on 2 June, or in a backfill of 2 June, what was known before 2 June.
"""

from airflow.sdk import DAG
from churn_deployment import DEPLOYMENT
from churn_tasks import DAY, churnops, common

for brand in DEPLOYMENT.brands:
    with DAG(f"churn_features_{brand.name}", doc_md=__doc__, **common(clock=DEPLOYMENT.schedule)):
        churnops(brand, "features", as_of=DAY, outlets=[brand.features])
