"""The addresses of a stack's parts."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Addresses are `host:port` for programs; a `…_page` is a URL for people."""

    redis: str
    postgres: str
    collector: str
    collector_page: str
    registry: str
    sync: str
    gateway: str
    gateway_page: str
    airflow: str
    airflow_page: str
    airflow_listens_on: str
    prometheus: str
    artifacts: Path
    state: Path
    airflow_home: Path
    dags: Path
    alert_policy: Path
