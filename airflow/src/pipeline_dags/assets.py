"""The assets that the DAGs produce and consume."""

from airflow.sdk import Asset

GROUP = "recommendation"
# A trained model that was put into service.
MODEL = Asset("model://ranker", group=GROUP)
# A feature snapshot whose model is in service: `extra` has its address as `snapshot`.
SNAPSHOT = Asset("snapshot://users", group=GROUP)
