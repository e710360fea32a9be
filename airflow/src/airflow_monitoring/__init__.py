"""Monitoring of Airflow: a listener plugin that reports every task that fails finally."""
