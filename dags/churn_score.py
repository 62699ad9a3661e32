"""Scores of everybody, by the champion; the third of four.

It follows training, which passes on the days that have features: each is scored from the features that were
published of it. Where these are missing, or older than the clean tables, it fails.
"""

from airflow.sdk import DAG
from churn_deployment import DEPLOYMENT
from churn_tasks import DAY, churnops, common

for brand in DEPLOYMENT.brands:
    with DAG(f"churn_score_{brand.name}", doc_md=__doc__, **common(after=brand.model)):
        churnops(brand, "score", options=["--published"], as_of=DAY, outlets=[brand.scores])
