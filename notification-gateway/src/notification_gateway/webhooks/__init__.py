"""Webhooks of Prometheus's Alertmanager and of Sentry, which become alert signals."""
