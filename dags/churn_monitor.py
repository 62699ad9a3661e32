"""Whether a day is scored, from the newest features, from the newest purchases; the last of four.

`churn_monitor` follows scores. `churn_overdue` comes by the clock: a day of which nothing was made has no
event that could be followed. Both fail, and say so, where the day is missing or stale.
"""

from airflow.sdk import DAG
from churn_deployment import DEPLOYMENT
from churn_tasks import DAY, churnops, common

for brand in DEPLOYMENT.brands:
    for name, when in {
        "monitor": {"after": brand.scores},
        "overdue": {"clock": DEPLOYMENT.check_schedule},
    }.items():
        with DAG(f"churn_{name}_{brand.name}", doc_md=__doc__, **common(**when)):
            churnops(brand, "lake", "check", as_of=DAY, hours=0.5, pool="default_pool")
