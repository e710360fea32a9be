"""Airflow's side of monitoring: a listener plugin that reports every task which fails for good."""
