"""churnops: predict and prevent customer churn, from raw purchases to a served, explained score."""

__version__ = "0.1.0"
