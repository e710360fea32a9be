"""Alerts of others: Prometheus's Alertmanager and a Sentry server, made into alert signals."""
