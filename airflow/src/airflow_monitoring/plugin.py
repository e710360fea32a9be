"""The plugin that Airflow loads by the entry point `airflow.plugins`."""

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from airflow_monitoring.listener import Listener


class MonitoringPlugin(AirflowPlugin):  # type: ignore[misc] # the types are in the other environment
    """Registers the listener in every process of Airflow."""

    name = "airflow_monitoring"
    listeners: ClassVar[list[object]] = [Listener()]
